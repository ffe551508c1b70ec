// The board: one tile per layer, coloured and lettered by its block, edited by mouse and keyboard.
#pragma once

#include <QListView>
#include <QStringList>
#include <QVector>

namespace postnas {

class LayerModel;
class PlacementDocument;

/// Click, Ctrl, Shift and rubber band select; arrows, Home and End move (with Shift: extend); a number sets the block with
/// that number in the palette, a letter the next block that begins with it; Return opens the chooser; Delete brings back the
/// teacher's block.
class PlacementBoard : public QListView {
    Q_OBJECT
public:
    explicit PlacementBoard(PlacementDocument& document, QWidget* parent = nullptr);

    QVector<int> selectedLayers() const; ///< ascending, from 0
    void selectLayer(int layer);         ///< alone; scrolls to it
    /// Selects the current layer when none is selected, so that the next key has something to work on.
    void selectSomething();
    /// The blocks in the order of the number keys.
    static QStringList blockOrder();

    /// Sets the block of the selected layers.
    void assignBlock(const QString& block);
    void resetSelected();
    void openChooser();

Q_SIGNALS:
    void selectionChangedByUser();
    void problem(const QString& sentence);

protected:
    void keyPressEvent(QKeyEvent* event) override;
    void focusInEvent(QFocusEvent* event) override;
    void contextMenuEvent(QContextMenuEvent* event) override;
    QModelIndex moveCursor(CursorAction action, Qt::KeyboardModifiers modifiers) override;
    void selectionChanged(const QItemSelection& selected, const QItemSelection& deselected) override;
    void keyboardSearch(const QString&) override {} // letters choose blocks here

private:
    int columns() const;
    void popupMenu(const QPoint& global);

    PlacementDocument& m_document;
    LayerModel* m_model;
};

} // namespace postnas
