// Colours and fonts of plots.
#include "widgets/theme/plot_theme.h"

#include "widgets/plots/qcustomplot.h"
#include "widgets/theme/theme.h"

namespace postnas {

void applyTheme(QCustomPlot* plot)
{
    const ThemeColours c = ThemeColours::of(plot->palette());
    plot->setBackground(c.surface);
    QFont small = plot->font();
    if (small.pointSizeF() > 8)
        small.setPointSizeF(small.pointSizeF() - 0.5);
    for (QCPAxisRect* rect : plot->axisRects()) {
        for (QCPAxis* axis : rect->axes()) {
            axis->setBasePen(QPen(c.border, 1));
            axis->setTickPen(QPen(c.border, 1));
            axis->setSubTickPen(Qt::NoPen);
            axis->setTickLabelColor(c.mutedText);
            axis->setTickLabelFont(small);
            axis->setLabelColor(c.text);
            axis->setLabelFont(plot->font());
            axis->setLabelPadding(6);
            axis->setTickLengthIn(0);
            axis->setTickLengthOut(4);
            axis->setSelectedBasePen(QPen(c.accent, 1));
            axis->setSelectedTickPen(QPen(c.accent, 1));
            axis->setSelectedTickLabelColor(c.accent);
            axis->setSelectedLabelColor(c.accent);
            axis->grid()->setPen(QPen(c.grid, 1));
            axis->grid()->setZeroLinePen(QPen(c.grid, 1));
            axis->grid()->setSubGridVisible(false);
        }
    }
    for (int i = 0; i < plot->itemCount(); ++i) {
        if (auto* text = qobject_cast<QCPItemText*>(plot->item(i))) {
            text->setColor(c.mutedText);
            text->setFont(plot->font());
        }
    }
    if (plot->legend) {
        plot->legend->setBrush(Qt::NoBrush);
        plot->legend->setBorderPen(Qt::NoPen);
        plot->legend->setFont(small);
        plot->legend->setTextColor(c.text);
    }
}

QCPItemText* addNote(QCustomPlot* plot)
{
    auto* note = new QCPItemText(plot);
    note->position->setType(QCPItemPosition::ptAxisRectRatio);
    note->position->setCoords(0.5, 0.5);
    note->setPositionAlignment(Qt::AlignCenter);
    note->setTextAlignment(Qt::AlignCenter);
    return note;
}

} // namespace postnas
