// Draws a placement as a strip of coloured squares, one per layer.
#pragma once

#include <QStyledItemDelegate>

namespace postnas {

/// Expects the block names, separated by spaces, in `role` of the model.
class PlacementDelegate : public QStyledItemDelegate {
    Q_OBJECT

public:
    PlacementDelegate(int role, QObject* parent);

    void paint(QPainter* painter, const QStyleOptionViewItem& option, const QModelIndex& index) const override;
    QSize sizeHint(const QStyleOptionViewItem& option, const QModelIndex& index) const override;

private:
    int m_role;
};

} // namespace postnas
