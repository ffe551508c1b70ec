// Where the cells of the heatmap are, what they say, and their colours; drawing and input have files of their own.
#include "widgets/heatmap/heatmap_plot.h"

#include <algorithm>

#include "widgets/heatmap/heatmap_cells.h"
#include "widgets/services/convert.h"
#include "widgets/theme/colour_map.h"
#include "widgets/theme/plot_theme.h"
#include "widgets/theme/theme.h"

namespace postnas {

namespace {

constexpr double kMaxCellHeight = 76; // pixels; few tasks do not become towers
constexpr double kMarkRoom = 16; // pixels below the cells for the marks of the board's placement

double columnX(int column, int layers)
{
    if (column == HeatmapPlot::kNone)
        return -kHeatmapGap;
    return column < layers ? column + 1.0 : layers + 1 + kHeatmapGap;
}

} // namespace

HeatmapPlot::HeatmapPlot(QWidget* parent)
    : QCustomPlot(parent)
{
    setFocusPolicy(Qt::StrongFocus);
    setMouseTracking(true);
    setMinimumSize(320, 200);
    setAccessibleName(tr("Heatmap of layers by task"));
    xAxis->setVisible(false);
    xAxis2->setVisible(true);
    yAxis2->setVisible(false);
    yAxis->setRangeReversed(true);
    xAxis2->grid()->setVisible(false);
    yAxis->grid()->setVisible(false);
    for (QCPAxis* axis : {xAxis2, yAxis})
        axis->setTicks(true);
    m_cells = new HeatmapCells(this);
    m_colourScale = new QCPColorScale(this);
    m_colourScale->setBarWidth(12);
    m_colourScale->setRangeDrag(false);
    m_colourScale->setRangeZoom(false);
    plotLayout()->addElement(0, 1, m_colourScale);
    plotLayout()->setColumnSpacing(12);
    auto* group = new QCPMarginGroup(this);
    axisRect()->setMarginGroup(QCP::msBottom | QCP::msTop, group);
    m_colourScale->setMarginGroup(QCP::msBottom | QCP::msTop, group);
    connect(this, &QCustomPlot::afterLayout, this, &HeatmapPlot::fitCells);
    restyle();
    refresh();
}

void HeatmapPlot::setData(const HeatmapData& data, ScoreMetric metric)
{
    m_data = data;
    m_metric = metric;
    setCursorCell(m_task, m_column);
    m_hoverTask = -1;
    refresh();
}

void HeatmapPlot::setScale(HeatmapScale scale)
{
    m_scale = scale;
    refresh();
}

void HeatmapPlot::setShowNumbers(bool on)
{
    m_numbers = on;
    replot(rpQueuedReplot);
}

void HeatmapPlot::setMarkedLayers(const QVector<int>& layers)
{
    m_marked = layers;
    replot(rpQueuedReplot);
}

void HeatmapPlot::setCursorCell(int task, int column)
{
    m_task = std::clamp(task, 0, std::max(0, static_cast<int>(m_data.tasks.size()) - 1));
    m_column = std::clamp(column, kNone, m_data.layers);
    if (!m_data.isEmpty())
        setAccessibleDescription(cellText(m_task, m_column));
    replot(rpQueuedReplot);
}

QRect HeatmapPlot::cellRect(int task, int column) const
{
    if (task < 0 || task >= m_data.tasks.size() || column < kNone || column > m_data.layers)
        return {};
    const double x = columnX(column, m_data.layers);
    const int left = qRound(xAxis2->coordToPixel(x - 0.5)), right = qRound(xAxis2->coordToPixel(x + 0.5));
    const int top = qRound(yAxis->coordToPixel(task - 0.5)), bottom = qRound(yAxis->coordToPixel(task + 0.5));
    const int gap = right - left > 8 && bottom - top > 8 ? 1 : 0;
    return {left + gap, top + gap, right - left - 2 * gap, bottom - top - 2 * gap};
}

const HeatmapCell* HeatmapPlot::cell(int task, int column) const
{
    if (task < 0 || task >= m_data.tasks.size() || column < kNone || column > m_data.layers)
        return nullptr;
    const HeatmapTask& row = m_data.tasks[task];
    if (column == kNone)
        return &row.none;
    return column < m_data.layers ? &row.cells[column] : &row.all;
}

double HeatmapPlot::cellValue(int task, int column) const
{
    const HeatmapCell* found = cell(task, column);
    if (found == nullptr)
        return std::numeric_limits<double>::quiet_NaN();
    const double value = found->value(m_metric);
    return m_scale == HeatmapScale::Difference ? value - m_data.tasks[task].none.value(m_metric) : value;
}

double HeatmapPlot::position(int task, int column) const
{
    const double value = cellValue(task, column);
    if (std::isnan(value))
        return value;
    double low = m_low, high = m_high;
    if (m_scale == HeatmapScale::PerTask) {
        low = m_taskRange[task].first;
        high = m_taskRange[task].second;
    }
    return high > low ? std::clamp((value - low) / (high - low), 0.0, 1.0) : 0.5;
}

QColor HeatmapPlot::cellColour(int task, int column) const
{
    const bool dark = ThemeColours::of(palette()).dark;
    return colourAt(m_scale == HeatmapScale::Difference ? ColourMap::Diverging : ColourMap::Cividis, position(task, column), dark);
}

bool HeatmapPlot::isBest(int task, int column) const
{
    if (column < 0 || column >= m_data.layers)
        return false;
    const double value = cellValue(task, column);
    bool beatsOne = false; // where all layers are alike, none is the best
    for (int other = 0; other < m_data.layers && !std::isnan(value); ++other) {
        if (cellValue(task, other) > value)
            return false;
        beatsOne = beatsOne || cellValue(task, other) < value;
    }
    return beatsOne;
}

QString HeatmapPlot::cellText(int task, int column) const
{
    const HeatmapCell* found = cell(task, column);
    if (found == nullptr)
        return {};
    const HeatmapTask& row = m_data.tasks[task];
    QStringList lines;
    const QString where = column == kNone ? tr("no layer full (all linear)")
        : column == m_data.layers         ? tr("all layers full (teacher)")
                                          : tr("only layer %1 full").arg(column + 1);
    lines += QStringLiteral("%1: %2").arg(displayText(row.name, 200), where);
    const auto add = [&](const QString& label, double value, double none) {
        if (std::isnan(value))
            return;
        QString line = QStringLiteral("%1  %2").arg(label, heatmapNumber(value, 4));
        if (!std::isnan(none) && column != kNone)
            line += tr("  (%1 against none)").arg(heatmapNumber(value - none, 2, true));
        lines += line;
    };
    add(tr("accuracy"), found->accuracy, row.none.accuracy);
    add(tr("minus loss"), found->negativeLoss, row.none.negativeLoss);
    add(tr("objective"), found->objective, row.none.objective);
    if (!found->known())
        lines += tr("not scored yet");
    return lines.join(QLatin1Char('\n'));
}

void HeatmapPlot::changeEvent(QEvent* event)
{
    QCustomPlot::changeEvent(event);
    if (event->type() == QEvent::PaletteChange || event->type() == QEvent::FontChange) {
        restyle();
        refresh();
    }
}

void HeatmapPlot::resizeEvent(QResizeEvent* event)
{
    QCustomPlot::resizeEvent(event);
    replot(rpQueuedReplot);
}

void HeatmapPlot::restyle()
{
    applyTheme(this);
    const ThemeColours colours = ThemeColours::of(palette());
    for (QCPAxis* axis : {xAxis2, yAxis}) {
        axis->setBasePen(Qt::NoPen);
        axis->setTickPen(Qt::NoPen);
        axis->setTickLabelColor(colours.text);
    }
    QCPAxis* scale = m_colourScale->axis();
    scale->setBasePen(Qt::NoPen);
    scale->setTickPen(QPen(colours.border));
    scale->setSubTickPen(Qt::NoPen);
    scale->setTickLabelColor(colours.mutedText);
    scale->setTickLabelFont(xAxis2->tickLabelFont());
    scale->setLabelColor(colours.text);
    scale->setLabelFont(font());
}

void HeatmapPlot::updateRanges()
{
    const auto widen = [](QPair<double, double>& range, double value) {
        if (std::isnan(value))
            return;
        range.first = std::isnan(range.first) ? value : std::min(range.first, value);
        range.second = std::isnan(range.second) ? value : std::max(range.second, value);
    };
    const double nan = std::numeric_limits<double>::quiet_NaN();
    QPair<double, double> whole {nan, nan};
    double largest = 0;
    m_taskRange.clear();
    for (int task = 0; task < m_data.tasks.size(); ++task) {
        QPair<double, double> own {nan, nan};
        for (int column = kNone; column <= m_data.layers; ++column) {
            const double value = cellValue(task, column);
            widen(whole, value);
            if (column < m_data.layers) // the teacher is far above single layers: it would flatten them
                widen(own, value);
            if (!std::isnan(value))
                largest = std::max(largest, std::abs(value));
        }
        m_taskRange += own;
    }
    if (m_scale == HeatmapScale::Difference) {
        m_high = largest > 0 ? largest : 1;
        m_low = -m_high;
    } else {
        m_low = std::isnan(whole.first) ? 0 : whole.first;
        m_high = std::isnan(whole.second) ? 1 : whole.second;
    }
}

void HeatmapPlot::fitCells()
{
    const auto tasks = static_cast<double>(m_data.tasks.size());
    const double height = std::max(1, axisRect()->height());
    const double room = std::max(1.0, height - kMarkRoom);
    const double cellHeight = std::min(kMaxCellHeight, room / std::max(1.0, tasks));
    yAxis->setRange(-0.5, -0.5 + height / cellHeight);
    xAxis2->setRange(-kHeatmapGap - 0.5, m_data.layers + 1 + kHeatmapGap + 0.5);
}

void HeatmapPlot::refresh()
{
    updateRanges();
    // Before the layout, which is when the axis makes its ticks: set only while fitting cells, the labels would be those of
    // the range before.
    fitCells();
    const bool dark = ThemeColours::of(palette()).dark;
    QSharedPointer<QCPAxisTickerText> columns(new QCPAxisTickerText);
    columns->addTick(columnX(kNone, m_data.layers), tr("none"));
    // With many layers only every second or fifth is named.
    const int step = m_data.layers > 64 ? 10 : m_data.layers > 40 ? 5 : m_data.layers > 24 ? 2 : 1;
    for (int layer = 0; layer < m_data.layers; ++layer) {
        if (layer == 0 || (layer + 1) % step == 0)
            columns->addTick(layer + 1, QString::number(layer + 1));
    }
    columns->addTick(columnX(m_data.layers, m_data.layers), tr("all"));
    xAxis2->setTicker(columns);
    QSharedPointer<QCPAxisTickerText> rows(new QCPAxisTickerText);
    for (int task = 0; task < m_data.tasks.size(); ++task)
        rows->addTick(task, displayText(m_data.tasks[task].name, 28).simplified());
    yAxis->setTicker(rows);
    xAxis2->setLabel(tr("Layer that alone has full attention (numbered from 1)"));

    QCPColorGradient gradient;
    gradient.setLevelCount(255);
    QMap<double, QColor> stops;
    for (int i = 0; i <= 32; ++i)
        stops.insert(i / 32.0, colourAt(m_scale == HeatmapScale::Difference ? ColourMap::Diverging : ColourMap::Cividis, i / 32.0, dark));
    gradient.setColorStops(stops);
    m_colourScale->setGradient(gradient);
    QSharedPointer<QCPAxisTicker> ticker(new QCPAxisTicker);
    if (m_scale == HeatmapScale::PerTask) {
        QSharedPointer<QCPAxisTickerText> text(new QCPAxisTickerText);
        text->addTick(0, tr("lowest"));
        text->addTick(1, tr("highest"));
        ticker = text;
        m_colourScale->setDataRange({0, 1});
    } else {
        m_colourScale->setDataRange({m_low, m_high > m_low ? m_high : m_low + 1e-6});
    }
    m_colourScale->axis()->setTicker(ticker);
    const QString metric = m_metric == ScoreMetric::Accuracy ? tr("Accuracy")
        : m_metric == ScoreMetric::NegativeLoss              ? tr("Minus loss (nats)")
                                                               : tr("Objective");
    m_colourScale->setLabel(m_scale == HeatmapScale::Difference ? tr("%1, difference to none").arg(metric)
                                : m_scale == HeatmapScale::PerTask ? tr("%1, within each task").arg(metric)
                                                                   : metric);
    replot(rpQueuedReplot);
}

} // namespace postnas
