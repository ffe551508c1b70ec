// The scatter plot of evaluated placements: marker per origin, Pareto front, hover, selection by mouse and keyboard.
#pragma once

#include <QString>
#include <QVector>

#include "widgets/plots/qcustomplot.h"

namespace postnas {

struct ScatterPoint {
    int row = -1; ///< of the model
    double x = 0, y = 0; ///< finite
    QString origin;
    QString text; ///< tooltip, several lines
    bool pareto = false;
};

class SearchScatter : public QCustomPlot {
    Q_OBJECT

public:
    explicit SearchScatter(QWidget* parent = nullptr);

    void setTitles(const QString& x, const QString& y);
    /// `largerXIsBetter` decides on which side the front's steps run. `message` is shown when there are no points.
    void setPoints(const QVector<ScatterPoint>& points, bool largerXIsBetter, const QString& message);
    const QVector<ScatterPoint>& points() const { return m_points; }
    void setSelectedRow(int row); ///< -1: none; emits nothing
    int selectedRow() const { return m_selected; }
    void resetZoom();

    QPointF pixelOf(int row) const; ///< null point when the row is not in the plot
    int rowAt(const QPointF& pixel) const; ///< nearest point within reach, -1: none
    QStringList legendTexts() const;

Q_SIGNALS:
    void rowSelected(int row);  ///< cursor keys
    void rowActivated(int row); ///< click, Return, Space

protected:
    void mousePressEvent(QMouseEvent* event) override;
    void mouseMoveEvent(QMouseEvent* event) override;
    void mouseReleaseEvent(QMouseEvent* event) override;
    void mouseDoubleClickEvent(QMouseEvent* event) override;
    void wheelEvent(QWheelEvent* event) override;
    void keyPressEvent(QKeyEvent* event) override;
    void changeEvent(QEvent* event) override;
    void resizeEvent(QResizeEvent* event) override;

private:
    void rebuild();
    void addFront();
    void addOrigin(const QString& origin);
    void updateSelection();
    void wrapLegend();
    const ScatterPoint* pointOfRow(int row) const;
    void step(int direction, bool alongX);

    QVector<ScatterPoint> m_points;
    QString m_message;
    bool m_largerX = true;
    bool m_zoomed = false;
    int m_selected = -1;
    QPoint m_press;
    QCPGraph* m_ring = nullptr;
    QCPItemText* m_note = nullptr;
};

} // namespace postnas
