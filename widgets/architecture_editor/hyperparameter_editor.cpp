// A form made from the block's own description.
#include "widgets/architecture_editor/hyperparameter_editor.h"

#include <algorithm>
#include <climits>

#include <QCheckBox>
#include <QDoubleSpinBox>
#include <QFormLayout>
#include <QLabel>
#include <QSignalBlocker>
#include <QSpinBox>
#include <QVBoxLayout>

#include "core/architecture/block_description.h"
#include "widgets/architecture_editor/placement_document.h"
#include "widgets/services/convert.h"
#include "widgets/services/problem.h"
#include "widgets/theme/labels.h"
#include "widgets/theme/theme.h"

namespace postnas {

namespace {

/// Writes numbers without the zeros that fill up the decimals.
class RealBox : public QDoubleSpinBox {
public:
    using QDoubleSpinBox::QDoubleSpinBox;

    QString textFromValue(double value) const override
    {
        QString text = QDoubleSpinBox::textFromValue(value);
        while (text.contains(locale().decimalPoint()) && text.endsWith(locale().zeroDigit()))
            text.chop(1);
        if (text.endsWith(locale().decimalPoint()))
            text.chop(1);
        return text;
    }
};

} // namespace

struct EditedValue {
    Json json;
};

HyperparameterEditor::HyperparameterEditor(PlacementDocument& document, QWidget* parent)
    : QWidget(parent), m_document(document), m_heading(new QLabel(this)), m_problem(new QLabel(this))
{
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(0, 0, 0, 0);
    m_heading->setTextFormat(Qt::PlainText);
    m_heading->setWordWrap(true);
    m_problem->setTextFormat(Qt::PlainText);
    m_problem->setWordWrap(true);
    m_problem->setObjectName(QStringLiteral("hyperparameterProblem"));
    m_problem->hide();
    layout->addWidget(m_heading);
    layout->addWidget(m_problem);
    connect(&document, &PlacementDocument::replaced, this, [this] { setLayers({}); });
    connect(&document, &PlacementDocument::layersChanged, this, [this] { setLayers(m_layers); });
    setLayers({});
}

void HyperparameterEditor::setLayers(const QVector<int>& layers)
{
    m_layers = layers;
    m_problem->hide();
    std::string block;
    bool mixed = false;
    for (const int layer : layers) {
        const std::string& name = m_document.layer(layer).block;
        mixed = mixed || (!block.empty() && block != name);
        block = name;
    }
    if (layers.isEmpty() || mixed) {
        m_heading->setText(mixed ? tr("The selected layers have different blocks.") : tr("Select layers to see their hyperparameters."));
        block.clear();
    } else {
        const BlockDescription* description = findBlock(block);
        const QString name = description != nullptr ? toQString(description->displayName()) : toQString(block);
        m_heading->setText(tr("%1 of %2").arg(name, layersText(layers)));
    }
    if (block != m_block) {
        m_block = block;
        rebuild();
    }
    showValues();
}

QWidget* HyperparameterEditor::field(const std::string& name) const
{
    const auto it = m_fields.find(name);
    return it == m_fields.end() ? nullptr : it->second;
}

void HyperparameterEditor::rebuild()
{
    // The form may be asking for this itself from one of its fields: it dies when the event is done.
    if (m_body != nullptr) {
        m_body->hide();
        m_body->deleteLater();
        m_body = nullptr;
    }
    m_fields.clear();
    m_labels.clear();
    const BlockDescription* block = m_block.empty() ? nullptr : findBlock(m_block);
    if (block == nullptr)
        return;
    m_body = new QWidget(this);
    auto* form = new QFormLayout(m_body);
    form->setContentsMargins(0, 0, 0, 0);
    form->setFieldGrowthPolicy(QFormLayout::AllNonFixedFieldsGrow);
    const auto parameters = block->hyperparameters(m_document.architecture());
    for (const Hyperparameter& parameter : parameters) {
        QWidget* field = nullptr;
        const std::string name = parameter.name;
        if (parameter.kind == Hyperparameter::Kind::Flag) {
            auto* box = new QCheckBox(m_body);
            connect(box, &QCheckBox::clicked, this, [this, name](bool on) { edit(name, {Json(on)}); });
            field = box;
        } else if (parameter.kind == Hyperparameter::Kind::Integer) {
            auto* box = new QSpinBox(m_body);
            box->setKeyboardTracking(false);
            box->setGroupSeparatorShown(true);
            box->setRange(static_cast<int>(std::clamp(parameter.minimum, double(INT_MIN), double(INT_MAX))),
                          static_cast<int>(std::clamp(parameter.maximum, double(INT_MIN), double(INT_MAX))));
            connect(box, &QSpinBox::valueChanged, this, [this, name](int value) { edit(name, {Json(value)}); });
            field = box;
        } else {
            auto* box = new RealBox(m_body);
            box->setKeyboardTracking(false);
            box->setDecimals(8);
            box->setStepType(QAbstractSpinBox::AdaptiveDecimalStepType);
            box->setRange(parameter.minimum, parameter.maximum);
            connect(box, &QDoubleSpinBox::valueChanged, this, [this, name](double value) { edit(name, {Json(value)}); });
            field = box;
        }
        const QString help = parameter.kind == Hyperparameter::Kind::Flag
                                 ? toQString(parameter.help)
                                 : tr("%1\nFrom %L2 to %L3").arg(toQString(parameter.help)).arg(parameter.minimum).arg(parameter.maximum);
        auto* label = new QLabel(toQString(parameter.label), m_body);
        label->setTextFormat(Qt::PlainText);
        label->setBuddy(field);
        label->setToolTip(help);
        field->setToolTip(help);
        field->setMinimumWidth(90); // wide ranges ask for more than their values need
        field->setAccessibleName(toQString(parameter.label));
        field->setObjectName(QStringLiteral("hyper_") + toQString(name));
        form->addRow(label, field);
        m_fields.emplace(name, field);
        m_labels.emplace(name, label);
    }
    if (parameters.empty()) {
        auto* none = new QLabel(tr("This block has no hyperparameters."), m_body);
        none->setWordWrap(true);
        form->addRow(none);
    }
    static_cast<QVBoxLayout*>(layout())->insertWidget(1, m_body);
    m_body->show();
}

void HyperparameterEditor::showValues()
{
    if (m_layers.isEmpty())
        return;
    m_showing = true;
    for (const auto& [name, field] : m_fields) {
        const Json& parameters = m_document.layer(m_layers[0]).parameters;
        const Json value = parameters.contains(name) ? parameters.at(name) : Json(0);
        const bool same = std::all_of(m_layers.begin(), m_layers.end(), [&](int layer) {
            const Json& other = m_document.layer(layer).parameters;
            return (other.contains(name) ? other.at(name) : Json(0)) == value;
        });
        const double number = value.is_number() ? value.get<double>() : value.is_boolean() ? double(value.get<bool>()) : 0;
        if (auto* box = qobject_cast<QSpinBox*>(field))
            box->setValue(static_cast<int>(std::clamp(number, double(INT_MIN), double(INT_MAX))));
        else if (auto* real = qobject_cast<QDoubleSpinBox*>(field))
            real->setValue(number);
        else if (auto* flag = qobject_cast<QCheckBox*>(field))
            flag->setChecked(number != 0);
        QLabel* label = m_labels.at(name);
        QFont font = this->font();
        font.setItalic(!same);
        label->setFont(font);
        field->setStatusTip(same ? QString() : tr("The selected layers have different values; a change sets them all."));
    }
    m_showing = false;
}

void HyperparameterEditor::edit(const std::string& name, const EditedValue& value)
{
    if (m_showing || m_layers.isEmpty())
        return;
    try {
        m_document.setParameter(m_layers, name, value.json);
        m_problem->hide();
    } catch (...) {
        const Problem problem = Problem::current();
        showValues();
        tintText(m_problem, ThemeColours::of(palette()).danger);
        m_problem->setText(problem.text());
        m_problem->show();
    }
}

} // namespace postnas
