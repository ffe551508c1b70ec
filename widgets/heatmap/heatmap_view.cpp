// Puts the heatmap's picture, table and controls together and keeps them in step.
#include "widgets/heatmap/heatmap_view.h"

#include <QBoxLayout>
#include <QCheckBox>
#include <QClipboard>
#include <QComboBox>
#include <QFileInfo>
#include <QGuiApplication>
#include <QHeaderView>
#include <QLabel>
#include <QPushButton>
#include <QSortFilterProxyModel>
#include <QSplitter>
#include <QTableView>

#include "widgets/heatmap/heatmap_model.h"
#include "widgets/heatmap/heatmap_plot.h"
#include "widgets/plots/export.h"
#include "widgets/services/convert.h"
#include "widgets/theme/block_colours.h"
#include "widgets/theme/theme.h"

namespace postnas {

HeatmapView::HeatmapView(QWidget* parent)
    : QWidget(parent)
    , m_model(new HeatmapModel(this))
    , m_plot(new HeatmapPlot)
    , m_table(new QTableView)
    , m_metric(new QComboBox)
    , m_scale(new QComboBox)
    , m_numbers(new QCheckBox(tr("&Numbers in cells")))
    , m_caption(new QLabel)
{
    m_metric->addItem(tr("Accuracy"), int(HeatmapMetric::Accuracy));
    m_metric->addItem(tr("Objective"), int(HeatmapMetric::Objective));
    m_metric->addItem(tr("Minus loss"), int(HeatmapMetric::NegativeLoss));
    m_metric->setToolTip(tr("Objective: what the search maximised on each task. Minus loss: of the correct answer, in nats; nearer to 0 "
                            "is better."));
    m_metric->setAccessibleName(tr("Metric"));
    m_scale->addItem(tr("One range for all tasks"), int(HeatmapScale::Absolute));
    m_scale->addItem(tr("Each task on its own"), int(HeatmapScale::PerTask));
    m_scale->addItem(tr("Difference to none"), int(HeatmapScale::Difference));
    m_scale->setToolTip(tr("How values become colours. Each task on its own: from its lowest to its highest layer. Difference to none: what "
                           "one full layer adds to the model in which every layer is linear."));
    m_scale->setAccessibleName(tr("Colours"));
    m_numbers->setChecked(true);

    auto* proxy = new QSortFilterProxyModel(this);
    proxy->setSourceModel(m_model);
    proxy->setSortRole(HeatmapModel::SortRole);
    m_table->setModel(proxy);
    m_table->setSortingEnabled(true);
    m_table->sortByColumn(0, Qt::AscendingOrder);
    m_table->setSelectionBehavior(QAbstractItemView::SelectRows);
    m_table->setEditTriggers(QAbstractItemView::NoEditTriggers);
    m_table->setAlternatingRowColors(true);
    m_table->setShowGrid(false);
    m_table->verticalHeader()->hide();
    m_table->setFrameShape(QFrame::NoFrame);
    m_table->horizontalHeader()->setDefaultAlignment(Qt::AlignRight | Qt::AlignVCenter);
    m_table->horizontalHeader()->setSectionResizeMode(QHeaderView::ResizeToContents);
    m_table->horizontalHeader()->setHighlightSections(false);
    m_table->verticalHeader()->setDefaultSectionSize(m_table->fontMetrics().height() + 10);
    m_table->setAccessibleName(tr("Scores by layer and task"));
    addCsvCopy(m_table);

    auto* copy = new QPushButton(tr("&Copy CSV"));
    auto* exportButton = new QPushButton(tr("&Export…"));
    auto* metricLabel = new QLabel(tr("&Metric"));
    metricLabel->setBuddy(m_metric);
    auto* scaleLabel = new QLabel(tr("C&olours"));
    scaleLabel->setBuddy(m_scale);
    auto* bar = new QHBoxLayout;
    bar->setSpacing(kSpace);
    for (QWidget* w : std::initializer_list<QWidget*> {metricLabel, m_metric, scaleLabel, m_scale, m_numbers})
        bar->addWidget(w);
    bar->addStretch();
    bar->addWidget(copy);
    bar->addWidget(exportButton);

    auto* splitter = new QSplitter(Qt::Horizontal);
    splitter->addWidget(m_plot);
    splitter->addWidget(m_table);
    splitter->setStretchFactor(0, 1);
    splitter->setStretchFactor(1, 0);
    splitter->setSizes({620, 420});
    splitter->setChildrenCollapsible(false);
    splitter->setHandleWidth(kSpace);
    m_caption->setTextFormat(Qt::PlainText);
    m_caption->setWordWrap(true);
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(kSpace, kSpace, kSpace, kSpace);
    layout->setSpacing(kSpace);
    layout->addLayout(bar);
    layout->addWidget(splitter, 1);
    layout->addWidget(m_caption);

    connect(m_metric, &QComboBox::currentIndexChanged, this, &HeatmapView::refresh);
    connect(m_scale, &QComboBox::currentIndexChanged, this,
            [this] { m_plot->setScale(static_cast<HeatmapScale>(m_scale->currentData().toInt())); });
    connect(m_numbers, &QCheckBox::toggled, m_plot, &HeatmapPlot::setShowNumbers);
    connect(copy, &QPushButton::clicked, this, [this] { QGuiApplication::clipboard()->setText(toCsv()); });
    connect(exportButton, &QPushButton::clicked, this, &HeatmapView::exportWithDialog);
    connect(m_plot, &HeatmapPlot::cursorMoved, this, [this](int, int column) { selectTableRow(column); });
    const auto activate = [this](int column) {
        if (column >= 0 && column < m_data.layers)
            Q_EMIT layerActivated(column);
    };
    connect(m_plot, &HeatmapPlot::cellActivated, this, [activate](int, int column) { activate(column); });
    connect(m_table, &QTableView::activated, this, [this, proxy, activate](const QModelIndex& index) {
        activate(m_model->columnOfRow(proxy->mapToSource(index).row()));
    });
    connect(m_table->selectionModel(), &QItemSelectionModel::currentRowChanged, this,
            [this, proxy](const QModelIndex& current) {
                if (current.isValid())
                    m_plot->setCursorCell(m_plot->cursorTask(), m_model->columnOfRow(proxy->mapToSource(current).row()));
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

HeatmapMetric HeatmapView::metric() const
{
    return static_cast<HeatmapMetric>(m_metric->currentData().toInt());
}

void HeatmapView::setMetric(HeatmapMetric metric)
{
    m_metric->setCurrentIndex(m_metric->findData(int(metric)));
}

void HeatmapView::selectTableRow(int column)
{
    const auto* proxy = static_cast<const QSortFilterProxyModel*>(m_table->model());
    const QModelIndex index = proxy->mapFromSource(m_model->index(m_model->rowOfColumn(column), 0));
    if (index.isValid())
        m_table->selectRow(index.row());
}

QString HeatmapView::toCsv() const
{
    return tableToCsv(*m_table->model());
}

void HeatmapView::exportTo(const QString& file) const
{
    if (QFileInfo(file).suffix().toLower() == QLatin1String("csv"))
        writeTextAtomically(file, toCsv());
    else
        exportPlot(m_plot, file);
}

void HeatmapView::exportWithDialog()
{
    postnas::exportWithDialog(this, QStringLiteral("heatmap.png"), tr("PNG picture (*.png);;SVG picture (*.svg);;CSV table (*.csv)"),
                              [this](const QString& file) { exportTo(file); });
}

void HeatmapView::changeEvent(QEvent* event)
{
    QWidget::changeEvent(event);
    if (event->type() == QEvent::PaletteChange)
        updateCaption();
}

void HeatmapView::refresh()
{
    m_plot->setData(m_data, metric());
    m_model->setData(m_data, metric());
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
    m_caption->setText(text);
    QPalette palette = this->palette();
    palette.setColor(QPalette::WindowText, ThemeColours::of(palette).mutedText);
    m_caption->setPalette(palette);
}

} // namespace postnas
