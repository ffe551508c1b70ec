// Buttons for all blocks of the catalogue.
#include "widgets/architecture_editor/block_palette.h"

#include <QEvent>
#include <QPainter>
#include <QToolButton>
#include <QVBoxLayout>

#include "core/architecture/block_description.h"
#include "widgets/architecture_editor/placement_board.h"
#include "widgets/services/convert.h"
#include "widgets/theme/block_colours.h"
#include "widgets/theme/theme.h"

namespace postnas {
namespace {

QIcon swatch(const QString& block, bool dark, qreal ratio)
{
    const QSize size(46, 24);
    QPixmap pixmap(size * ratio);
    pixmap.setDevicePixelRatio(ratio);
    pixmap.fill(Qt::transparent);
    const BlockStyle style = blockStyle(block, dark);
    QPainter painter(&pixmap);
    painter.setRenderHint(QPainter::Antialiasing);
    painter.setPen(QPen(style.border, 1));
    painter.setBrush(style.fill);
    painter.drawRoundedRect(QRectF(0.5, 0.5, size.width() - 1, size.height() - 1), 4, 4);
    QFont font = painter.font();
    font.setBold(true);
    font.setPixelSize(12);
    painter.setFont(font);
    painter.setPen(style.text);
    painter.drawText(QRect(QPoint(), size), Qt::AlignCenter, style.code);
    // In colour also while nothing is selected: the palette is the board's legend.
    QIcon icon(pixmap);
    icon.addPixmap(pixmap, QIcon::Disabled);
    return icon;
}

} // namespace

BlockPalette::BlockPalette(QWidget* parent) : QWidget(parent)
{
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(0, 0, 0, 0);
    layout->setSpacing(2);
    int number = 1;
    for (const QString& name : PlacementBoard::blockOrder()) {
        const BlockDescription& block = blockNamed(toStd(name));
        auto* button = new QToolButton(this);
        button->setObjectName(QStringLiteral("block_") + name);
        const QString title = toQString(block.displayName());
        button->setText(number < 10 ? QStringLiteral("%1   %2").arg(number).arg(title) : title);
        button->setToolButtonStyle(Qt::ToolButtonTextBesideIcon);
        button->setIconSize({46, 24});
        button->setCheckable(true);
        button->setAutoRaise(true);
        button->setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Fixed);
        button->setToolTip(tr("%1\n%2\nKey: %3").arg(toQString(block.summary()), toQString(block.source())).arg(number));
        button->setAccessibleName(tr("Set block %1").arg(title));
        connect(button, &QToolButton::clicked, this, [this, name] { Q_EMIT blockChosen(name); });
        layout->addWidget(button);
        m_buttons.emplace_back(name, button);
        ++number;
    }
    drawSwatches();
}

void BlockPalette::drawSwatches()
{
    const bool dark = ThemeColours::of(palette()).dark;
    for (const auto& [name, button] : m_buttons)
        button->setIcon(swatch(name, dark, devicePixelRatioF()));
}

void BlockPalette::changeEvent(QEvent* event)
{
    QWidget::changeEvent(event);
    if (event->type() == QEvent::PaletteChange)
        drawSwatches();
}

void BlockPalette::setPresentBlock(const QString& block)
{
    for (const auto& [name, button] : m_buttons)
        button->setChecked(name == block);
}

QToolButton* BlockPalette::button(const QString& block) const
{
    for (const auto& [name, button] : m_buttons)
        if (name == block)
            return button;
    return nullptr;
}

} // namespace postnas
