// Gives a QCustomPlot the window's colours and fonts.
#pragma once

class QCustomPlot;

namespace postnas {

/// Background, axes, grid, legend, titles and fonts by the plot's own palette. Graph pens are left alone. Call it again on
/// QEvent::PaletteChange, then replot.
void applyTheme(QCustomPlot* plot);

} // namespace postnas
