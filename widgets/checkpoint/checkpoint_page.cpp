// Shows a checkpoint's numbers, or its problem.
#include "widgets/checkpoint/checkpoint_page.h"

#include <map>

#include <QFileInfo>
#include <QFormLayout>
#include <QHBoxLayout>
#include <QHeaderView>
#include <QLabel>
#include <QLocale>
#include <QPushButton>
#include <QScrollArea>
#include <QStackedWidget>
#include <QStyle>
#include <QTableWidget>
#include <QVBoxLayout>

#include "core/architecture/block_description.h"
#include "core/base/text.h"
#include "widgets/services/convert.h"
#include "widgets/theme/labels.h"
#include "widgets/theme/theme.h"

namespace postnas {
namespace {

QLabel* selectableLabel(QWidget* parent, double scale = 1, bool bold = false)
{
    QLabel* label = plainLabel(parent, scale, bold);
    label->setTextInteractionFlags(Qt::TextSelectableByMouse);
    return label;
}

QString ropeText(const Architecture& architecture)
{
    static const std::map<RopeScaling::Kind, QString> names {{RopeScaling::Kind::Default, QStringLiteral("default")},
                                                             {RopeScaling::Kind::Linear, QStringLiteral("linear")},
                                                             {RopeScaling::Kind::Dynamic, QStringLiteral("dynamic")},
                                                             {RopeScaling::Kind::Yarn, QStringLiteral("yarn")},
                                                             {RopeScaling::Kind::Llama3, QStringLiteral("llama3")}};
    QString text = CheckpointPage::tr("%1, base %L2").arg(names.at(architecture.ropeScaling.kind)).arg(architecture.ropeTheta, 0, 'f', 0);
    if (architecture.ropeScaling.kind != RopeScaling::Kind::Default)
        text += CheckpointPage::tr(", factor %L1").arg(architecture.ropeScaling.factor);
    return text;
}

QString blocksText(const Architecture& architecture)
{
    std::map<QString, int> counts;
    for (const LayerSpec& layer : architecture.layers) {
        const BlockDescription* block = findBlock(layer.block);
        ++counts[toQString(block != nullptr ? block->displayName() : layer.block)];
    }
    QStringList parts;
    for (const auto& [name, count] : counts)
        parts.append(QStringLiteral("%1 × %2").arg(count).arg(name));
    return parts.join(QStringLiteral(", "));
}

} // namespace

CheckpointPage::CheckpointPage(QWidget* parent)
    : QWidget(parent), m_stack(new QStackedWidget(this)), m_empty(selectableLabel(this))
{
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(0, 0, 0, 0);
    layout->addWidget(m_stack);
    auto* empty = new QWidget(this);
    auto* column = new QVBoxLayout(empty);
    m_empty->setAlignment(Qt::AlignCenter);
    m_empty->setWordWrap(true);
    auto* open = new QPushButton(tr("&Open a checkpoint…"), empty);
    connect(open, &QPushButton::clicked, this, &CheckpointPage::openRequested);
    column->addStretch();
    column->addWidget(m_empty);
    column->addWidget(open, 0, Qt::AlignHCenter);
    column->addStretch();
    m_stack->addWidget(empty);
    m_stack->addWidget(makeSummary());
    m_stack->addWidget(makeProblem());
    showNothing();
}

QWidget* CheckpointPage::makeSummary()
{
    auto* page = new QWidget(this);
    auto* column = new QVBoxLayout(page);
    column->setContentsMargins(kSpaceLarge, kSpaceLarge, kSpaceLarge, kSpaceLarge);
    auto* top = new QHBoxLayout;
    m_name = new ElidedLabel(page, 1.5, true);
    auto* edit = new QPushButton(tr("&Edit placement"), page);
    m_search = new QPushButton(tr("New &search…"), page);
    m_chat = new QPushButton(tr("C&hat"), page);
    connect(edit, &QPushButton::clicked, this, &CheckpointPage::editRequested);
    connect(m_search, &QPushButton::clicked, this, &CheckpointPage::searchRequested);
    connect(m_chat, &QPushButton::clicked, this, &CheckpointPage::chatRequested);
    top->addWidget(m_name, 1);
    for (QPushButton* button : {edit, m_search, m_chat})
        top->addWidget(button);
    column->addLayout(top);
    m_path = new ElidedLabel(page);
    m_path->setForegroundRole(QPalette::PlaceholderText);
    column->addWidget(m_path);
    m_warnings = selectableLabel(page);
    m_warnings->setWordWrap(true);
    m_warnings->setObjectName(QStringLiteral("checkpointWarnings"));
    column->addWidget(m_warnings);

    auto* row = new QHBoxLayout;
    row->setSpacing(kSpaceLarge * 2);
    auto* scroll = new QScrollArea(page);
    scroll->setWidgetResizable(true);
    scroll->setFrameShape(QFrame::NoFrame);
    m_formBox = new QWidget(scroll);
    m_form = new QFormLayout(m_formBox);
    m_form->setContentsMargins(0, kSpace, 0, 0);
    m_form->setHorizontalSpacing(kSpaceLarge * 2);
    m_form->setVerticalSpacing(kSpace);
    scroll->setWidget(m_formBox);
    row->addWidget(scroll, 1);

    auto* right = new QVBoxLayout;
    right->setSpacing(kSpace); // not the one between the columns
    QLabel* title = plainLabel(page, 1, true);
    title->setText(tr("State of one sequence"));
    right->addSpacing(kSpace);
    right->addWidget(title);
    m_states = new QTableWidget(0, 4, page);
    m_states->setHorizontalHeaderLabels({tr("Context"), tr("Cache"), tr("Recurrent"), tr("Total")});
    styleTable(m_states);
    m_states->horizontalHeader()->setSectionResizeMode(QHeaderView::Stretch);
    m_states->setToolTip(tr("Keys and values in bfloat16, recurrent states in float32"));
    m_states->setAccessibleName(tr("State of one sequence by context"));
    right->addWidget(m_states, 1);
    row->addLayout(right, 1);
    column->addLayout(row, 1);
    return page;
}

QWidget* CheckpointPage::makeProblem()
{
    auto* page = new QWidget(this);
    auto* column = new QVBoxLayout(page);
    column->setContentsMargins(48, 48, 48, 48);
    auto* icon = new QLabel(page);
    icon->setPixmap(style()->standardIcon(QStyle::SP_MessageBoxWarning).pixmap(48, 48));
    m_problemTitle = selectableLabel(page, 1.3, true);
    m_problem = selectableLabel(page);
    m_hint = selectableLabel(page);
    m_problem->setObjectName(QStringLiteral("checkpointProblem"));
    for (QLabel* label : {m_problemTitle, m_problem, m_hint})
        label->setWordWrap(true);
    m_hint->setForegroundRole(QPalette::PlaceholderText);
    auto* other = new QPushButton(tr("Open &another…"), page);
    connect(other, &QPushButton::clicked, this, &CheckpointPage::openRequested);
    column->addStretch(1);
    column->addWidget(icon);
    column->addWidget(m_problemTitle);
    column->addWidget(m_problem);
    column->addWidget(m_hint);
    column->addSpacing(kSpace);
    column->addWidget(other, 0, Qt::AlignLeft);
    column->addStretch(2);
    return page;
}

void CheckpointPage::showNothing()
{
    m_summary.reset();
    m_empty->setText(tr("Open a Qwen2, Qwen3 or Jet-Nemotron checkpoint: the folder that holds its config.json.\n"
                        "You can also drop it on this window."));
    m_stack->setCurrentIndex(0);
}

void CheckpointPage::showLoading(const QString& path)
{
    m_summary.reset();
    m_empty->setText(tr("Reading %1 …").arg(path));
    m_stack->setCurrentIndex(0);
}

void CheckpointPage::showProblem(const QString& path, const Problem& problem)
{
    m_summary.reset();
    m_problemTitle->setText(tr("%1 cannot be opened").arg(displayText(QFileInfo(path).fileName())));
    m_problem->setText(displayText(problem.message));
    m_hint->setText(displayText(problem.hint));
    m_stack->setCurrentIndex(2);
}

void CheckpointPage::addRow(const QString& title, const QString& value, const QString& help)
{
    auto* name = selectableLabel(m_formBox);
    name->setText(title);
    name->setForegroundRole(QPalette::PlaceholderText);
    auto* text = selectableLabel(m_formBox);
    text->setText(displayText(value));
    text->setWordWrap(true);
    text->setAccessibleName(title);
    name->setToolTip(help);
    text->setToolTip(help);
    m_form->addRow(name, text);
}

QString CheckpointPage::valueOf(const QString& title) const
{
    for (int row = 0; row < m_form->rowCount(); ++row) {
        const auto* name = qobject_cast<QLabel*>(m_form->itemAt(row, QFormLayout::LabelRole)->widget());
        const auto* value = qobject_cast<QLabel*>(m_form->itemAt(row, QFormLayout::FieldRole)->widget());
        if (name != nullptr && value != nullptr && name->text() == title)
            return value->text();
    }
    return {};
}

QString CheckpointPage::problemText() const { return m_stack->currentIndex() == 2 ? m_problem->text() : QString(); }

void CheckpointPage::showCheckpoint(const CheckpointSummary& summary)
{
    m_summary = summary;
    const Architecture& a = summary.architecture;
    const QLocale locale;
    m_name->setFullText(displayText(summary.name));
    m_path->setFullText(displayText(summary.path));
    QStringList warnings;
    for (const QString& warning : summary.warnings.mid(0, 8))
        warnings.append(QStringLiteral("⚠ ") + warning);
    if (summary.warnings.size() > 8)
        warnings.append(tr("… and %1 more").arg(summary.warnings.size() - 8));
    m_warnings->setText(warnings.join(QLatin1Char('\n')));
    m_warnings->setVisible(!warnings.isEmpty());
    while (m_form->rowCount() > 0)
        m_form->removeRow(0);
    addRow(tr("Type"), toQString(a.modelType), tr("model_type in config.json"));
    addRow(tr("Parameters"), locale.toString(summary.parameters), tr("Tied embeddings count once"));
    addRow(tr("Layers"), locale.toString(a.layerCount()), {});
    addRow(tr("Blocks"), blocksText(a), tr("The sequence mixers of the layers"));
    addRow(tr("Hidden size"), locale.toString(static_cast<qint64>(a.hiddenSize)), tr("Width of the residual stream"));
    addRow(tr("MLP size"), locale.toString(static_cast<qint64>(a.intermediateSize)), tr("Width inside the feed-forward part"));
    addRow(tr("Heads"), tr("%1 query, %2 key-value, %3 channels each").arg(a.attentionHeads).arg(a.keyValueHeads).arg(a.headDim),
           tr("Of an attention layer"));
    addRow(tr("Vocabulary"),
           tr("%L1 tokens, %2").arg(static_cast<qint64>(a.vocabularySize)).arg(a.tieWordEmbeddings ? tr("tied to the output") : tr("output of its own")),
           tr("Rows of the embedding"));
    addRow(tr("Positions"), tr("%L1 tokens").arg(static_cast<qint64>(a.maxPositions)), tr("max_position_embeddings"));
    addRow(tr("Rotary"), ropeText(a), tr("How positions enter attention"));
    addRow(tr("Weights"),
           summary.hasWeights ? tr("%1, %2, files: %3").arg(toQString(formatBytes(double(summary.weightBytes))), summary.dtype).arg(summary.weightFiles)
                              : tr("none"),
           tr("As they are stored"));
    addRow(tr("Tokenizer"), summary.hasTokenizer ? tr("present") : tr("missing"), tr("tokenizer.json"));
    addRow(tr("Chat template"), summary.hasChatTemplate ? tr("present") : tr("missing"), {});
    fillStateTable(a);
    m_search->setEnabled(summary.hasWeights);
    m_chat->setEnabled(summary.hasWeights && summary.hasTokenizer);
    m_stack->setCurrentIndex(1);
}

void CheckpointPage::fillStateTable(const Architecture& architecture)
{
    m_states->setRowCount(0);
    for (qint64 context = 512; context <= (qint64 {1} << 20); context *= 2) {
        const StateSize size = stateSize(architecture, context);
        const int row = m_states->rowCount();
        m_states->insertRow(row);
        const QStringList texts {QLocale().toString(context), toQString(formatBytes(size.cacheBytes)),
                                 toQString(formatBytes(size.recurrentBytes)), toQString(formatBytes(size.total()))};
        for (int column = 0; column < texts.size(); ++column) {
            auto* item = new QTableWidgetItem(texts[column]);
            item->setTextAlignment(Qt::AlignRight | Qt::AlignVCenter);
            m_states->setItem(row, column, item);
        }
    }
}

} // namespace postnas
