// Mouse, hover and keyboard of the heatmap.
#include "widgets/heatmap/heatmap_plot.h"
#include "widgets/plots/export.h"

namespace postnas {

bool HeatmapPlot::cellAt(const QPoint& at, int* task, int* column) const
{
    const int row = qRound(yAxis->pixelToCoord(at.y()));
    for (int c = kNone; c <= m_data.layers; ++c) {
        if (cellRect(row, c).adjusted(-1, -1, 1, 1).contains(at)) {
            *task = row;
            *column = c;
            return true;
        }
    }
    return false;
}

void HeatmapPlot::moveCursor(int task, int column)
{
    setCursorCell(task, column);
    Q_EMIT cursorMoved(m_task, m_column);
}

void HeatmapPlot::mousePressEvent(QMouseEvent* event)
{
    m_pressTask = -1;
    if (event->button() == Qt::LeftButton && cellAt(event->position().toPoint(), &m_pressTask, &m_pressColumn))
        moveCursor(m_pressTask, m_pressColumn);
}

void HeatmapPlot::mouseReleaseEvent(QMouseEvent* event)
{
    int task = -1, column = 0;
    if (event->button() == Qt::LeftButton && cellAt(event->position().toPoint(), &task, &column) && task == m_pressTask
        && column == m_pressColumn)
        Q_EMIT cellActivated(task, column);
    m_pressTask = -1;
}

void HeatmapPlot::mouseMoveEvent(QMouseEvent* event)
{
    int task = -1, column = 0;
    const QPoint at = event->position().toPoint();
    const bool inside = cellAt(at, &task, &column);
    if (task == m_hoverTask && column == m_hoverColumn)
        return;
    m_hoverTask = inside ? task : -1;
    m_hoverColumn = column;
    if (inside)
        QToolTip::showText(event->globalPosition().toPoint(), plainToolTip(cellText(task, column)), this, cellRect(task, column));
    else
        QToolTip::hideText();
    setCursor(inside && column >= 0 && column < m_data.layers ? Qt::PointingHandCursor : Qt::ArrowCursor);
    replot(rpQueuedReplot);
}

void HeatmapPlot::leaveEvent(QEvent* event)
{
    QCustomPlot::leaveEvent(event);
    m_hoverTask = -1;
    replot(rpQueuedReplot);
}

void HeatmapPlot::keyPressEvent(QKeyEvent* event)
{
    switch (event->key()) {
    case Qt::Key_Left: moveCursor(m_task, m_column - 1); break;
    case Qt::Key_Right: moveCursor(m_task, m_column + 1); break;
    case Qt::Key_Up: moveCursor(m_task - 1, m_column); break;
    case Qt::Key_Down: moveCursor(m_task + 1, m_column); break;
    case Qt::Key_Home: moveCursor(m_task, kNone); break;
    case Qt::Key_End: moveCursor(m_task, m_data.layers); break;
    case Qt::Key_Return:
    case Qt::Key_Enter:
    case Qt::Key_Space:
        if (!m_data.isEmpty())
            Q_EMIT cellActivated(m_task, m_column);
        break;
    default: QCustomPlot::keyPressEvent(event); return;
    }
    if (!m_data.isEmpty()) {
        const QRect rect = cellRect(m_task, m_column);
        QToolTip::showText(mapToGlobal(rect.bottomLeft()), plainToolTip(cellText(m_task, m_column)), this);
    }
}

void HeatmapPlot::focusInEvent(QFocusEvent* event)
{
    QCustomPlot::focusInEvent(event);
    replot(rpQueuedReplot);
}

void HeatmapPlot::focusOutEvent(QFocusEvent* event)
{
    QCustomPlot::focusOutEvent(event);
    replot(rpQueuedReplot);
}

} // namespace postnas
