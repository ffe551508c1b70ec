// Gives a QCustomPlot the window's colours and fonts.
#pragma once

class QCPItemText;
class QCustomPlot;

namespace postnas {

/// Background, axes, grid, legend, titles and fonts by the plot's own palette. Graph pens are left alone. Call it again on
/// QEvent::PaletteChange, then replot.
void applyTheme(QCustomPlot* plot);

/// A text in the middle of the plot, for what to say while it has nothing to show. applyTheme() colours it.
QCPItemText* addNote(QCustomPlot* plot);

} // namespace postnas
