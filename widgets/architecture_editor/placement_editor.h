// The page "Placement": board, palette, hyperparameters and summary of one placement document.
#pragma once

#include <QWidget>

class QLabel;

namespace postnas {

class BlockPalette;
class HyperparameterEditor;
class PlacementBoard;
class PlacementDocument;
class SummaryBar;

class PlacementEditor : public QWidget {
    Q_OBJECT
public:
    explicit PlacementEditor(PlacementDocument& document, QWidget* parent = nullptr);

    PlacementBoard* board() const { return m_board; }
    BlockPalette* blockPalette() const { return m_palette; }
    HyperparameterEditor* hyperparameters() const { return m_hyperparameters; }
    SummaryBar* summary() const { return m_summary; }

    /// Selects the layer (from 0) and gives the board the focus.
    void showLayer(int layer);

Q_SIGNALS:
    void problem(const QString& sentence);
    void saveRequested();
    void loadRequested();

private:
    void selectionChanged();

    PlacementDocument& m_document;
    QLabel* m_title;
    PlacementBoard* m_board;
    BlockPalette* m_palette;
    HyperparameterEditor* m_hyperparameters;
    SummaryBar* m_summary;
};

} // namespace postnas
