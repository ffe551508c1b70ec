// Pictures and tables out of the window: PNG, SVG, CSV, clipboard; and tooltips that show text from files safely.
#pragma once

#include <functional>

#include <QSize>
#include <QString>

class QAbstractItemModel;
class QCustomPlot;
class QPoint;
class QTableView;
class QWidget;

namespace postnas {

/// Model role that gives a cell's full value for CSV; a model without it gives Qt::DisplayRole.
inline constexpr int kCsvRole = 0x0100 + 77; // Qt::UserRole + 77

/// One field by RFC 4180: quoted when it holds a comma, a quote or a line break. Text that a spreadsheet would run as a
/// formula gets an apostrophe in front.
QString csvField(const QString& text);
/// Shortest text that reads back as the same double; empty for NaN.
QString csvNumber(double value);
/// Header line and rows in the order of the model, lines end in "\n".
QString tableToCsv(const QAbstractItemModel& model);

/// Writes the plot as .png (twice the resolution of the screen) or .svg, in the size it has in the window, or a size given
/// for a plot that is not shown. Throws Error(Resource) when the file cannot be written, Error(Usage) for another ending.
void exportPlot(QCustomPlot* plot, const QString& file, QSize size = {});
/// Writes text, all or nothing. Throws Error(Resource).
void writeTextAtomically(const QString& file, const QString& text);

/// A file that ends in .csv gets the table, any other one the plot. Throws as the two above.
void exportPlotOrTable(QCustomPlot* plot, const QString& csv, const QString& file);

/// Asks for a .png, .svg or .csv file and hands it to `write`; an Error that this throws becomes a message box. `name` is the
/// suggested base name with its ending.
void exportWithDialog(QWidget* parent, const QString& name, const std::function<void(const QString& file)>& write);

/// Tooltip of plain text with line breaks; nothing in it is read as markup.
QString plainToolTip(const QString& text);

/// Makes Ctrl+C copy the selected rows of the table (all, when none is selected) as CSV.
void addCsvCopy(QTableView* table);
void copyAsCsv(const QTableView* table);

} // namespace postnas
