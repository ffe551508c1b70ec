// Selection, keys and menu of the board.
#include "widgets/architecture_editor/placement_board.h"

#include <algorithm>

#include <QContextMenuEvent>
#include <QKeyEvent>
#include <QMenu>

#include "core/architecture/block_description.h"
#include "widgets/architecture_editor/layer_delegate.h"
#include "widgets/architecture_editor/placement_document.h"
#include "widgets/models/layer_model.h"
#include "widgets/services/convert.h"
#include "widgets/services/problem.h"

namespace postnas {

PlacementBoard::PlacementBoard(PlacementDocument& document, QWidget* parent)
    : QListView(parent), m_document(document), m_model(new LayerModel(document, this))
{
    setModel(m_model);
    setItemDelegate(new LayerDelegate(this));
    setViewMode(QListView::IconMode);
    setFlow(QListView::LeftToRight);
    setWrapping(true);
    setResizeMode(QListView::Adjust);
    setMovement(QListView::Static);
    setDragEnabled(false);
    setSelectionMode(QAbstractItemView::ExtendedSelection);
    setSelectionRectVisible(true);
    setUniformItemSizes(true);
    setGridSize({LayerDelegate::kTileWidth, LayerDelegate::kTileHeight});
    setEditTriggers(QAbstractItemView::NoEditTriggers);
    setMouseTracking(true);
    setAccessibleName(tr("Placement board"));
    setAccessibleDescription(tr("One tile per layer. Arrow keys move, numbers and letters set the block, Return opens the chooser."));
}

QVector<int> PlacementBoard::selectedLayers() const
{
    QVector<int> layers;
    for (const QModelIndex& index : selectionModel()->selectedIndexes())
        layers.append(index.row());
    std::sort(layers.begin(), layers.end());
    return layers;
}

void PlacementBoard::selectLayer(int layer)
{
    const QModelIndex index = m_model->index(layer);
    if (!index.isValid())
        return;
    selectionModel()->setCurrentIndex(index, QItemSelectionModel::ClearAndSelect);
    scrollTo(index);
}

void PlacementBoard::selectSomething()
{
    if (selectedLayers().isEmpty())
        selectLayer(std::max(0, currentIndex().row()));
}

void PlacementBoard::focusInEvent(QFocusEvent* event)
{
    QListView::focusInEvent(event);
    if (event->reason() != Qt::MouseFocusReason && event->reason() != Qt::PopupFocusReason)
        selectSomething();
}

QStringList PlacementBoard::blockOrder()
{
    // Attention first, as every teacher has it; the rest as the catalogue sorts them.
    QStringList order;
    for (const BlockDescription* block : allBlocks())
        order.append(toQString(block->name()));
    if (const qsizetype at = order.indexOf(QStringLiteral("attention")); at > 0)
        order.move(at, 0);
    return order;
}

void PlacementBoard::assignBlock(const QString& block)
{
    const QVector<int> layers = selectedLayers();
    if (layers.isEmpty())
        return;
    try {
        m_document.setBlock(layers, block);
    } catch (...) {
        Q_EMIT problem(Problem::current().message);
    }
}

void PlacementBoard::resetSelected() { m_document.resetToTeacher(selectedLayers()); }

int PlacementBoard::columns() const
{
    // Counted from what is laid out, so that it is right whatever margins the style takes.
    int count = 0;
    const int top = m_model->rowCount() > 0 ? rectForIndex(m_model->index(0)).top() : 0;
    while (count < m_model->rowCount() && rectForIndex(m_model->index(count)).top() == top)
        ++count;
    return std::max(count, 1);
}

QModelIndex PlacementBoard::moveCursor(CursorAction action, Qt::KeyboardModifiers)
{
    const int count = m_model->rowCount();
    if (count == 0)
        return {};
    const QModelIndex current = currentIndex();
    if (!current.isValid())
        return m_model->index(0);
    const int visibleRows = std::max(1, viewport()->height() / LayerDelegate::kTileHeight);
    const bool mirrored = layoutDirection() == Qt::RightToLeft;
    int row = current.row();
    switch (action) {
    case MoveLeft: row += mirrored ? 1 : -1; break;
    case MoveRight: row += mirrored ? -1 : 1; break;
    case MovePrevious: --row; break;
    case MoveNext: ++row; break;
    case MoveUp: row = row >= columns() ? row - columns() : row; break;
    case MoveDown: row = row + columns() < count ? row + columns() : row; break;
    case MovePageUp: row -= columns() * visibleRows; break;
    case MovePageDown: row += columns() * visibleRows; break;
    case MoveHome: row = 0; break;
    case MoveEnd: row = count - 1; break;
    }
    return m_model->index(std::clamp(row, 0, count - 1));
}

void PlacementBoard::keyPressEvent(QKeyEvent* event)
{
    const bool plain = (event->modifiers() & ~(Qt::KeypadModifier | Qt::ShiftModifier)) == Qt::NoModifier;
    if (plain && (event->key() == Qt::Key_Return || event->key() == Qt::Key_Enter)) {
        openChooser();
        return;
    }
    if (plain && (event->key() == Qt::Key_Delete || event->key() == Qt::Key_Backspace)) {
        resetSelected();
        return;
    }
    const QString text = plain ? event->text().toLower() : QString();
    if (text.size() == 1 && !selectedLayers().isEmpty()) {
        const QStringList order = blockOrder();
        const QChar key = text[0];
        if (const int number = key.digitValue(); number >= 1 && number <= order.size()) {
            assignBlock(order[number - 1]);
            return;
        }
        // The next block with this first letter behind the present one, so that a letter pressed again goes on.
        const qsizetype begin = order.indexOf(toQString(m_document.layer(currentIndex().isValid() ? currentIndex().row() : 0).block));
        for (qsizetype step = 1; key.isLetter() && step <= order.size(); ++step) {
            const QString& name = order[(begin + step) % order.size()];
            if (name.startsWith(key)) {
                assignBlock(name);
                return;
            }
        }
    }
    QListView::keyPressEvent(event);
}

void PlacementBoard::contextMenuEvent(QContextMenuEvent* event)
{
    if (event->reason() == QContextMenuEvent::Mouse) {
        popupMenu(event->globalPos());
        return;
    }
    openChooser();
}

void PlacementBoard::openChooser()
{
    const QRect tile = visualRect(currentIndex());
    popupMenu(viewport()->mapToGlobal(tile.isValid() ? tile.bottomLeft() : QPoint(0, 0)));
}

void PlacementBoard::popupMenu(const QPoint& global)
{
    const QVector<int> layers = selectedLayers();
    if (layers.isEmpty())
        return;
    auto* menu = new QMenu(this);
    menu->setObjectName(QStringLiteral("blockChooser"));
    menu->setAttribute(Qt::WA_DeleteOnClose);
    menu->addSection(tr("Block of %1").arg(layersText(layers)));
    const QString present = toQString(m_document.layer(layers[0]).block);
    int number = 1;
    for (const QString& name : blockOrder()) {
        const BlockDescription& block = blockNamed(toStd(name));
        QAction* action = menu->addAction(number < 10 ? QStringLiteral("&%1  %2").arg(number).arg(toQString(block.displayName()))
                                                      : toQString(block.displayName()));
        action->setCheckable(true);
        action->setChecked(name == present);
        action->setToolTip(toQString(block.summary()));
        connect(action, &QAction::triggered, this, [this, name] { assignBlock(name); });
        ++number;
    }
    menu->addSeparator();
    menu->addAction(tr("&Teacher's block"), this, &PlacementBoard::resetSelected);
    menu->popup(global);
}

void PlacementBoard::selectionChanged(const QItemSelection& selected, const QItemSelection& deselected)
{
    QListView::selectionChanged(selected, deselected);
    Q_EMIT selectionChangedByUser();
}

} // namespace postnas
