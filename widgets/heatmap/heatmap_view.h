// The layer-by-task heatmap with its table: which layer matters for which task.
#pragma once

#include "widgets/heatmap/heatmap_data.h"
#include "widgets/plots/plot_table_view.h"

class QCheckBox;
class QComboBox;
class QSortFilterProxyModel;

namespace postnas {

class HeatmapModel;
class HeatmapPlot;

/// A plot of coloured cells (tasks down, layers across, numbered from 1) between the columns "none" and "all", and a sortable
/// table of the same values. A click, Return or Space on a layer's cell emits layerActivated.
class HeatmapView : public PlotTableView {
    Q_OBJECT

public:
    explicit HeatmapView(QWidget* parent = nullptr);

    void setData(const HeatmapData& data);
    const HeatmapData& data() const { return m_data; }
    void clear();
    /// A live event of a running placement stage; ignores those that are not part of a heatmap.
    void addCandidate(const event::Candidate& candidate);
    /// Marks layers (from 0), e.g. the full-attention layers of the placement on the board.
    void setMarkedLayers(const QVector<int>& layers);
    /// Keeps table and plot on this layer (from 0) without emitting layerActivated.
    void setCurrentLayer(int layer);

    ScoreMetric metric() const;
    void setMetric(ScoreMetric metric);

    HeatmapPlot* plot() const { return m_plot; }

Q_SIGNALS:
    void layerActivated(int layer); ///< from 0; the UI shows layer + 1

private:
    void refresh();
    void updateCaption();
    void selectTableRow(int column); ///< HeatmapPlot's column

    HeatmapData m_data;
    HeatmapModel* m_model = nullptr;
    HeatmapPlot* m_plot = nullptr;
    QSortFilterProxyModel* m_proxy = nullptr;
    QComboBox* m_metric = nullptr;
    QComboBox* m_scale = nullptr;
    QCheckBox* m_numbers = nullptr;
    bool m_hasMarks = false;
};

} // namespace postnas
