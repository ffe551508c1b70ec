// The picture of the heatmap: cells with a cursor, hover values and a colour scale.
#pragma once

#include <QVector>

#include "widgets/heatmap/heatmap_data.h"
#include "widgets/plots/qcustomplot.h"

namespace postnas {

enum class HeatmapScale {
    Absolute,  ///< one range for all tasks
    PerTask,   ///< each task from its lowest to its highest layer
    Difference ///< diverging around each task's value with no full layer
};

class HeatmapCells;

/// Columns: kNone, layers 0 to layers-1, then `layers` for all. Rows are tasks, the first one on top.
class HeatmapPlot : public QCustomPlot {
    Q_OBJECT

public:
    static constexpr int kNone = -1;

    explicit HeatmapPlot(QWidget* parent = nullptr);

    void setData(const HeatmapData& data, ScoreMetric metric);
    void setScale(HeatmapScale scale);
    void setShowNumbers(bool on);
    void setMarkedLayers(const QVector<int>& layers);
    void setCursorCell(int task, int column); ///< clamped; emits nothing
    int cursorTask() const { return m_task; }
    int cursorColumn() const { return m_column; }

    /// Where a cell is drawn, in widget pixels; empty for a cell that is not there.
    QRect cellRect(int task, int column) const;
    QColor cellColour(int task, int column) const;
    double cellValue(int task, int column) const;
    /// Whether a layer has the task's highest value, and not all layers the same.
    bool isBest(int task, int column) const;
    /// Several lines: task, layer, all metrics, difference to none.
    QString cellText(int task, int column) const;

Q_SIGNALS:
    void cursorMoved(int task, int column);   ///< by the user
    void cellActivated(int task, int column); ///< click, Return, Space

protected:
    void mousePressEvent(QMouseEvent* event) override;
    void mouseMoveEvent(QMouseEvent* event) override;
    void mouseReleaseEvent(QMouseEvent* event) override;
    void leaveEvent(QEvent* event) override;
    void keyPressEvent(QKeyEvent* event) override;
    void focusInEvent(QFocusEvent* event) override;
    void focusOutEvent(QFocusEvent* event) override;
    void changeEvent(QEvent* event) override;
    void resizeEvent(QResizeEvent* event) override;

private:
    friend class HeatmapCells;
    bool cellAt(const QPoint& position, int* task, int* column) const;
    const HeatmapCell* cell(int task, int column) const;
    double position(int task, int column) const; ///< in the colour map, NaN: not known
    void moveCursor(int task, int column);
    void updateRanges();
    void fitCells();
    void restyle();
    void refresh();

    HeatmapData m_data;
    ScoreMetric m_metric = ScoreMetric::Accuracy;
    HeatmapScale m_scale = HeatmapScale::Absolute;
    bool m_numbers = true;
    QVector<int> m_marked;
    int m_task = 0;
    int m_column = 0;
    int m_hoverTask = -1, m_hoverColumn = -1;
    int m_pressTask = -1, m_pressColumn = -1;
    double m_low = 0, m_high = 1;       ///< absolute range, or plus and minus the largest difference
    QVector<QPair<double, double>> m_taskRange;
    HeatmapCells* m_cells = nullptr;
    QCPColorScale* m_colourScale = nullptr;
};

} // namespace postnas
