// The layer-by-task heatmap with its table: which layer matters for which task.
#pragma once

#include <QWidget>

#include "widgets/heatmap/heatmap_data.h"

class QCheckBox;
class QComboBox;
class QLabel;
class QTableView;

namespace postnas {

class HeatmapModel;
class HeatmapPlot;

/// A plot of coloured cells (tasks down, layers across, numbered from 1) between the columns "none" and "all", and a sortable
/// table of the same values. A click, Return or Space on a layer's cell emits layerActivated.
class HeatmapView : public QWidget {
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

    HeatmapMetric metric() const;
    void setMetric(HeatmapMetric metric);

    HeatmapPlot* plot() const { return m_plot; }
    QTableView* table() const { return m_table; }

    /// The table as it is shown (metric, order), with a header line.
    QString toCsv() const;
    /// `file` ends in .png, .svg or .csv. Throws Error(Resource) when it cannot be written, Error(Usage) for other endings.
    void exportTo(const QString& file) const;

Q_SIGNALS:
    void layerActivated(int layer); ///< from 0; the UI shows layer + 1

protected:
    void changeEvent(QEvent* event) override;

private:
    void refresh();
    void updateCaption();
    void selectTableRow(int column); ///< HeatmapPlot's column
    void exportWithDialog();

    HeatmapData m_data;
    HeatmapModel* m_model = nullptr;
    HeatmapPlot* m_plot = nullptr;
    QTableView* m_table = nullptr;
    QComboBox* m_metric = nullptr;
    QComboBox* m_scale = nullptr;
    QCheckBox* m_numbers = nullptr;
    QLabel* m_caption = nullptr;
    bool m_hasMarks = false;
};

} // namespace postnas
