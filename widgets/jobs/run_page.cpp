// Live view of one run over EventTail and JobLauncher.
#include "widgets/jobs/run_page.h"

#include <algorithm>
#include <cmath>

#include <QComboBox>
#include <QHBoxLayout>
#include <QHeaderView>
#include <QLabel>
#include <QLocale>
#include <QProgressBar>
#include <QPushButton>
#include <QSplitter>
#include <QStackedWidget>
#include <QTableWidget>
#include <QVBoxLayout>

#include "widgets/jobs/log_view.h"
#include "widgets/jobs/result_tree.h"
#include "widgets/plots/line_plot.h"
#include "widgets/services/convert.h"
#include "widgets/theme/labels.h"
#include "widgets/theme/theme.h"

namespace postnas {
namespace {

constexpr int kMaxMetrics = 200;

} // namespace

QString durationText(double seconds)
{
    if (!(seconds >= 0) || seconds > 1e9)
        return {};
    if (seconds < 1)
        return RunPage::tr("under a second");
    const qint64 whole = static_cast<qint64>(std::llround(seconds));
    const QChar zero(u'0');
    if (whole >= 3600)
        return QStringLiteral("%1:%2:%3").arg(whole / 3600).arg(whole / 60 % 60, 2, 10, zero).arg(whole % 60, 2, 10, zero);
    return QStringLiteral("%1:%2").arg(whole / 60).arg(whole % 60, 2, 10, zero);
}

RunPage::RunPage(QWidget* parent) : QWidget(parent), m_stack(new QStackedWidget(this))
{
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(0, 0, 0, 0);
    layout->addWidget(m_stack);
    auto* empty = new QWidget(this);
    auto* column = new QVBoxLayout(empty);
    QLabel* text = plainLabel(empty);
    text->setWordWrap(true);
    text->setAlignment(Qt::AlignCenter);
    text->setText(tr("No run is selected. A placement search finds which layers need full attention."));
    auto* search = new QPushButton(tr("&New search…"), empty);
    connect(search, &QPushButton::clicked, this, &RunPage::searchRequested);
    column->addStretch();
    column->addWidget(text);
    column->addWidget(search, 0, Qt::AlignHCenter);
    column->addStretch();
    m_stack->addWidget(empty);
    m_stack->addWidget(makeBody());

    connect(&m_tail, &EventTail::events, this, &RunPage::applyEvents);
    connect(&m_tail, &EventTail::logLines, this, &RunPage::logLines);
    connect(&m_tail, &EventTail::caughtUp, this, &RunPage::caughtUp);
    connect(&m_tail, &EventTail::problem, this, [this](const QString& sentence) { Q_EMIT logLines({displayText(sentence)}); });
}

QWidget* RunPage::makeBody()
{
    auto* page = new QWidget(this);
    auto* column = new QVBoxLayout(page);
    column->setContentsMargins(kSpaceLarge, kSpaceLarge, kSpaceLarge, kSpaceLarge);
    auto* top = new QHBoxLayout;
    m_title = plainLabel(page, 1.3, true);
    m_title->setWordWrap(true);
    m_stop = new QPushButton(tr("S&top"), page);
    m_stop->setToolTip(tr("Ask the worker to save a checkpoint and end; the run can be resumed"));
    m_resume = new QPushButton(tr("&Resume"), page);
    m_resume->setToolTip(tr("Continue from the newest checkpoint"));
    m_kill = new QPushButton(tr("&Kill"), page);
    m_kill->setToolTip(tr("End the worker at once; work since its last checkpoint is lost"));
    m_stop->setObjectName(QStringLiteral("stopRun"));
    m_resume->setObjectName(QStringLiteral("resumeRun"));
    m_kill->setObjectName(QStringLiteral("killRun"));
    top->addWidget(m_title, 1);
    for (QPushButton* button : {m_stop, m_resume, m_kill})
        top->addWidget(button);
    connect(m_stop, &QPushButton::clicked, this, [this] {
        if (m_launcher)
            m_launcher->stop();
    });
    connect(m_kill, &QPushButton::clicked, this, [this] {
        if (m_launcher)
            m_launcher->kill();
    });
    connect(m_resume, &QPushButton::clicked, this, [this] {
        if (m_launcher)
            m_launcher->start();
    });
    column->addLayout(top);
    m_status = plainLabel(page);
    m_status->setWordWrap(true);
    m_status->setObjectName(QStringLiteral("runStatus"));
    m_status->setTextInteractionFlags(Qt::TextSelectableByMouse);
    column->addWidget(m_status);
    column->addSpacing(kSpace);

    auto* line = new QHBoxLayout;
    m_stageLabel = plainLabel(page);
    m_rate = plainLabel(page);
    m_rate->setAlignment(Qt::AlignRight);
    m_rate->setForegroundRole(QPalette::PlaceholderText);
    line->addWidget(m_stageLabel, 1);
    line->addWidget(m_rate, 1);
    column->addLayout(line);
    m_progress = new QProgressBar(page);
    m_progress->setAccessibleName(tr("Progress of the stage"));
    column->addWidget(m_progress);
    column->addSpacing(kSpace);

    auto* chart = new QWidget(page);
    auto* chartLayout = new QVBoxLayout(chart);
    chartLayout->setContentsMargins(0, 0, 0, 0);
    auto* chooser = new QHBoxLayout;
    auto* curveLabel = new QLabel(tr("C&urve"), chart);
    m_metric = new QComboBox(chart);
    m_metric->setSizeAdjustPolicy(QComboBox::AdjustToContents);
    m_metric->setMinimumContentsLength(12);
    m_metric->setEnabled(false);
    m_metric->setToolTip(tr("Which number of the run is drawn"));
    curveLabel->setBuddy(m_metric);
    chooser->addWidget(curveLabel);
    chooser->addWidget(m_metric);
    chooser->addStretch();
    chartLayout->addLayout(chooser);
    m_plot = new LinePlot(chart);
    chartLayout->addWidget(m_plot, 1);
    connect(m_metric, &QComboBox::currentTextChanged, this, &RunPage::redrawCurve);

    auto* side = new QSplitter(Qt::Vertical, page);
    m_table = new QTableWidget(0, 4, side);
    m_table->setHorizontalHeaderLabels({tr("Metric"), tr("Step"), tr("Value"), tr("Lowest")});
    styleTable(m_table);
    m_table->horizontalHeader()->setSectionResizeMode(QHeaderView::ResizeToContents);
    m_table->horizontalHeader()->setStretchLastSection(true);
    m_table->setAccessibleName(tr("Newest values"));
    m_results = new ResultTree(side);
    connect(m_table, &QTableWidget::cellClicked, this, [this](int row) { m_metric->setCurrentText(m_table->item(row, 0)->text()); });

    auto* splitter = new QSplitter(Qt::Horizontal, page);
    splitter->addWidget(chart);
    splitter->addWidget(side);
    splitter->setStretchFactor(0, 3);
    splitter->setStretchFactor(1, 2);
    splitter->setChildrenCollapsible(false);
    splitter->setHandleWidth(kSpaceLarge);
    side->setHandleWidth(kSpace);
    column->addWidget(splitter, 1);
    return page;
}

void RunPage::showNothing()
{
    if (m_launcher)
        disconnect(m_launcher, nullptr, this, nullptr);
    m_launcher = nullptr;
    m_tail.stop();
    m_stack->setCurrentIndex(0);
    Q_EMIT logCleared();
    Q_EMIT stateChanged();
}

void RunPage::showRun(JobLauncher* launcher, const QString& title)
{
    if (launcher == nullptr) {
        showNothing();
        return;
    }
    if (m_launcher == launcher) {
        refreshState();
        return;
    }
    if (m_launcher)
        disconnect(m_launcher, nullptr, this, nullptr);
    m_launcher = launcher;
    m_takesLong = false;
    m_stage.clear();
    m_lastProgress.reset();
    m_curves.clear();
    m_rows.clear();
    m_metric->clear();
    m_metric->setEnabled(false);
    m_plot->clear();
    m_table->setRowCount(0);
    m_results->clear();
    m_stageLabel->clear();
    m_rate->clear();
    m_progress->setRange(0, 1);
    m_progress->setValue(0);
    m_title->setText(title);
    Q_EMIT logCleared();
    connect(launcher, &JobLauncher::stateChanged, this, [this] {
        m_takesLong = false;
        refreshState();
    });
    connect(launcher, &JobLauncher::ended, this, [this] {
        refreshState();
        m_tail.readNow();
    });
    connect(launcher, &JobLauncher::stopTakesLong, this, [this] {
        m_takesLong = true;
        refreshState();
    });
    m_tail.follow(launcher->run());
    m_stack->setCurrentIndex(1);
    refreshState();
}

void RunPage::refreshState()
{
    if (!m_launcher)
        return;
    const RunStatus& status = m_launcher->status();
    QString text = status.sentence();
    if (status.state == RunState::Stopping)
        text = m_takesLong ? tr("The worker has not ended yet. It may be in a long step; wait, or kill it: work since its last "
                                "checkpoint is lost then.")
                           : tr("Stopping: the worker saves a checkpoint and ends.");
    else if (status.state == RunState::Running)
        text = tr("Running as process %1. It goes on when this window is closed.").arg(m_launcher->processId());
    m_status->setText(displayText(text));
    tintStatus();
    m_stop->setEnabled(status.state == RunState::Running || status.state == RunState::Starting);
    m_resume->setEnabled(!status.isActive() && status.state != RunState::Finished && status.state != RunState::Broken &&
                         (status.resumable || status.state == RunState::Prepared));
    m_resume->setText(status.state == RunState::Prepared ? tr("Sta&rt") : tr("&Resume"));
    m_kill->setVisible(m_takesLong && status.isActive());
    showProgress();
    Q_EMIT stateChanged();
}

void RunPage::tintStatus()
{
    const ThemeColours colours = ThemeColours::of(palette());
    const RunState state = m_launcher ? m_launcher->state() : RunState::Prepared;
    if (state == RunState::Failed || state == RunState::Broken)
        tintText(m_status, colours.danger);
    else if (state == RunState::Interrupted || m_takesLong)
        tintText(m_status, colours.warning);
    else if (state == RunState::Finished)
        tintText(m_status, colours.success);
    else
        tintText(m_status, colours.text);
}

void RunPage::changeEvent(QEvent* event)
{
    QWidget::changeEvent(event);
    if (event->type() == QEvent::PaletteChange && m_status != nullptr)
        tintStatus();
}

void RunPage::applyEvents(const EventBatch& batch)
{
    QStringList lines;
    const event::Progress* progress = nullptr;
    for (const Event& event : *batch) {
        if (const auto* metric = std::get_if<event::Metric>(&event.body)) {
            applyMetric(*metric);
        } else if (const auto* p = std::get_if<event::Progress>(&event.body)) {
            progress = p;
        } else if (const auto* stage = std::get_if<event::Stage>(&event.body)) {
            progress = nullptr;
            m_lastProgress.reset();
            m_stage = displayText(toQString(stage->name), 100);
            m_stageLabel->setText(stage->count > 0 ? tr("Stage %1 of %2: %3").arg(stage->index + 1).arg(stage->count).arg(m_stage) : m_stage);
            m_progress->setRange(0, 0);
            m_rate->clear();
        } else if (const auto* result = std::get_if<event::Result>(&event.body)) {
            m_results->addResult(*result);
        }
        if (const QString line = eventLine(event); !line.isEmpty())
            lines.append(line);
    }
    if (progress != nullptr)
        m_lastProgress = *progress;
    showProgress();
    Q_EMIT logLines(lines);
}

void RunPage::showProgress()
{
    const bool active = m_launcher && m_launcher->status().isActive();
    if (m_lastProgress) {
        const event::Progress& progress = *m_lastProgress;
        // Any total fits: the bar counts in thousandths.
        m_progress->setRange(0, progress.total > 0 ? 1000 : 0);
        if (progress.total > 0)
            m_progress->setValue(static_cast<int>(1000.0 * double(progress.done) / double(progress.total)));
        QStringList parts;
        const QString unit = displayText(toQString(progress.unit), 40);
        parts.append(progress.total > 0 ? tr("%L1 of %L2 %3").arg(progress.done).arg(progress.total).arg(unit)
                                        : tr("%L1 %2").arg(progress.done).arg(unit));
        // How fast and how long: of a worker that is at work.
        if (active && std::isfinite(progress.rate))
            parts.append(tr("%L1 %2/s").arg(progress.rate, 0, 'g', 3).arg(unit));
        if (const QString left = durationText(progress.etaSeconds); active && !left.isEmpty() && progress.done < progress.total)
            parts.append(tr("%1 left").arg(left));
        m_rate->setText(parts.join(QStringLiteral(" · ")));
    }
    // A bar that moves for ever says that something is at work.
    if (m_launcher && !active) {
        const bool finished = m_launcher->state() == RunState::Finished;
        if (finished || m_progress->maximum() == 0) {
            m_progress->setRange(0, 1);
            m_progress->setValue(finished ? 1 : 0);
        }
    }
}

void RunPage::applyMetric(const event::Metric& metric)
{
    const QString name = displayText(toQString(metric.name), 100);
    if (!m_rows.contains(name)) {
        if (m_rows.size() >= kMaxMetrics)
            return;
        const int row = m_table->rowCount();
        m_rows.insert(name, row);
        m_table->insertRow(row);
        for (int column = 0; column < 4; ++column) {
            auto* item = new QTableWidgetItem(column == 0 ? name : QString());
            if (column > 0)
                item->setTextAlignment(Qt::AlignRight | Qt::AlignVCenter);
            m_table->setItem(row, column, item);
        }
        m_metric->addItem(name);
        m_metric->setEnabled(true);
        if (name.contains(QLatin1String("loss")) && !m_metric->currentText().contains(QLatin1String("loss")))
            m_metric->setCurrentText(name);
    }
    auto& [steps, values] = m_curves[name];
    steps.append(static_cast<double>(metric.step));
    values.append(metric.value);
    const int row = m_rows.value(name);
    m_table->item(row, 1)->setText(QLocale().toString(static_cast<qint64>(metric.step)));
    m_table->item(row, 2)->setText(QLocale().toString(metric.value, 'g', 5));
    QTableWidgetItem* lowest = m_table->item(row, 3);
    if (std::isfinite(metric.value) && (lowest->text().isEmpty() || metric.value < lowest->data(Qt::UserRole).toDouble())) {
        lowest->setData(Qt::UserRole, metric.value);
        lowest->setText(QLocale().toString(metric.value, 'g', 5));
    }
    if (m_metric->currentText() == name)
        m_plot->appendPoint(name, static_cast<double>(metric.step), metric.value);
}

void RunPage::redrawCurve()
{
    const QString name = m_metric->currentText();
    m_plot->clear();
    m_plot->setTitles(tr("Step"), name);
    if (const auto it = m_curves.constFind(name); it != m_curves.constEnd())
        for (qsizetype i = 0; i < it->first.size(); ++i)
            m_plot->appendPoint(name, it->first[i], it->second[i]);
}

QString RunPage::statusText() const { return m_status->text(); }
QString RunPage::progressText() const { return m_rate->text(); }

} // namespace postnas
