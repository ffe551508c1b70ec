// Every evaluated placement of one or more runs as a table: the data behind the search plot.
#pragma once

#include <QAbstractTableModel>
#include <QHash>
#include <QStringList>
#include <QVector>

#include "core/jobs/event.h"
#include "widgets/plots/score_metric.h"

namespace postnas {

/// One row per candidate; a repeated id replaces the earlier row. Columns: id, origin, objective, placement, full-attention
/// layers, one per task, mean, decode throughput, state size, parameters, Pareto front.
class CandidateModel : public QAbstractTableModel {
    Q_OBJECT

public:
    enum Role {
        SortRole = Qt::UserRole, ///< numbers as double, the rest as text
        CandidateRole            ///< row of `candidates()`
    };
    /// The fixed columns before and behind those of the tasks.
    enum class Column { Origin, Placement, FullLayers, Task, Mean, Throughput, StateSize, Parameters, Objective, Pareto, Id };

    explicit CandidateModel(QObject* parent = nullptr);

    void setCandidates(std::vector<event::Candidate> candidates);
    void addCandidate(const event::Candidate& candidate);
    void addCandidates(const std::vector<event::Candidate>& candidates); ///< one update of the views for all of them
    void clear();

    const std::vector<event::Candidate>& candidates() const { return m_candidates; }
    QStringList tasks() const { return m_tasks; } ///< in order of appearance
    ScoreMetric metric() const { return m_metric; }
    void setMetric(ScoreMetric metric);
    /// Which rows are marked as Pareto-optimal; set by the plot, which knows the axes.
    void setPareto(const QVector<bool>& pareto);
    bool isPareto(int row) const;

    /// Score of a candidate on a task; an empty task means the mean over all tasks (NaN when one is missing).
    double score(int row, const QString& task) const;
    double score(int row, const QString& task, ScoreMetric metric) const;
    QStringList placement(int row) const;

    int columnOf(Column column, int taskIndex = 0) const;
    Column kindOf(int column) const;

    int rowCount(const QModelIndex& parent = {}) const override;
    int columnCount(const QModelIndex& parent = {}) const override;
    QVariant data(const QModelIndex& index, int role = Qt::DisplayRole) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role = Qt::DisplayRole) const override;

private:
    bool learnTasks(const event::Candidate& candidate); ///< true when a new task appeared
    void insert(const event::Candidate& candidate);

    std::vector<event::Candidate> m_candidates;
    QHash<QString, int> m_rowOfId;
    QStringList m_tasks;
    QVector<bool> m_pareto;
    ScoreMetric m_metric = ScoreMetric::Accuracy;
};

/// How people read an origin: "heatmap" -> "One layer full".
QString originLabel(const QString& origin);

} // namespace postnas
