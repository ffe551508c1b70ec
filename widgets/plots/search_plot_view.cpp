// Controls, scatter plot and table over one candidate model.
#include "widgets/plots/search_plot_view.h"

#include <cmath>

#include <QBoxLayout>
#include <QCheckBox>
#include <QComboBox>
#include <QHeaderView>
#include <QLineEdit>
#include <QLocale>
#include <QSortFilterProxyModel>
#include <QTableView>
#include <QTimer>

#include "widgets/plots/export.h"
#include "widgets/plots/pareto_marks.h"
#include "widgets/plots/placement_delegate.h"
#include "widgets/plots/search_scatter.h"
#include "widgets/services/convert.h"
#include "widgets/theme/block_colours.h"

namespace postnas {

/// Text filter over all columns, and the front alone on request.
class CandidateFilter : public QSortFilterProxyModel {
public:
    explicit CandidateFilter(CandidateModel* model, QObject* parent)
        : QSortFilterProxyModel(parent)
        , m_model(model)
    {
        setSourceModel(model);
        setSortRole(CandidateModel::SortRole);
        setFilterKeyColumn(-1);
        setFilterCaseSensitivity(Qt::CaseInsensitive);
    }
    void setFrontOnly(bool on)
    {
        m_frontOnly = on;
        invalidateFilter();
    }

protected:
    bool filterAcceptsRow(int row, const QModelIndex& parent) const override
    {
        return (!m_frontOnly || m_model->isPareto(row)) && QSortFilterProxyModel::filterAcceptsRow(row, parent);
    }

private:
    CandidateModel* m_model;
    bool m_frontOnly = false;
};

SearchPlotView::SearchPlotView(QWidget* parent)
    : PlotTableView(QStringLiteral("search"), parent)
    , m_model(new CandidateModel(this))
    , m_proxy(new CandidateFilter(m_model, this))
    , m_scatter(new SearchScatter)
    , m_x(new QComboBox)
    , m_task(new QComboBox)
    , m_metric(new QComboBox)
    , m_filter(new QLineEdit)
    , m_front(new QCheckBox(tr("&Front only")))
    , m_refreshTimer(new QTimer(this))
{
    setContent(m_scatter, m_proxy);
    m_x->addItem(tr("State size"), int(Axis::StateSize));
    m_x->addItem(tr("Decode throughput"), int(Axis::DecodeThroughput));
    m_x->addItem(tr("Full-attention layers"), int(Axis::FullLayers));
    m_x->setToolTip(tr("State size: what decoding keeps per sequence (keys, values, recurrent states). Decode throughput: tokens per second "
                       "measured on this machine."));
    m_x->setAccessibleName(tr("Horizontal axis"));
    offerMetrics(m_metric);
    m_task->setToolTip(tr("The task whose scores are plotted"));
    m_task->addItem(tr("Mean of all tasks"), QString());
    m_task->setAccessibleName(tr("Task"));
    m_filter->setPlaceholderText(tr("Filter the table"));
    m_filter->setClearButtonEnabled(true);
    m_filter->setAccessibleName(tr("Filter the table"));
    m_front->setToolTip(tr("List only placements on the Pareto front: nothing else is at least as good on both axes and better on one."));

    setUpTable();
    addControl(tr("&Quality"), m_metric);
    addControl(tr("&on"), m_task);
    addControl(tr("a&gainst"), m_x);
    tableBar()->addWidget(m_filter, 1);
    tableBar()->addWidget(m_front);

    m_refreshTimer->setSingleShot(true);
    m_refreshTimer->setInterval(80);
    connect(m_refreshTimer, &QTimer::timeout, this, &SearchPlotView::refresh);
    connect(m_x, &QComboBox::currentIndexChanged, this, &SearchPlotView::refresh);
    connect(m_task, &QComboBox::currentIndexChanged, this, &SearchPlotView::refresh);
    connect(m_metric, &QComboBox::currentIndexChanged, this, [this] {
        m_model->setMetric(chosenMetric(m_metric));
        refresh();
    });
    connect(m_filter, &QLineEdit::textChanged, m_proxy, &QSortFilterProxyModel::setFilterFixedString);
    connect(m_front, &QCheckBox::toggled, this, [this](bool on) { m_proxy->setFrontOnly(on); });
    connect(m_scatter, &SearchScatter::rowSelected, this, &SearchPlotView::selectRow);
    connect(m_scatter, &SearchScatter::rowActivated, this, &SearchPlotView::activateRow);
    connect(table(), &QTableView::activated, this,
            [this](const QModelIndex& index) { activateRow(m_proxy->mapToSource(index).row()); });
    connect(table()->selectionModel(), &QItemSelectionModel::currentRowChanged, this, [this](const QModelIndex& current) {
        if (current.isValid())
            m_scatter->setSelectedRow(m_proxy->mapToSource(current).row());
    });
    refresh();
}

void SearchPlotView::setUpTable()
{
    table()->sortByColumn(m_model->columnOf(CandidateModel::Column::Origin), Qt::AscendingOrder);
    table()->horizontalHeader()->setDefaultAlignment(Qt::AlignLeft | Qt::AlignVCenter);
    table()->setItemDelegateForColumn(m_model->columnOf(CandidateModel::Column::Placement),
                                      new PlacementDelegate(CandidateModel::SortRole, this));
    table()->setAccessibleName(tr("Evaluated placements"));
}

void SearchPlotView::setCandidates(std::vector<event::Candidate> candidates)
{
    m_scatter->setSelectedRow(-1);
    m_model->setCandidates(std::move(candidates));
    m_scatter->resetZoom();
    refresh();
    table()->resizeColumnsToContents();
}

void SearchPlotView::addCandidate(const event::Candidate& candidate)
{
    addCandidates({candidate});
}

void SearchPlotView::addCandidates(const std::vector<event::Candidate>& candidates)
{
    const bool first = m_model->rowCount() == 0;
    m_model->addCandidates(candidates);
    if (first)
        table()->resizeColumnsToContents();
    if (!m_refreshTimer->isActive())
        m_refreshTimer->start(); // a burst of events is drawn once
}

void SearchPlotView::clear()
{
    setCandidates({});
}

void SearchPlotView::setContext(qint64 tokens)
{
    m_context = tokens;
    refresh();
}

SearchPlotView::Axis SearchPlotView::xAxis() const
{
    return static_cast<Axis>(m_x->currentData().toInt());
}

void SearchPlotView::setXAxis(Axis axis)
{
    m_x->setCurrentIndex(m_x->findData(int(axis)));
}

QString SearchPlotView::task() const
{
    return m_task->currentData().toString();
}

void SearchPlotView::setTask(const QString& task)
{
    refreshTasks();
    const int index = m_task->findData(task);
    if (index >= 0)
        m_task->setCurrentIndex(index);
}

void SearchPlotView::setMetric(ScoreMetric metric)
{
    chooseMetric(m_metric, metric);
}

int SearchPlotView::selectedRow() const
{
    return m_scatter->selectedRow();
}

void SearchPlotView::selectRow(int row)
{
    m_scatter->setSelectedRow(row);
    const QModelIndex index = m_proxy->mapFromSource(m_model->index(row, 0));
    if (index.isValid()) {
        table()->selectRow(index.row());
        table()->scrollTo(index);
    } else {
        table()->clearSelection();
    }
}

void SearchPlotView::activateRow(int row)
{
    if (row < 0 || row >= m_model->rowCount())
        return;
    selectRow(row);
    Q_EMIT placementActivated(m_model->placement(row));
}

void SearchPlotView::changeEvent(QEvent* event)
{
    PlotTableView::changeEvent(event);
    if (event->type() == QEvent::PaletteChange)
        refresh();
}

void SearchPlotView::refreshTasks()
{
    const QStringList tasks = m_model->tasks();
    QStringList shown;
    for (int i = 1; i < m_task->count(); ++i)
        shown += m_task->itemData(i).toString();
    if (shown == tasks)
        return;
    const QString chosen = task();
    const QSignalBlocker blocker(m_task);
    while (m_task->count() > 1)
        m_task->removeItem(1);
    for (const QString& name : tasks)
        m_task->addItem(displayText(name, 60), name);
    m_task->setCurrentIndex(std::max(0, m_task->findData(chosen)));
}

double SearchPlotView::xOf(int row) const
{
    const event::Candidate& c = m_model->candidates()[static_cast<std::size_t>(row)];
    const double nan = std::numeric_limits<double>::quiet_NaN();
    switch (xAxis()) {
    case Axis::DecodeThroughput: return c.cost.decodeTokensPerSecond.value_or(nan);
    case Axis::StateSize: return c.cost.stateBytes < 0 ? nan : static_cast<double>(c.cost.stateBytes) / (1024.0 * 1024.0);
    case Axis::FullLayers: return static_cast<double>(std::count(c.placement.begin(), c.placement.end(), "attention"));
    }
    return nan;
}

QString SearchPlotView::pointText(int row) const
{
    const event::Candidate& c = m_model->candidates()[static_cast<std::size_t>(row)];
    const QStringList blocks = m_model->placement(row);
    QStringList lines;
    QString head = originLabel(toQString(c.origin));
    if (!c.objective.empty())
        head += tr(" for %1").arg(displayText(toQString(c.objective), 60));
    lines += head;
    lines += placementText(blocks);
    lines += tr("full attention: %1").arg(fullAttentionText(blocks));
    const QStringList tasks = m_model->tasks();
    for (const QString& name : tasks.mid(0, 12)) {
        const double score = m_model->score(row, name);
        if (!std::isnan(score))
            lines += QStringLiteral("%1  %2").arg(displayText(name, 60), QString::number(score, 'f', 3));
    }
    if (c.cost.stateBytes >= 0)
        lines += tr("state  %1 MiB").arg(QString::number(static_cast<double>(c.cost.stateBytes) / (1024.0 * 1024.0), 'f', 3));
    if (c.cost.decodeTokensPerSecond)
        lines += tr("decode  %1 tokens/s").arg(QString::number(*c.cost.decodeTokensPerSecond, 'f', 1));
    return lines.join(QLatin1Char('\n'));
}

void SearchPlotView::refresh()
{
    m_refreshTimer->stop();
    refreshTasks();
    const int rows = m_model->rowCount();
    QVector<double> x(rows), y(rows);
    for (int row = 0; row < rows; ++row) {
        x[row] = xOf(row);
        y[row] = m_model->score(row, task());
    }
    const bool largerX = xAxis() == Axis::DecodeThroughput;
    const QVector<bool> front = paretoMarks(x, y, largerX);
    m_model->setPareto(front);
    QVector<ScatterPoint> points;
    for (int row = 0; row < rows; ++row) {
        if (std::isfinite(x[row]) && std::isfinite(y[row]))
            points += ScatterPoint {row, x[row], y[row], toQString(m_model->candidates()[static_cast<std::size_t>(row)].origin),
                                    pointText(row), front[row]};
    }
    QString xTitle = tr("Full-attention layers");
    if (xAxis() == Axis::DecodeThroughput)
        xTitle = tr("Decode throughput on this machine (tokens/s)");
    else if (xAxis() == Axis::StateSize)
        xTitle = m_context > 0 ? tr("State size per sequence at %1 tokens (MiB)").arg(QLocale().toString(m_context))
                               : tr("State size per sequence (MiB)");
    m_scatter->setTitles(xTitle, tr("%1, %2").arg(m_metric->currentText(), task().isEmpty() ? tr("mean of all tasks") : m_task->currentText()));
    const QString message = rows == 0 ? tr("No placement has been evaluated yet.")
        : largerX                     ? tr("The decode throughput of these placements has not been measured.\nState size is known.")
                                      : tr("These placements lack the numbers for this plot.");
    m_scatter->setPoints(points, largerX, message);
    const auto onFront = std::count(front.begin(), front.end(), true);
    QString caption;
    if (rows > 0)
        caption = tr("%1 on the Pareto front. A click opens a placement on the board; the wheel zooms, a double click shows all again.").arg(onFront);
    if (rows > points.size())
        caption.prepend(tr("%1 placements, of which %2 lack one of the two numbers; ").arg(rows).arg(rows - points.size()));
    else if (rows > 0)
        caption.prepend(tr("%1 placements, ").arg(rows));
    setCaption(caption);
    fitTable();
}

} // namespace postnas
