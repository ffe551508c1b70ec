// The heatmap's numbers as a table: one row per layer (and none, all), one column per task.
#pragma once

#include <QAbstractTableModel>

#include "widgets/heatmap/heatmap_data.h"

namespace postnas {

/// Row 0 is "none", row 1 layer 0 (shown as 1), the last one "all". Column 0 names the row.
class HeatmapModel : public QAbstractTableModel {
    Q_OBJECT

public:
    enum Role { SortRole = Qt::UserRole };

    explicit HeatmapModel(QObject* parent = nullptr);

    void setData(const HeatmapData& data, ScoreMetric metric);
    int columnOfRow(int row) const { return row - 1; } ///< HeatmapPlot's column: -1 none, layers: all
    int rowOfColumn(int column) const { return column + 1; }

    int rowCount(const QModelIndex& parent = {}) const override;
    int columnCount(const QModelIndex& parent = {}) const override;
    QVariant data(const QModelIndex& index, int role = Qt::DisplayRole) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role = Qt::DisplayRole) const override;

private:
    double value(int row, int task) const;

    HeatmapData m_data;
    ScoreMetric m_metric = ScoreMetric::Accuracy;
};

} // namespace postnas
