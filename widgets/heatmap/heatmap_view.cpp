// Puts the heatmap's picture, table and controls together and keeps them in step.
#include "widgets/heatmap/heatmap_view.h"

#include <QCheckBox>
#include <QComboBox>
#include <QHeaderView>
#include <QSortFilterProxyModel>
#include <QTableView>

#include "widgets/heatmap/heatmap_model.h"
#include "widgets/heatmap/heatmap_plot.h"
#include "widgets/services/convert.h"
#include "widgets/theme/block_colours.h"

namespace postnas {

HeatmapView::HeatmapView(QWidget* parent)
    : PlotTableView(QStringLiteral("heatmap"), parent)
    , m_model(new HeatmapModel(this))
    , m_plot(new HeatmapPlot)
    , m_proxy(new QSortFilterProxyModel(this))
    , m_metric(new QComboBox)
    , m_scale(new QComboBox)
    , m_numbers(new QCheckBox(tr("&Numbers in cells")))
{
    m_proxy->setSourceModel(m_model);
    m_proxy->setSortRole(HeatmapModel::SortRole);
    setContent(m_plot, m_proxy);
    offerMetrics(m_metric);
    m_scale->addItem(tr("One range for all tasks"), int(HeatmapScale::Absolute));
    m_scale->addItem(tr("Each task on its own"), int(HeatmapScale::PerTask));
    m_scale->addItem(tr("Difference to none"), int(HeatmapScale::Difference));
    m_scale->setToolTip(tr("How values become colours. Each task on its own: from its lowest to its highest layer. Difference to none: what "
                           "one full layer adds to the model in which every layer is linear."));
    m_scale->setAccessibleName(tr("Colours"));
    m_numbers->setChecked(true);
    m_numbers->setToolTip(tr("Write each value into its cell, where it fits"));
    addControl(tr("&Metric"), m_metric);
    addControl(tr("C&olours"), m_scale);
    addControl({}, m_numbers);

    table()->sortByColumn(0, Qt::AscendingOrder);
    table()->horizontalHeader()->setDefaultAlignment(Qt::AlignRight | Qt::AlignVCenter);
    table()->horizontalHeader()->setSectionResizeMode(QHeaderView::ResizeToContents);
    table()->setAccessibleName(tr("Scores by layer and task"));

    connect(m_metric, &QComboBox::currentIndexChanged, this, &HeatmapView::refresh);
    connect(m_scale, &QComboBox::currentIndexChanged, this,
            [this] { m_plot->setScale(static_cast<HeatmapScale>(m_scale->currentData().toInt())); });
    connect(m_numbers, &QCheckBox::toggled, m_plot, &HeatmapPlot::setShowNumbers);
    connect(m_plot, &HeatmapPlot::cursorMoved, this, [this](int, int column) { selectTableRow(column); });
    const auto activate = [this](int column) {
        if (column >= 0 && column < m_data.layers)
            Q_EMIT layerActivated(column);
    };
    connect(m_plot, &HeatmapPlot::cellActivated, this, [activate](int, int column) { activate(column); });
    connect(table(), &QTableView::activated, this, [this, activate](const QModelIndex& index) {
        activate(m_model->columnOfRow(m_proxy->mapToSource(index).row()));
    });
    connect(table()->selectionModel(), &QItemSelectionModel::currentRowChanged, this, [this](const QModelIndex& current) {
        if (current.isValid())
            m_plot->setCursorCell(m_plot->cursorTask(), m_model->columnOfRow(m_proxy->mapToSource(current).row()));
    });
    refresh();
}

void HeatmapView::setData(const HeatmapData& data)
{
    m_data = data;
    refresh();
}

void HeatmapView::clear()
{
    setData({});
}

void HeatmapView::addCandidate(const event::Candidate& candidate)
{
    if (applyCandidate(m_data, candidate))
        refresh();
}

void HeatmapView::setMarkedLayers(const QVector<int>& layers)
{
    m_hasMarks = !layers.isEmpty();
    m_plot->setMarkedLayers(layers);
    updateCaption();
}

void HeatmapView::setCurrentLayer(int layer)
{
    m_plot->setCursorCell(m_plot->cursorTask(), layer);
    selectTableRow(m_plot->cursorColumn());
}

ScoreMetric HeatmapView::metric() const
{
    return chosenMetric(m_metric);
}

void HeatmapView::setMetric(ScoreMetric metric)
{
    chooseMetric(m_metric, metric);
}

void HeatmapView::selectTableRow(int column)
{
    const QModelIndex index = m_proxy->mapFromSource(m_model->index(m_model->rowOfColumn(column), 0));
    if (index.isValid())
        table()->selectRow(index.row());
}

void HeatmapView::refresh()
{
    m_plot->setData(m_data, metric());
    m_model->setData(m_data, metric());
    fitTable();
    updateCaption();
}

void HeatmapView::updateCaption()
{
    QString text;
    if (m_data.isEmpty()) {
        text = tr("No heatmap yet. A placement run scores every layer alone with full attention, and each number appears here as it comes.");
    } else {
        const QString block = m_data.block.isEmpty() ? tr("linear") : displayText(blockStyle(m_data.block, false).displayName, 80);
        text = tr("Every other layer is %1. Corner mark: the best single layer of a task.").arg(block);
        if (m_hasMarks)
            text += QLatin1Char(' ') + tr("Triangles: full attention in the placement on the board.");
        text += QLatin1Char(' ') + tr("A click on a cell goes to its layer.");
    }
    setCaption(text);
}

} // namespace postnas
