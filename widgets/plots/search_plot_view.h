// Every evaluated placement as a point: quality against speed or memory, with the Pareto front and a table beside it.
#pragma once

#include "widgets/plots/candidate_model.h"
#include "widgets/plots/plot_table_view.h"

class QCheckBox;
class QComboBox;
class QLineEdit;
class QTimer;

namespace postnas {

class CandidateFilter;
class SearchScatter;

class SearchPlotView : public PlotTableView {
    Q_OBJECT

public:
    enum class Axis { DecodeThroughput, StateSize, FullLayers };

    explicit SearchPlotView(QWidget* parent = nullptr);

    void setCandidates(std::vector<event::Candidate> candidates);
    void addCandidate(const event::Candidate& candidate);
    void addCandidates(const std::vector<event::Candidate>& candidates);
    void clear();
    /// Context length behind the state sizes, for the axis label; 0: not stated.
    void setContext(qint64 tokens);

    Axis xAxis() const;
    void setXAxis(Axis axis);
    QString task() const; ///< empty: the mean of all tasks
    void setTask(const QString& task);
    void setMetric(ScoreMetric metric);

    CandidateModel* model() const { return m_model; }
    SearchScatter* scatter() const { return m_scatter; }
    int selectedRow() const; ///< row in model(), -1: none
    void selectRow(int row); ///< in table and plot; emits nothing

Q_SIGNALS:
    /// A point was clicked, or a row was opened with a double click or Return: block name of each layer, layer 0 first.
    void placementActivated(const QStringList& blocks);

protected:
    void changeEvent(QEvent* event) override;

private:
    void setUpTable();
    void refresh();
    void refreshTasks();
    double xOf(int row) const; ///< NaN when not known
    QString pointText(int row) const;
    void activateRow(int row);

    CandidateModel* m_model = nullptr;
    CandidateFilter* m_proxy = nullptr;
    SearchScatter* m_scatter = nullptr;
    QComboBox* m_x = nullptr;
    QComboBox* m_task = nullptr;
    QComboBox* m_metric = nullptr;
    QLineEdit* m_filter = nullptr;
    QCheckBox* m_front = nullptr;
    QTimer* m_refreshTimer = nullptr;
    qint64 m_context = 0;
};

} // namespace postnas
