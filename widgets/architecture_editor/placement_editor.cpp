// Puts the parts of the placement page together.
#include "widgets/architecture_editor/placement_editor.h"

#include <QEvent>
#include <QHBoxLayout>
#include <QLabel>
#include <QPushButton>
#include <QScrollArea>
#include <QScrollBar>
#include <QSplitter>
#include <QVBoxLayout>

#include "widgets/architecture_editor/block_palette.h"
#include "widgets/architecture_editor/hyperparameter_editor.h"
#include "widgets/architecture_editor/placement_board.h"
#include "widgets/architecture_editor/placement_document.h"
#include "widgets/architecture_editor/summary_bar.h"
#include "widgets/services/convert.h"
#include "widgets/theme/labels.h"
#include "widgets/theme/theme.h"

namespace postnas {
namespace {

QLabel* heading(const QString& text, QWidget* parent)
{
    QLabel* label = plainLabel(parent, 1, true);
    label->setText(text);
    return label;
}

/// Scrolls up and down alone: it is never narrower than what it holds and the bar beside it.
class ColumnScroll : public QScrollArea {
public:
    using QScrollArea::QScrollArea;

protected:
    bool eventFilter(QObject* watched, QEvent* event) override
    {
        if (watched == widget() && event->type() == QEvent::LayoutRequest)
            setMinimumWidth(widget()->minimumSizeHint().width() + verticalScrollBar()->sizeHint().width());
        return QScrollArea::eventFilter(watched, event);
    }
};

} // namespace

PlacementEditor::PlacementEditor(PlacementDocument& document, QWidget* parent)
    : QWidget(parent), m_document(document), m_title(plainLabel(this, 1.2, true)), m_board(new PlacementBoard(document, this)),
      m_palette(new BlockPalette(this)), m_hyperparameters(new HyperparameterEditor(document, this)),
      m_summary(new SummaryBar(document, this))
{
    auto* top = new QHBoxLayout;
    auto* load = new QPushButton(tr("&Open placement…"), this);
    load->setToolTip(tr("Take the layers from a config.json of the same shape"));
    auto* save = new QPushButton(tr("&Save placement…"), this);
    save->setToolTip(tr("Write the placement as a config.json, without weights"));
    connect(load, &QPushButton::clicked, this, &PlacementEditor::loadRequested);
    connect(save, &QPushButton::clicked, this, &PlacementEditor::saveRequested);
    top->addWidget(m_title, 1);
    top->addWidget(load);
    top->addWidget(save);

    auto* hint = new QLabel(tr("Layers are numbered from 1. Select tiles, then press a number or letter, or choose a block at the "
                               "right. A folded corner marks a layer that differs from the teacher."),
                            this);
    hint->setWordWrap(true);
    hint->setForegroundRole(QPalette::PlaceholderText);

    auto* side = new QWidget;
    auto* sideLayout = new QVBoxLayout(side);
    sideLayout->setContentsMargins(kSpace, 0, kSpace, 0);
    sideLayout->addWidget(heading(tr("Blocks"), side));
    sideLayout->addWidget(m_palette);
    sideLayout->addSpacing(kSpace);
    sideLayout->addWidget(heading(tr("Hyperparameters"), side));
    sideLayout->addWidget(m_hyperparameters);
    sideLayout->addStretch();
    auto* scroll = new ColumnScroll(this);
    scroll->setWidget(side);
    scroll->setWidgetResizable(true);
    scroll->setFrameShape(QFrame::NoFrame);
    scroll->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);

    auto* splitter = new QSplitter(Qt::Horizontal, this);
    splitter->addWidget(m_board);
    splitter->addWidget(scroll);
    splitter->setStretchFactor(0, 1);
    splitter->setStretchFactor(1, 0);
    splitter->setSizes({800, 260});
    splitter->setChildrenCollapsible(false);

    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(kSpaceLarge, kSpaceLarge, kSpaceLarge, kSpace);
    layout->addLayout(top);
    layout->addWidget(hint);
    layout->addWidget(splitter, 1);
    layout->addWidget(m_summary);

    connect(m_palette, &BlockPalette::blockChosen, this, [this](const QString& block) {
        m_board->assignBlock(block);
        selectionChanged(); // a checkable button must show the selection's block, not the click
    });
    connect(m_board, &PlacementBoard::selectionChangedByUser, this, &PlacementEditor::selectionChanged);
    connect(m_board, &PlacementBoard::problem, this, &PlacementEditor::problem);
    connect(&document, &PlacementDocument::layersChanged, this, &PlacementEditor::selectionChanged);
    const auto replaced = [this, load, save] {
        const bool empty = m_document.isEmpty();
        m_title->setText(empty ? tr("No checkpoint is open") : displayText(m_document.teacherName()));
        for (QWidget* widget : std::initializer_list<QWidget*> {load, save, m_palette})
            widget->setEnabled(!empty);
        if (m_board->hasFocus())
            m_board->selectSomething();
        selectionChanged();
    };
    connect(&document, &PlacementDocument::replaced, this, replaced);
    replaced();
    setFocusProxy(m_board);
}

void PlacementEditor::showLayer(int layer)
{
    m_board->selectLayer(layer);
    m_board->setFocus();
}

void PlacementEditor::selectionChanged()
{
    const QVector<int> layers = m_board->selectedLayers();
    m_hyperparameters->setLayers(layers);
    QString block;
    for (const int layer : layers) {
        const QString name = toQString(m_document.layer(layer).block);
        if (!block.isEmpty() && block != name) {
            block.clear();
            break;
        }
        block = name;
    }
    m_palette->setPresentBlock(block);
    m_palette->setEnabled(!layers.isEmpty());
}

} // namespace postnas
