// Draws one layer's tile.
#pragma once

#include <QStyledItemDelegate>

namespace postnas {

class LayerDelegate : public QStyledItemDelegate {
    Q_OBJECT
public:
    static constexpr int kTileWidth = 76;
    static constexpr int kTileHeight = 84;

    using QStyledItemDelegate::QStyledItemDelegate;
    void paint(QPainter* painter, const QStyleOptionViewItem& option, const QModelIndex& index) const override;
    QSize sizeHint(const QStyleOptionViewItem& option, const QModelIndex& index) const override;
};

} // namespace postnas
