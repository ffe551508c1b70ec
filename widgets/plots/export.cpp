// Writing plots and tables to files and to the clipboard.
#include "widgets/plots/export.h"

#include <cmath>

#include <QAbstractItemModel>
#include <QAction>
#include <QClipboard>
#include <QFileDialog>
#include <QFileInfo>
#include <QGuiApplication>
#include <QLocale>
#include <QSaveFile>
#include <QSvgGenerator>
#include <QTableView>

#include "core/base/error.h"
#include "widgets/plots/qcustomplot.h"
#include "widgets/services/problem_box.h"

namespace postnas {

namespace {

QString csvCell(const QVariant& value)
{
    if (value.typeId() == QMetaType::Double)
        return csvNumber(value.toDouble());
    if (value.typeId() == QMetaType::Int || value.typeId() == QMetaType::LongLong)
        return value.toString();
    return csvField(value.toString());
}

QString csvRow(const QAbstractItemModel& model, int row)
{
    QStringList fields;
    for (int column = 0; column < model.columnCount(); ++column) {
        const QModelIndex index = model.index(row, column);
        const QVariant full = index.data(kCsvRole);
        fields += csvCell(full.isValid() ? full : index.data(Qt::DisplayRole));
    }
    return fields.join(QLatin1Char(',')) + QLatin1Char('\n');
}

QString csvHeader(const QAbstractItemModel& model)
{
    QStringList fields;
    for (int column = 0; column < model.columnCount(); ++column)
        fields += csvField(model.headerData(column, Qt::Horizontal).toString());
    return fields.join(QLatin1Char(',')) + QLatin1Char('\n');
}

void writeBytes(const QString& file, const QByteArray& bytes)
{
    QSaveFile out(file);
    if (!out.open(QIODevice::WriteOnly) || out.write(bytes) != bytes.size() || !out.commit()) {
        throw resourceError(QObject::tr("%1 cannot be written: %2").arg(file, out.errorString()).toStdString(),
                            QObject::tr("Choose another folder, or free some space.").toStdString());
    }
}

} // namespace

QString csvField(const QString& text)
{
    QString field = text;
    if (!field.isEmpty() && QStringLiteral("=+-@\t\r").contains(field.front())) {
        bool isNumber = false;
        QLocale::c().toDouble(field, &isNumber);
        if (!isNumber)
            field.prepend(QLatin1Char('\''));
    }
    const bool quote = field.contains(QLatin1Char(',')) || field.contains(QLatin1Char('"'))
        || field.contains(QLatin1Char('\n')) || field.contains(QLatin1Char('\r'));
    if (!quote)
        return field;
    field.replace(QLatin1Char('"'), QStringLiteral("\"\""));
    return QLatin1Char('"') + field + QLatin1Char('"');
}

QString csvNumber(double value)
{
    return std::isnan(value) ? QString() : QString::number(value, 'g', QLocale::FloatingPointShortest);
}

QString tableToCsv(const QAbstractItemModel& model)
{
    QString csv = csvHeader(model);
    for (int row = 0; row < model.rowCount(); ++row)
        csv += csvRow(model, row);
    return csv;
}

void writeTextAtomically(const QString& file, const QString& text)
{
    writeBytes(file, text.toUtf8());
}

void exportPlot(QCustomPlot* plot, const QString& file, QSize size)
{
    if (size.isEmpty())
        size = plot->isVisible() && plot->width() > 100 ? plot->size() : QSize(960, 540);
    const QString ending = QFileInfo(file).suffix().toLower();
    QByteArray bytes;
    QBuffer buffer(&bytes);
    buffer.open(QIODevice::WriteOnly);
    if (ending == QLatin1String("png")) {
        if (!plot->toPixmap(size.width(), size.height(), 2.0).save(&buffer, "PNG"))
            throw resourceError(QObject::tr("%1: the picture could not be made").arg(file).toStdString());
    } else if (ending == QLatin1String("svg")) {
        QSvgGenerator generator;
        generator.setOutputDevice(&buffer);
        generator.setSize(size);
        generator.setViewBox(QRect(QPoint(0, 0), size));
        generator.setResolution(96);
        generator.setTitle(plot->accessibleName());
        generator.setDescription(plot->accessibleDescription());
        QCPPainter painter;
        if (!painter.begin(&generator))
            throw resourceError(QObject::tr("%1: the picture could not be made").arg(file).toStdString());
        painter.setMode(QCPPainter::pmVectorized);
        painter.setMode(QCPPainter::pmNoCaching);
        plot->toPainter(&painter, size.width(), size.height());
        painter.end();
        plot->replot(); // toPainter lays the plot out for the picture's size
    } else {
        throw usageError(QObject::tr("%1: pictures are written as .png or .svg").arg(file).toStdString());
    }
    writeBytes(file, bytes);
}

void exportPlotOrTable(QCustomPlot* plot, const QString& csv, const QString& file)
{
    if (QFileInfo(file).suffix().toLower() == QLatin1String("csv"))
        writeTextAtomically(file, csv);
    else
        exportPlot(plot, file);
}

void exportWithDialog(QWidget* parent, const QString& name, const std::function<void(const QString& file)>& write)
{
    QFileDialog dialog(parent, QObject::tr("Export"), QString(),
                       QObject::tr("PNG picture (*.png);;SVG picture (*.svg);;CSV table (*.csv)"));
    dialog.setAcceptMode(QFileDialog::AcceptSave);
    dialog.setDefaultSuffix(QFileInfo(name).suffix());
    dialog.selectFile(name);
    // The chosen filter decides the ending of a name that has none.
    QObject::connect(&dialog, &QFileDialog::filterSelected, &dialog, [&dialog](const QString& filter) {
        const qsizetype star = filter.indexOf(QStringLiteral("*."));
        if (star >= 0)
            dialog.setDefaultSuffix(filter.mid(star + 2, 3));
    });
    if (dialog.exec() != QDialog::Accepted || dialog.selectedFiles().isEmpty())
        return;
    try {
        write(dialog.selectedFiles().constFirst());
    } catch (...) {
        showProblem(parent, QObject::tr("Export"), Problem::current());
    }
}

QString plainToolTip(const QString& text)
{
    return QStringLiteral("<p style=\"white-space:pre\">%1</p>").arg(text.toHtmlEscaped());
}

void copyAsCsv(const QTableView* table)
{
    const QAbstractItemModel& model = *table->model();
    QModelIndexList rows = table->selectionModel() ? table->selectionModel()->selectedRows() : QModelIndexList();
    QString csv;
    if (rows.isEmpty()) {
        csv = tableToCsv(model);
    } else {
        std::sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.row() < b.row(); });
        csv = csvHeader(model);
        for (const QModelIndex& row : std::as_const(rows))
            csv += csvRow(model, row.row());
    }
    QGuiApplication::clipboard()->setText(csv);
}

void addCsvCopy(QTableView* table)
{
    auto* copy = new QAction(QObject::tr("&Copy as CSV"), table);
    copy->setShortcut(QKeySequence::Copy);
    copy->setShortcutContext(Qt::WidgetShortcut);
    QObject::connect(copy, &QAction::triggered, table, [table] { copyAsCsv(table); });
    table->addAction(copy);
    auto* all = new QAction(QObject::tr("Copy &all as CSV"), table);
    QObject::connect(all, &QAction::triggered, table,
                     [table] { QGuiApplication::clipboard()->setText(tableToCsv(*table->model())); });
    table->addAction(all);
    table->setContextMenuPolicy(Qt::ActionsContextMenu);
}

} // namespace postnas
