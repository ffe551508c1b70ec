// A live line plot for curves of a run: loss, learning rate, tokens per second.
#pragma once

#include <QHash>
#include <QSet>
#include <QStringList>
#include <QVector>
#include <QWidget>

class QCPItemText;
class QCheckBox;
class QCustomPlot;
class QTimer;

namespace postnas {

/// Points may come fast: they are collected and drawn at most some ten times a second. A repeated x replaces the earlier y
/// (a resumed run does some steps again). Long series are thinned for drawing only; extremes stay visible.
class LinePlot : public QWidget {
    Q_OBJECT

public:
    explicit LinePlot(QWidget* parent = nullptr);

    void setTitles(const QString& x, const QString& y);
    void appendPoint(const QString& series, double x, double y); ///< NaN and infinite values leave a gap
    void setPoints(const QString& series, const QVector<double>& x, const QVector<double>& y);
    void clear();
    QStringList seriesNames() const { return m_order; }
    int pointCount(const QString& series) const;

    void setLogScale(bool on); ///< values not above 0 are left out while it is on
    bool logScale() const { return m_log; }

    /// Columns: series, x, y.
    QString toCsv() const;
    /// `file` ends in .png, .svg or .csv. Throws Error(Resource) when it cannot be written, Error(Usage) for other endings.
    void exportTo(const QString& file);

    QCustomPlot* plot() const { return m_plot; }
    void replotNow(); ///< draws what is pending

protected:
    void changeEvent(QEvent* event) override;

private:
    struct Series {
        QVector<double> x, y; ///< x ascending
    };
    void schedule();
    void updateGraph(int index);
    void fitRanges();
    void showValueAt(const QPoint& position, const QPoint& global);

    QHash<QString, Series> m_series;
    QStringList m_order;
    QSet<QString> m_changed; ///< series whose graphs are behind
    QCustomPlot* m_plot = nullptr;
    QCPItemText* m_note = nullptr;
    QCheckBox* m_logBox = nullptr;
    QTimer* m_timer = nullptr;
    bool m_log = false;
};

} // namespace postnas
