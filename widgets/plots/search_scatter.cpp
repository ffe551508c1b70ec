// Draws the points by origin and follows mouse and keyboard.
#include "widgets/plots/search_scatter.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "widgets/plots/candidate_model.h"
#include "widgets/plots/export.h"
#include "widgets/theme/plot_theme.h"
#include "widgets/theme/theme.h"

namespace postnas {

namespace {

constexpr double kReach = 10; // pixels around a point that count as on it

struct OriginStyle {
    const char* origin;
    QCPScatterStyle::ScatterShape shape;
    int colour; // of seriesColour; -1: text, -2: muted
    double size;
};

// Drawn in this order, the important ones last and on top. Shape and colour both tell origins apart.
constexpr std::array<OriginStyle, 8> kStyles {{
    {"exhaustive", QCPScatterStyle::ssCircle, -2, 5},
    {"heatmap", QCPScatterStyle::ssDisc, 5, 7},
    {"linear", QCPScatterStyle::ssCross, -1, 9},
    {"uniform", QCPScatterStyle::ssSquare, 1, 8},
    {"sliding_window", QCPScatterStyle::ssTriangle, 2, 9},
    {"beam", QCPScatterStyle::ssDiamond, 0, 9},
    {"found", QCPScatterStyle::ssStar, 3, 13},
    {"teacher", QCPScatterStyle::ssPlusSquare, -1, 10},
}};

OriginStyle styleOf(const QString& origin)
{
    for (const OriginStyle& style : kStyles) {
        if (origin == QLatin1String(style.origin))
            return style;
    }
    return {"", QCPScatterStyle::ssTriangleInverted, 4, 8};
}

QCPRange padded(double low, double high)
{
    const double span = high > low ? high - low : std::max(std::abs(high) * 0.1, 0.1);
    return {low - span * 0.06, high + span * 0.06};
}

} // namespace

SearchScatter::SearchScatter(QWidget* parent)
    : QCustomPlot(parent)
{
    setFocusPolicy(Qt::StrongFocus);
    setMouseTracking(true);
    setMinimumSize(320, 240);
    setAccessibleName(tr("Evaluated placements"));
    setInteractions(QCP::iRangeDrag | QCP::iRangeZoom);
    plotLayout()->addElement(1, 0, legend);
    plotLayout()->setRowStretchFactor(1, 0.001);
    legend->setFillOrder(QCPLegend::foColumnsFirst);
    legend->setVisible(true);
    m_note = addNote(this);
    rebuild();
}

void SearchScatter::setTitles(const QString& x, const QString& y)
{
    if (x != xAxis->label() || y != yAxis->label())
        m_zoomed = false;
    xAxis->setLabel(x);
    yAxis->setLabel(y);
}

void SearchScatter::setPoints(const QVector<ScatterPoint>& points, bool largerXIsBetter, const QString& message)
{
    m_points = points;
    m_largerX = largerXIsBetter;
    m_message = message;
    rebuild();
}

void SearchScatter::resetZoom()
{
    m_zoomed = false;
    rebuild();
}

const ScatterPoint* SearchScatter::pointOfRow(int row) const
{
    const auto found = std::find_if(m_points.begin(), m_points.end(), [row](const ScatterPoint& p) { return p.row == row; });
    return found == m_points.end() ? nullptr : &*found;
}

QPointF SearchScatter::pixelOf(int row) const
{
    const ScatterPoint* point = pointOfRow(row);
    return point == nullptr ? QPointF() : QPointF(xAxis->coordToPixel(point->x), yAxis->coordToPixel(point->y));
}

int SearchScatter::rowAt(const QPointF& pixel) const
{
    int best = -1;
    double bestDistance = kReach;
    for (const ScatterPoint& point : m_points) {
        const double distance = std::hypot(xAxis->coordToPixel(point.x) - pixel.x(), yAxis->coordToPixel(point.y) - pixel.y());
        // Of points on one spot the selected one stays, so that a click does not jump.
        if (distance < bestDistance || (distance == bestDistance && point.row == m_selected)) {
            bestDistance = distance;
            best = point.row;
        }
    }
    return best;
}

QStringList SearchScatter::legendTexts() const
{
    QStringList texts;
    for (int i = 0; i < legend->itemCount(); ++i) {
        if (auto* item = qobject_cast<QCPPlottableLegendItem*>(legend->item(i)))
            texts += item->plottable()->name();
    }
    return texts;
}

void SearchScatter::setSelectedRow(int row)
{
    m_selected = row;
    updateSelection();
}

void SearchScatter::updateSelection()
{
    const ScatterPoint* point = pointOfRow(m_selected);
    m_ring->setData(point != nullptr ? QVector<double> {point->x} : QVector<double>(),
                    point != nullptr ? QVector<double> {point->y} : QVector<double>());
    if (point != nullptr)
        setAccessibleDescription(point->text);
    replot(rpQueuedReplot);
}

void SearchScatter::addFront()
{
    const ThemeColours colours = ThemeColours::of(palette());
    QVector<const ScatterPoint*> front;
    for (const ScatterPoint& point : std::as_const(m_points)) {
        if (point.pareto)
            front += &point;
    }
    if (front.isEmpty())
        return;
    std::sort(front.begin(), front.end(), [](const auto* a, const auto* b) { return a->x < b->x; });
    auto* graph = addGraph();
    graph->setName(tr("Pareto front"));
    // With larger x better the best y reaches from the left up to each point; otherwise from each point to the right.
    graph->setLineStyle(m_largerX ? QCPGraph::lsStepRight : QCPGraph::lsStepLeft);
    graph->setPen(QPen(colours.accent, 1.5, Qt::DashLine));
    graph->setScatterStyle(QCPScatterStyle(QCPScatterStyle::ssCircle, QPen(colours.accent, 1), Qt::NoBrush, 14));
    for (const ScatterPoint* point : std::as_const(front))
        graph->addData(point->x, point->y);
}

void SearchScatter::addOrigin(const QString& origin)
{
    const ThemeColours colours = ThemeColours::of(palette());
    const OriginStyle style = styleOf(origin);
    const QColor colour = style.colour == -1 ? colours.text
        : style.colour == -2                 ? colours.mutedText
                                             : seriesColour(style.colour, colours.dark);
    auto* graph = addGraph();
    graph->setName(originLabel(origin));
    graph->setLineStyle(QCPGraph::lsNone);
    const bool lines = style.shape == QCPScatterStyle::ssCross || style.shape == QCPScatterStyle::ssStar;
    QColor fill = colour;
    fill.setAlphaF(style.shape == QCPScatterStyle::ssCircle ? 0.25 : 0.8);
    graph->setScatterStyle(QCPScatterStyle(style.shape, QPen(colour, lines ? 2 : 1.2),
                                           style.shape == QCPScatterStyle::ssPlusSquare ? QBrush(colours.surface) : QBrush(fill), style.size));
    for (const ScatterPoint& point : std::as_const(m_points)) {
        if (point.origin == origin)
            graph->addData(point.x, point.y);
    }
}

void SearchScatter::rebuild()
{
    clearGraphs();
    applyTheme(this);
    const ThemeColours colours = ThemeColours::of(palette());
    addFront();
    QStringList origins;
    for (const ScatterPoint& point : std::as_const(m_points)) {
        if (!origins.contains(point.origin) && origins.size() < 32)
            origins += point.origin;
    }
    const auto rank = [](const QString& origin) {
        const auto found = std::find_if(kStyles.begin(), kStyles.end(), [&](const OriginStyle& s) { return origin == QLatin1String(s.origin); });
        return found - kStyles.begin();
    };
    std::stable_sort(origins.begin(), origins.end(), [&](const QString& a, const QString& b) { return rank(a) < rank(b); });
    for (const QString& origin : std::as_const(origins))
        addOrigin(origin);

    m_ring = addGraph();
    m_ring->removeFromLegend();
    m_ring->setLineStyle(QCPGraph::lsNone);
    m_ring->setScatterStyle(QCPScatterStyle(QCPScatterStyle::ssCircle, QPen(colours.text, 2), Qt::NoBrush, 19));

    if (!m_zoomed && !m_points.isEmpty()) {
        const auto [x0, x1] = std::minmax_element(m_points.begin(), m_points.end(), [](auto& a, auto& b) { return a.x < b.x; });
        const auto [y0, y1] = std::minmax_element(m_points.begin(), m_points.end(), [](auto& a, auto& b) { return a.y < b.y; });
        xAxis->setRange(padded(x0->x, x1->x));
        yAxis->setRange(padded(y0->y, y1->y));
    }
    m_note->setText(m_points.isEmpty() ? m_message : QString());
    for (QCPAxis* axis : {xAxis, yAxis})
        axis->setTickLabels(!m_points.isEmpty()); // a range of nothing has no numbers
    legend->setVisible(!m_points.isEmpty());
    wrapLegend();
    updateSelection();
}

void SearchScatter::mousePressEvent(QMouseEvent* event)
{
    m_press = event->position().toPoint();
    QCustomPlot::mousePressEvent(event);
}

void SearchScatter::mouseMoveEvent(QMouseEvent* event)
{
    QCustomPlot::mouseMoveEvent(event);
    if (event->buttons() != Qt::NoButton) {
        m_zoomed = m_zoomed || (event->position().toPoint() - m_press).manhattanLength() > 4;
        return;
    }
    const int row = rowAt(event->position());
    setCursor(row >= 0 ? Qt::PointingHandCursor : Qt::ArrowCursor);
    if (row < 0) {
        QToolTip::hideText();
        return;
    }
    const QPointF pixel = pixelOf(row);
    const auto here = std::count_if(m_points.begin(), m_points.end(), [&](const ScatterPoint& p) {
        return std::hypot(xAxis->coordToPixel(p.x) - pixel.x(), yAxis->coordToPixel(p.y) - pixel.y()) < 2;
    });
    QString text = pointOfRow(row)->text;
    if (here > 1)
        text += QLatin1Char('\n') + tr("%1 more at this spot: see the table").arg(here - 1);
    QToolTip::showText(event->globalPosition().toPoint(), plainToolTip(text), this,
                       QRect(pixel.toPoint() - QPoint(8, 8), QSize(16, 16)));
}

void SearchScatter::mouseReleaseEvent(QMouseEvent* event)
{
    QCustomPlot::mouseReleaseEvent(event);
    if (event->button() != Qt::LeftButton || (event->position().toPoint() - m_press).manhattanLength() > 4)
        return;
    const int row = rowAt(event->position());
    if (row < 0)
        return;
    setSelectedRow(row);
    Q_EMIT rowActivated(row);
}

void SearchScatter::mouseDoubleClickEvent(QMouseEvent* event)
{
    if (rowAt(event->position()) < 0)
        resetZoom();
}

void SearchScatter::wheelEvent(QWheelEvent* event)
{
    m_zoomed = true;
    QCustomPlot::wheelEvent(event);
}

void SearchScatter::step(int direction, bool alongX)
{
    if (m_points.isEmpty())
        return;
    QVector<const ScatterPoint*> order;
    for (const ScatterPoint& point : std::as_const(m_points))
        order += &point;
    std::stable_sort(order.begin(), order.end(), [alongX](const auto* a, const auto* b) {
        return alongX ? std::pair(a->x, a->y) < std::pair(b->x, b->y) : std::pair(a->y, a->x) < std::pair(b->y, b->x);
    });
    qsizetype at = -1;
    for (qsizetype i = 0; i < order.size(); ++i) {
        if (order[i]->row == m_selected)
            at = i;
    }
    at = at < 0 ? (direction > 0 ? 0 : order.size() - 1) : std::clamp<qsizetype>(at + direction, 0, order.size() - 1);
    setSelectedRow(order[at]->row);
    Q_EMIT rowSelected(m_selected);
    QToolTip::showText(mapToGlobal(pixelOf(m_selected).toPoint() + QPoint(8, 8)), plainToolTip(order[at]->text), this);
}

void SearchScatter::keyPressEvent(QKeyEvent* event)
{
    switch (event->key()) {
    case Qt::Key_Left: step(-1, true); break;
    case Qt::Key_Right: step(1, true); break;
    case Qt::Key_Down: step(-1, false); break;
    case Qt::Key_Up: step(1, false); break;
    case Qt::Key_0: resetZoom(); break;
    case Qt::Key_Return:
    case Qt::Key_Enter:
    case Qt::Key_Space:
        if (pointOfRow(m_selected) != nullptr)
            Q_EMIT rowActivated(m_selected);
        break;
    default: QCustomPlot::keyPressEvent(event);
    }
}

void SearchScatter::changeEvent(QEvent* event)
{
    QCustomPlot::changeEvent(event);
    if (event->type() == QEvent::PaletteChange || event->type() == QEvent::FontChange)
        rebuild();
}

void SearchScatter::resizeEvent(QResizeEvent* event)
{
    wrapLegend();
    QCustomPlot::resizeEvent(event);
}

void SearchScatter::wrapLegend()
{
    // As many columns as have room for the longest name; the grid gives all columns the same width.
    int widest = 1;
    for (int i = 0; i < legend->itemCount(); ++i) // empty cells count as well
        if (const QCPAbstractLegendItem* item = legend->item(i))
            widest = std::max(widest, item->minimumOuterSizeHint().width());
    const int columns = std::max(1, (width() - 24) / (widest + legend->columnSpacing()));
    if (legend->wrap() == columns)
        return;
    legend->setWrap(columns);
    legend->setFillOrder(QCPLayoutGrid::foColumnsFirst, true); // sorts what is there into the new columns
}

} // namespace postnas
