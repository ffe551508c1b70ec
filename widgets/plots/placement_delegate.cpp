// Strip of squares for placements in tables.
#include "widgets/plots/placement_delegate.h"

#include <QApplication>
#include <QPainter>

#include "widgets/theme/block_colours.h"
#include "widgets/theme/theme.h"

namespace postnas {

namespace {

int squareWidth(qsizetype layers)
{
    return layers <= 12 ? 15 : layers <= 32 ? 9 : 5;
}

} // namespace

PlacementDelegate::PlacementDelegate(int role, QObject* parent)
    : QStyledItemDelegate(parent)
    , m_role(role)
{
}

void PlacementDelegate::paint(QPainter* painter, const QStyleOptionViewItem& option, const QModelIndex& index) const
{
    QStyleOptionViewItem background = option;
    initStyleOption(&background, index);
    background.text.clear();
    QApplication::style()->drawControl(QStyle::CE_ItemViewItem, &background, painter, option.widget);

    const QStringList blocks = index.data(m_role).toString().split(QLatin1Char(' '), Qt::SkipEmptyParts);
    const bool dark = ThemeColours::of(option.palette).dark;
    const int width = squareWidth(blocks.size());
    const int height = std::min(15, option.rect.height() - 6);
    painter->save();
    painter->setClipRect(option.rect);
    QFont font = option.font;
    font.setPixelSize(std::max(8, height - 5));
    font.setBold(true);
    painter->setFont(font);
    int x = option.rect.left() + 6;
    const int y = option.rect.center().y() - height / 2;
    for (const QString& block : blocks) {
        const BlockStyle style = blockStyle(block, dark);
        const QRect square(x, y, width - 1, height);
        painter->fillRect(square, style.fill);
        if (width >= 12 && style.code.size() == 1) {
            painter->setPen(style.text);
            painter->drawText(square, Qt::AlignCenter, style.code);
        }
        x += width;
    }
    painter->restore();
}

QSize PlacementDelegate::sizeHint(const QStyleOptionViewItem& option, const QModelIndex& index) const
{
    const qsizetype layers = index.data(m_role).toString().count(QLatin1Char(' ')) + 1;
    return {static_cast<int>(std::min<qsizetype>(layers, 80)) * squareWidth(layers) + 12,
            QStyledItemDelegate::sizeHint(option, index).height()};
}

} // namespace postnas
