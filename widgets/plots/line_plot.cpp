// Live curves: points are kept whole, drawing is coalesced and thinned.
#include "widgets/plots/line_plot.h"

#include <algorithm>
#include <cmath>

#include <QBoxLayout>
#include <QCheckBox>
#include <QTimer>

#include "widgets/plots/export.h"
#include "widgets/plots/qcustomplot.h"
#include "widgets/services/convert.h"
#include "widgets/theme/plot_theme.h"
#include "widgets/theme/theme.h"

namespace postnas {

namespace {

constexpr int kMaxSeries = 64; // names come from events; more curves cannot be told apart
constexpr int kDrawInterval = 100; // ms

} // namespace

LinePlot::LinePlot(QWidget* parent)
    : QWidget(parent)
    , m_plot(new QCustomPlot)
    , m_logBox(new QCheckBox(tr("&Logarithmic")))
    , m_timer(new QTimer(this))
{
    m_plot->setAccessibleName(tr("Curve"));
    m_plot->setMinimumSize(240, 100);
    m_plot->setMouseTracking(true);
    m_plot->axisRect()->insetLayout()->setInsetAlignment(0, Qt::AlignTop | Qt::AlignRight);
    m_plot->xAxis->setLabel(tr("Step"));
    m_note = addNote(m_plot);
    m_note->setText(tr("No numbers yet"));
    QSharedPointer<QCPAxisTickerFixed> steps(new QCPAxisTickerFixed);
    steps->setTickStep(1); // steps are whole numbers
    steps->setScaleStrategy(QCPAxisTickerFixed::ssMultiples);
    m_plot->xAxis->setTicker(steps);
    m_plot->setNotAntialiasedElements(QCP::aeAxes | QCP::aeGrid);
    m_logBox->setToolTip(tr("Logarithmic vertical axis; values not above 0 are left out"));
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(0, 0, 0, 0);
    layout->setSpacing(kSpaceSmall);
    layout->addWidget(m_plot, 1);
    layout->addWidget(m_logBox, 0, Qt::AlignRight);
    m_timer->setSingleShot(true);
    m_timer->setInterval(kDrawInterval);
    connect(m_timer, &QTimer::timeout, this, &LinePlot::replotNow);
    connect(m_logBox, &QCheckBox::toggled, this, &LinePlot::setLogScale);
    connect(m_plot, &QCustomPlot::mouseMove, this, [this](QMouseEvent* event) {
        showValueAt(event->position().toPoint(), event->globalPosition().toPoint());
    });

    auto* copy = new QAction(tr("&Copy as CSV"), this);
    connect(copy, &QAction::triggered, this, [this] { QGuiApplication::clipboard()->setText(toCsv()); });
    auto* exportAction = new QAction(tr("&Export…"), this);
    connect(exportAction, &QAction::triggered, this, [this] {
        exportWithDialog(this, QStringLiteral("curve.png"), [this](const QString& file) { exportTo(file); });
    });
    m_plot->addActions({copy, exportAction});
    m_plot->setContextMenuPolicy(Qt::ActionsContextMenu);
    replotNow();
}

void LinePlot::setTitles(const QString& x, const QString& y)
{
    m_plot->xAxis->setLabel(x);
    m_plot->yAxis->setLabel(y);
    m_plot->setAccessibleName(y);
    schedule();
}

void LinePlot::appendPoint(const QString& series, double x, double y)
{
    if (!m_order.contains(series)) {
        if (m_order.size() >= kMaxSeries)
            return;
        m_order += series;
    }
    Series& s = m_series[series];
    m_changed.insert(series);
    if (s.x.isEmpty() || x > s.x.constLast()) {
        s.x += x;
        s.y += y;
    } else {
        const auto at = std::lower_bound(s.x.constBegin(), s.x.constEnd(), x) - s.x.constBegin();
        if (s.x[at] == x) {
            s.y[at] = y;
        } else {
            s.x.insert(at, x);
            s.y.insert(at, y);
        }
    }
    schedule();
}

void LinePlot::setPoints(const QString& series, const QVector<double>& x, const QVector<double>& y)
{
    m_series.remove(series);
    if (m_order.contains(series))
        m_changed.insert(series);
    for (qsizetype i = 0; i < std::min(x.size(), y.size()); ++i)
        appendPoint(series, x[i], y[i]);
    schedule();
}

void LinePlot::clear()
{
    m_series.clear();
    m_order.clear();
    m_changed.clear();
    m_plot->clearGraphs();
    schedule();
}

int LinePlot::pointCount(const QString& series) const
{
    return static_cast<int>(m_series.value(series).x.size());
}

void LinePlot::setLogScale(bool on)
{
    if (on == m_log)
        return;
    m_log = on;
    m_logBox->setChecked(on);
    for (const QString& name : std::as_const(m_order))
        m_changed.insert(name);
    replotNow();
}

void LinePlot::schedule()
{
    if (!m_timer->isActive())
        m_timer->start();
}

void LinePlot::updateGraph(int index)
{
    const QString& name = m_order[index];
    while (m_plot->graphCount() <= index)
        m_plot->addGraph();
    QCPGraph* graph = m_plot->graph(index);
    graph->setName(displayText(name, 60));
    const Series& s = m_series[name];
    QVector<QCPGraphData> data;
    data.reserve(s.x.size());
    for (qsizetype i = 0; i < s.x.size(); ++i) {
        const bool usable = std::isfinite(s.y[i]) && (!m_log || s.y[i] > 0);
        data += QCPGraphData(s.x[i], usable ? s.y[i] : std::numeric_limits<double>::quiet_NaN());
    }
    graph->data()->set(data, true);
    graph->setAdaptiveSampling(true); // thins what shares a pixel column and keeps its extremes
}

void LinePlot::replotNow()
{
    m_timer->stop();
    applyTheme(m_plot);
    const ThemeColours colours = ThemeColours::of(palette());
    for (int i = 0; i < m_order.size(); ++i) {
        if (m_changed.contains(m_order[i]))
            updateGraph(i);
        m_plot->graph(i)->setPen(QPen(seriesColour(i, colours.dark), 1.6));
        // A single point has no line to show it.
        m_plot->graph(i)->setScatterStyle(m_series[m_order[i]].x.size() == 1 ? QCPScatterStyle(QCPScatterStyle::ssDisc, 5)
                                                                            : QCPScatterStyle());
    }
    m_changed.clear();
    if (m_log) {
        QSharedPointer<QCPAxisTickerLog> ticker(new QCPAxisTickerLog);
        m_plot->yAxis->setScaleType(QCPAxis::stLogarithmic);
        m_plot->yAxis->setTicker(ticker);
        m_plot->yAxis->setNumberFormat(QStringLiteral("gb"));
    } else {
        m_plot->yAxis->setScaleType(QCPAxis::stLinear);
        m_plot->yAxis->setTicker(QSharedPointer<QCPAxisTicker>(new QCPAxisTicker));
        m_plot->yAxis->setNumberFormat(QStringLiteral("gb"));
    }
    m_plot->yAxis->setNumberPrecision(4);
    m_plot->xAxis->setNumberFormat(QStringLiteral("f"));
    m_plot->xAxis->setNumberPrecision(0);
    fitRanges();
    m_plot->legend->setVisible(m_order.size() > 1);
    m_plot->replot();
}

void LinePlot::fitRanges()
{
    double x0 = INFINITY, x1 = -INFINITY, y0 = INFINITY, y1 = -INFINITY;
    for (const Series& s : std::as_const(m_series)) {
        for (qsizetype i = 0; i < s.x.size(); ++i) {
            if (!std::isfinite(s.y[i]) || (m_log && s.y[i] <= 0))
                continue;
            x0 = std::min(x0, s.x[i]);
            x1 = std::max(x1, s.x[i]);
            y0 = std::min(y0, s.y[i]);
            y1 = std::max(y1, s.y[i]);
        }
    }
    m_note->setVisible(x0 > x1);
    for (QCPAxis* axis : {m_plot->xAxis, m_plot->yAxis})
        axis->setTickLabels(x0 <= x1); // a range of nothing has no numbers
    if (x0 > x1) {
        m_plot->xAxis->setRange(0, 1);
        m_plot->yAxis->setRange(m_log ? 0.1 : 0, 1);
        return;
    }
    m_plot->xAxis->setRange(x0, x1 > x0 ? x1 : x0 + 1);
    if (m_log) {
        m_plot->yAxis->setRange(y0 / 1.15, y1 * 1.15);
    } else {
        const double span = y1 > y0 ? y1 - y0 : std::max(std::abs(y1) * 0.1, 0.1);
        m_plot->yAxis->setRange(y0 - span * 0.06, y1 + span * 0.06);
    }
}

void LinePlot::showValueAt(const QPoint& position, const QPoint& global)
{
    const double x = m_plot->xAxis->pixelToCoord(position.x());
    QStringList lines;
    for (const QString& name : std::as_const(m_order)) {
        const Series& s = m_series[name];
        if (s.x.isEmpty())
            continue;
        auto at = std::lower_bound(s.x.constBegin(), s.x.constEnd(), x) - s.x.constBegin();
        if (at == s.x.size() || (at > 0 && x - s.x[at - 1] < s.x[at] - x))
            --at;
        if (lines.isEmpty())
            lines += QStringLiteral("%1 %2").arg(m_plot->xAxis->label(), QString::number(s.x[at], 'g', 12));
        lines += QStringLiteral("%1  %2").arg(displayText(name, 60), QString::number(s.y[at], 'g', 5));
    }
    if (lines.isEmpty() || !m_plot->axisRect()->rect().contains(position))
        QToolTip::hideText();
    else
        QToolTip::showText(global, plainToolTip(lines.join(QLatin1Char('\n'))), m_plot);
}

QString LinePlot::toCsv() const
{
    QString csv = QStringLiteral("series,x,y\n");
    for (const QString& name : m_order) {
        const Series s = m_series.value(name);
        for (qsizetype i = 0; i < s.x.size(); ++i)
            csv += csvField(name) + QLatin1Char(',') + csvNumber(s.x[i]) + QLatin1Char(',') + csvNumber(s.y[i]) + QLatin1Char('\n');
    }
    return csv;
}

void LinePlot::exportTo(const QString& file)
{
    replotNow();
    exportPlotOrTable(m_plot, toCsv(), file);
}

void LinePlot::changeEvent(QEvent* event)
{
    QWidget::changeEvent(event);
    if (event->type() == QEvent::PaletteChange)
        replotNow();
}

} // namespace postnas
