// Numbers by the formulas of core/architecture, updated with every edit.
#include "widgets/architecture_editor/summary_bar.h"

#include <cmath>
#include <map>

#include <QComboBox>
#include <QHBoxLayout>
#include <QLabel>
#include <QLineEdit>
#include <QLocale>
#include <QVBoxLayout>

#include "core/base/text.h"
#include "widgets/architecture_editor/placement_document.h"
#include "widgets/services/convert.h"
#include "widgets/theme/block_colours.h"
#include "widgets/theme/theme.h"

namespace postnas {

qint64 parseContext(const QString& input)
{
    QString text = input.trimmed().toLower();
    text.remove(QLatin1Char(',')).remove(QLatin1Char(' ')).remove(QChar(0x00a0)).remove(QChar(0x202f)).remove(QLatin1Char('\''));
    if (text.endsWith(QLatin1Char('i')))
        text.chop(1);
    double factor = 1;
    if (text.endsWith(QLatin1Char('k')))
        factor = 1024;
    else if (text.endsWith(QLatin1Char('m')))
        factor = 1024.0 * 1024;
    if (factor != 1)
        text.chop(1);
    bool ok = false;
    const double number = text.toDouble(&ok) * factor;
    return ok && number >= 1 && number <= 1e12 && number == std::floor(number) ? static_cast<qint64>(number) : -1;
}

SummaryBar::SummaryBar(PlacementDocument& document, QWidget* parent) : QWidget(parent), m_document(document), m_context(new QComboBox(this))
{
    auto* row = new QHBoxLayout(this);
    row->setContentsMargins(0, kSpaceSmall, 0, kSpaceSmall);
    row->setSpacing(kSpaceLarge + kSpaceSmall);

    auto* column = new QVBoxLayout;
    column->setSpacing(2);
    auto* title = new QLabel(tr("&Context, tokens"), this);
    title->setBuddy(m_context);
    m_context->setEditable(true);
    m_context->setInsertPolicy(QComboBox::NoInsert);
    m_context->setObjectName(QStringLiteral("contextBox"));
    for (qint64 tokens = PlacementDocument::kMinContext; tokens <= PlacementDocument::kMaxContext; tokens *= 2)
        m_context->addItem(QLocale().toString(tokens), tokens);
    m_context->setToolTip(tr("How many tokens a sequence has when the state is counted: 512 to 1M"));
    m_context->setAccessibleName(tr("Context in tokens"));
    m_context->setMaximumWidth(130);
    column->addWidget(title);
    column->addWidget(m_context);
    column->addStretch();
    row->addLayout(column);

    m_parameters = addCell(tr("Parameters"), tr("Numbers in the weights; tied embeddings count once"), QStringLiteral("parameters"));
    m_state = addCell(tr("State per sequence"),
                      tr("What decoding keeps for one sequence: key-value cache in bfloat16, recurrent states in float32"),
                      QStringLiteral("state"));
    m_traffic = addCell(tr("Moved per token"),
                        tr("Bytes that decoding one token must move at this context and batch 1: weights (bfloat16) and state"),
                        QStringLiteral("traffic"));
    m_blocks = addCell(tr("Layers"), tr("How many layers have which block"), QStringLiteral("blocks"));
    m_blocks.value->setMinimumWidth(60); // with many kinds the longest of all: it gives way first
    row->addStretch();

    connect(m_context, &QComboBox::textActivated, this, &SummaryBar::chooseContext);
    connect(m_context->lineEdit(), &QLineEdit::editingFinished, this, [this] { chooseContext(m_context->currentText()); });
    connect(&document, &PlacementDocument::replaced, this, &SummaryBar::refresh);
    connect(&document, &PlacementDocument::layersChanged, this, &SummaryBar::refresh);
    connect(&document, &PlacementDocument::contextChanged, this, &SummaryBar::refresh);
    refresh();
}

SummaryBar::Cell SummaryBar::addCell(const QString& title, const QString& help, const QString& name)
{
    auto* column = new QVBoxLayout;
    column->setSpacing(2);
    auto* heading = new QLabel(title, this);
    auto* value = new QLabel(this);
    auto* difference = new QLabel(this);
    heading->setForegroundRole(QPalette::PlaceholderText);
    difference->setForegroundRole(QPalette::PlaceholderText);
    QFont font = value->font();
    font.setPointSizeF(font.pointSizeF() * 1.3);
    font.setBold(true);
    value->setFont(font);
    value->setObjectName(name);
    difference->setObjectName(name + QStringLiteral("Difference"));
    for (QLabel* label : {heading, value, difference}) {
        label->setTextFormat(Qt::PlainText);
        label->setToolTip(help);
        column->addWidget(label);
    }
    value->setTextInteractionFlags(Qt::TextSelectableByMouse | Qt::TextSelectableByKeyboard);
    value->setAccessibleDescription(title);
    column->addStretch();
    static_cast<QHBoxLayout*>(layout())->addLayout(column);
    return {value, difference};
}

void SummaryBar::chooseContext(const QString& text)
{
    const qint64 tokens = parseContext(text);
    if (tokens > 0)
        m_document.setContext(tokens);
    // Shows what was taken, also when that is the old value or a clamped one.
    m_context->setCurrentText(QLocale().toString(m_document.context()));
}

void SummaryBar::showDifference(const Cell& cell, double now, double teacher)
{
    if (now == teacher) {
        cell.difference->setText(tr("as the teacher"));
        return;
    }
    const double percent = teacher > 0 ? (now / teacher - 1) * 100 : 0;
    const QString sign = percent > 0 ? QStringLiteral("+") : QStringLiteral("−");
    const double size = std::abs(percent);
    cell.difference->setText(tr("%1%L2% vs. teacher").arg(sign).arg(size, 0, 'f', size < 10 ? 2 : 1));
}

void SummaryBar::refresh()
{
    m_context->setCurrentText(QLocale().toString(m_document.context()));
    setEnabled(!m_document.isEmpty());
    if (m_document.isEmpty()) {
        for (const Cell& cell : {m_parameters, m_state, m_traffic, m_blocks}) {
            cell.value->setText(QStringLiteral("–"));
            cell.difference->clear();
        }
        return;
    }
    const Architecture& now = m_document.architecture();
    const Architecture& teacher = m_document.teacher();
    const qint64 context = m_document.context();
    const qint64 parameters = parameterCount(now);
    m_parameters.value->setText(QLocale().toString(parameters));
    showDifference(m_parameters, static_cast<double>(parameters), static_cast<double>(parameterCount(teacher)));
    const double state = stateSize(now, context).total();
    m_state.value->setText(toQString(formatBytes(state)));
    showDifference(m_state, state, stateSize(teacher, context).total());
    const double traffic = decodeBytes(now, context, 1);
    m_traffic.value->setText(toQString(formatBytes(traffic)));
    showDifference(m_traffic, traffic, decodeBytes(teacher, context, 1));

    std::map<QString, int> counts;
    int changed = 0;
    for (int i = 0; i < m_document.layerCount(); ++i) {
        ++counts[toQString(m_document.layer(i).block)];
        changed += m_document.differsFromTeacher(i) ? 1 : 0;
    }
    QStringList parts;
    for (const auto& [block, count] : counts)
        parts.append(QStringLiteral("%1 %2").arg(count).arg(blockStyle(block, false).code));
    m_blocks.value->setText(parts.join(QStringLiteral(" · ")));
    m_blocks.difference->setText(changed == 0 ? tr("as the teacher") : tr("%1 of %2 changed").arg(changed).arg(m_document.layerCount()));
}

QString SummaryBar::parametersText() const { return m_parameters.value->text(); }
QString SummaryBar::stateText() const { return m_state.value->text(); }
QString SummaryBar::trafficText() const { return m_traffic.value->text(); }
QString SummaryBar::blocksText() const { return m_blocks.value->text(); }

} // namespace postnas
