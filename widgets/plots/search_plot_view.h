// Every evaluated placement as a point: quality against speed or memory, with the Pareto front and a table beside it.
#pragma once

#include <QWidget>

#include "widgets/plots/candidate_model.h"

class QCheckBox;
class QComboBox;
class QLabel;
class QLineEdit;
class QSortFilterProxyModel;
class QTableView;
class QTimer;

namespace postnas {

class SearchScatter;

class SearchPlotView : public QWidget {
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
    void setMetric(CandidateMetric metric);

    CandidateModel* model() const { return m_model; }
    SearchScatter* scatter() const { return m_scatter; }
    QTableView* table() const { return m_table; }
    int selectedRow() const; ///< row in model(), -1: none
    void selectRow(int row); ///< in table and plot; emits nothing

    QString toCsv() const;
    /// `file` ends in .png, .svg or .csv. Throws Error(Resource) when it cannot be written, Error(Usage) for other endings.
    void exportTo(const QString& file) const;

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
    void exportWithDialog();

    CandidateModel* m_model = nullptr;
    QSortFilterProxyModel* m_proxy = nullptr;
    SearchScatter* m_scatter = nullptr;
    QTableView* m_table = nullptr;
    QComboBox* m_x = nullptr;
    QComboBox* m_task = nullptr;
    QComboBox* m_metric = nullptr;
    QLineEdit* m_filter = nullptr;
    QCheckBox* m_front = nullptr;
    QLabel* m_caption = nullptr;
    QTimer* m_refreshTimer = nullptr;
    qint64 m_context = 0;
};

} // namespace postnas
