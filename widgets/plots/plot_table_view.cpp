// Lays plot, table, controls and caption out, and exports them.
#include "widgets/plots/plot_table_view.h"

#include <QBoxLayout>
#include <QClipboard>
#include <QEvent>
#include <QGuiApplication>
#include <QHeaderView>
#include <QLabel>
#include <QPushButton>
#include <QScrollBar>
#include <QSplitter>
#include <QTableView>

#include "widgets/plots/export.h"
#include "widgets/plots/qcustomplot.h"
#include "widgets/theme/labels.h"
#include "widgets/theme/theme.h"

namespace postnas {

PlotTableView::PlotTableView(const QString& name, QWidget* parent)
    : QWidget(parent), m_table(new QTableView), m_bar(new QHBoxLayout), m_tableBar(new QHBoxLayout),
      m_splitter(new QSplitter(Qt::Horizontal)), m_caption(plainLabel(this))
{
    styleTable(m_table);
    m_table->setSortingEnabled(true);
    m_table->setFrameShape(QFrame::NoFrame);
    m_table->setHorizontalScrollMode(QAbstractItemView::ScrollPerPixel);
    addCsvCopy(m_table);

    auto* copy = new QPushButton(tr("&Copy CSV"));
    copy->setToolTip(tr("The whole table as it is shown; Ctrl+C in the table copies the selected rows"));
    auto* write = new QPushButton(tr("&Export…"));
    write->setToolTip(tr("The plot as PNG or SVG, or the table as CSV"));
    m_bar->setSpacing(kSpace);
    m_bar->addStretch();
    m_bar->addWidget(copy);
    m_bar->addWidget(write);

    auto* tableSide = new QWidget;
    auto* tableColumn = new QVBoxLayout(tableSide);
    tableColumn->setContentsMargins(0, 0, 0, 0);
    tableColumn->addLayout(m_tableBar);
    tableColumn->addWidget(m_table, 1);
    m_splitter->addWidget(tableSide);
    m_splitter->setChildrenCollapsible(false);
    m_splitter->setHandleWidth(kSpace);
    m_splitter->installEventFilter(this);
    m_caption->setWordWrap(true);
    auto* column = new QVBoxLayout(this);
    column->setContentsMargins(kSpace, kSpace, kSpace, kSpace);
    column->setSpacing(kSpace);
    column->addLayout(m_bar);
    column->addWidget(m_splitter, 1);
    column->addWidget(m_caption);

    connect(m_splitter, &QSplitter::splitterMoved, this, [this] { m_dividerMoved = true; });
    connect(copy, &QPushButton::clicked, this, [this] { QGuiApplication::clipboard()->setText(toCsv()); });
    connect(write, &QPushButton::clicked, this, [this, name] {
        exportWithDialog(this, name + QStringLiteral(".png"), [this](const QString& file) { exportTo(file); });
    });
    setCaption({});
}

void PlotTableView::setContent(QCustomPlot* plot, QAbstractItemModel* model)
{
    m_picture = plot;
    m_splitter->insertWidget(0, plot);
    m_splitter->setStretchFactor(0, 1);
    m_splitter->setStretchFactor(1, 0);
    m_table->setModel(model);
}

void PlotTableView::addControl(const QString& label, QWidget* field)
{
    if (!label.isEmpty()) {
        auto* title = new QLabel(label);
        title->setBuddy(field);
        m_bar->insertWidget(static_cast<int>(m_controls++), title);
    }
    m_bar->insertWidget(static_cast<int>(m_controls++), field);
}

void PlotTableView::setCaption(const QString& text)
{
    m_caption->setText(text);
    tintText(m_caption, ThemeColours::of(palette()).mutedText);
}

void PlotTableView::fitTable()
{
    const int room = m_splitter->width() - m_splitter->handleWidth();
    if (m_dividerMoved || room <= 0)
        return;
    const int columns = m_table->horizontalHeader()->length() + m_table->verticalScrollBar()->sizeHint().width() + kSpaceSmall;
    const int width = std::min(columns, room / 2);
    m_splitter->setSizes({room - width, width});
}

QString PlotTableView::toCsv() const { return tableToCsv(*m_table->model()); }

void PlotTableView::exportTo(const QString& file) const { exportPlotOrTable(m_picture, toCsv(), file); }

bool PlotTableView::eventFilter(QObject* watched, QEvent* event)
{
    if (watched == m_splitter && event->type() == QEvent::Resize)
        fitTable();
    return QWidget::eventFilter(watched, event);
}

void PlotTableView::changeEvent(QEvent* event)
{
    QWidget::changeEvent(event);
    if (event->type() == QEvent::PaletteChange)
        tintText(m_caption, ThemeColours::of(palette()).mutedText);
}

} // namespace postnas
