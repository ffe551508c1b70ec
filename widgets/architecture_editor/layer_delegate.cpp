// A tile: the layer's number, the block's code on its colour, the state it keeps, and a corner mark where it was changed.
#include "widgets/architecture_editor/layer_delegate.h"

#include <QPainter>
#include <QPainterPath>

#include "widgets/models/layer_model.h"
#include "widgets/theme/block_colours.h"
#include "widgets/theme/theme.h"

namespace postnas {

QSize LayerDelegate::sizeHint(const QStyleOptionViewItem&, const QModelIndex&) const { return {kTileWidth, kTileHeight}; }

void LayerDelegate::paint(QPainter* painter, const QStyleOptionViewItem& option, const QModelIndex& index) const
{
    const ThemeColours colours = ThemeColours::of(option.palette);
    const BlockStyle style = blockStyle(index.data(LayerModel::BlockRole).toString(), colours.dark);
    const bool selected = option.state.testFlag(QStyle::State_Selected);
    const bool focused = option.state.testFlag(QStyle::State_HasFocus);
    painter->save();
    painter->setRenderHint(QPainter::Antialiasing);
    const QRectF outer = QRectF(option.rect).adjusted(4, 4, -4, -4);

    painter->setPen(QPen(style.border, 1));
    painter->setBrush(style.fill);
    painter->drawRoundedRect(outer, 6, 6);

    if (index.data(LayerModel::ChangedRole).toBool()) {
        QPainterPath clip;
        clip.addRoundedRect(outer, 6, 6);
        QPainterPath corner;
        corner.moveTo(outer.right() - 14, outer.top());
        corner.lineTo(outer.right(), outer.top());
        corner.lineTo(outer.right(), outer.top() + 14);
        corner.closeSubpath();
        painter->fillPath(clip.intersected(corner), style.text);
    }

    QFont small = option.font;
    small.setPointSizeF(option.font.pointSizeF() * 0.85);
    painter->setPen(style.text);
    painter->setFont(small);
    painter->drawText(outer.adjusted(7, 5, -7, 0), Qt::AlignLeft | Qt::AlignTop, index.data().toString());
    QFont large = option.font;
    large.setPointSizeF(option.font.pointSizeF() * 1.35);
    large.setBold(true);
    painter->setFont(large);
    painter->drawText(outer, Qt::AlignCenter, style.code);
    painter->setFont(small);
    const QString state = QFontMetricsF(small).elidedText(index.data(LayerModel::StateRole).toString(), Qt::ElideRight, outer.width() - 6);
    painter->drawText(outer.adjusted(3, 0, -3, -5), Qt::AlignHCenter | Qt::AlignBottom, state);

    if (selected || focused) {
        painter->setBrush(Qt::NoBrush);
        QPen pen(selected ? colours.accent : colours.text, selected ? 3 : 1);
        if (focused && !selected)
            pen.setStyle(Qt::DashLine);
        painter->setPen(pen);
        painter->drawRoundedRect(outer.adjusted(-2, -2, 2, 2), 8, 8);
        if (focused && selected) {
            painter->setPen(QPen(style.text, 1, Qt::DotLine));
            painter->drawRoundedRect(outer.adjusted(3, 3, -3, -3), 4, 4);
        }
    }
    painter->restore();
}

} // namespace postnas
