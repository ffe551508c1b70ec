// Draws cells, marks and frames.
#include "widgets/heatmap/heatmap_cells.h"

#include <algorithm>
#include <cmath>

#include "widgets/heatmap/heatmap_plot.h"
#include "widgets/theme/colour_map.h"
#include "widgets/theme/theme.h"

namespace postnas {
namespace {

void drawFrame(QCPPainter* painter, const QRect& rect, const ThemeColours& colours, int width)
{
    if (rect.isEmpty())
        return;
    painter->setAntialiasing(false);
    painter->setBrush(Qt::NoBrush);
    // Two rings, so that it shows on every colour of the map.
    painter->setPen(QPen(colours.surface, width, Qt::SolidLine, Qt::SquareCap, Qt::MiterJoin));
    painter->drawRect(rect.adjusted(width, width, -width - 1, -width - 1));
    painter->setPen(QPen(colours.text, width, Qt::SolidLine, Qt::SquareCap, Qt::MiterJoin));
    painter->drawRect(rect.adjusted(-1, -1, 0, 0));
}

} // namespace

QString heatmapNumber(double value, int decimals, bool signedForm)
{
    if (std::isnan(value))
        return QStringLiteral("–");
    QString text = QString::number(value, 'f', decimals);
    if (text.toDouble() == 0)
        text.remove(QLatin1Char('-'));
    else if (signedForm && value > 0)
        text.prepend(QLatin1Char('+'));
    return text.replace(QLatin1Char('-'), QChar(0x2212));
}

HeatmapCells::HeatmapCells(HeatmapPlot* plot)
    : QCPAbstractPlottable(plot->xAxis2, plot->yAxis)
    , m_plot(plot)
{
    setAntialiased(false);
}

QCPRange HeatmapCells::getKeyRange(bool& found, QCP::SignDomain) const
{
    found = true;
    return {-kHeatmapGap - 0.5, m_plot->m_data.layers + 1 + kHeatmapGap + 0.5};
}

QCPRange HeatmapCells::getValueRange(bool& found, QCP::SignDomain, const QCPRange&) const
{
    found = true;
    return {-0.5, static_cast<double>(m_plot->m_data.tasks.size()) - 0.5};
}

void HeatmapCells::draw(QCPPainter* painter)
{
    const ThemeColours colours = ThemeColours::of(m_plot->palette());
    const int layers = m_plot->m_data.layers;
    for (int task = 0; task < m_plot->m_data.tasks.size(); ++task) {
        for (int column = HeatmapPlot::kNone; column <= layers; ++column)
            drawCell(painter, task, column, colours);
    }
    drawMarks(painter, colours);
    if (m_plot->m_hoverTask >= 0)
        drawFrame(painter, m_plot->cellRect(m_plot->m_hoverTask, m_plot->m_hoverColumn), colours, 1);
    if (m_plot->hasFocus())
        drawFrame(painter, m_plot->cellRect(m_plot->m_task, m_plot->m_column), colours, 2);
}

void HeatmapCells::drawCell(QCPPainter* painter, int task, int column, const ThemeColours& colours)
{
    const QRect rect = m_plot->cellRect(task, column);
    if (rect.isEmpty())
        return;
    const double value = m_plot->cellValue(task, column);
    painter->setAntialiasing(false);
    if (std::isnan(value)) {
        painter->setPen(QPen(colours.border, 1, Qt::DotLine));
        painter->setBrush(Qt::NoBrush);
        painter->drawRect(rect.adjusted(0, 0, -1, -1));
        return;
    }
    const QColor fill = m_plot->cellColour(task, column);
    painter->fillRect(rect, fill);
    const QColor ink = readableOn(fill);
    const bool best = m_plot->isBest(task, column);
    if (best) {
        const double size = std::clamp(std::min(rect.width(), rect.height()) * 0.22, 4.0, 10.0);
        const QPointF corner = rect.topLeft() + QPointF(2, 2);
        painter->setAntialiasing(true);
        painter->setPen(Qt::NoPen);
        painter->setBrush(ink);
        painter->drawPolygon(QPolygonF {corner, corner + QPointF(size, 0), corner + QPointF(0, size)});
    }
    if (!m_plot->m_numbers)
        return;
    QFont font = m_plot->font();
    font.setBold(best);
    font.setPointSizeF(std::max(7.0, font.pointSizeF() - 0.5));
    const QString text = heatmapNumber(value, 2, m_plot->m_scale == HeatmapScale::Difference);
    const QFontMetrics metrics(font);
    if (metrics.horizontalAdvance(text) > rect.width() - 4 || metrics.height() > rect.height())
        return;
    painter->setFont(font);
    painter->setPen(ink);
    painter->drawText(rect, Qt::AlignCenter, text);
}

void HeatmapCells::drawMarks(QCPPainter* painter, const ThemeColours& colours)
{
    const int last = static_cast<int>(m_plot->m_data.tasks.size()) - 1;
    painter->setAntialiasing(true);
    painter->setPen(Qt::NoPen);
    painter->setBrush(colours.accent);
    for (const int layer : std::as_const(m_plot->m_marked)) {
        const QRect rect = m_plot->cellRect(last, layer);
        if (rect.isEmpty())
            continue;
        const QPointF top(rect.center().x() + 0.5, rect.bottom() + 5);
        painter->drawPolygon(QPolygonF {top, top + QPointF(5, 8), top + QPointF(-5, 8)});
    }
}

} // namespace postnas
