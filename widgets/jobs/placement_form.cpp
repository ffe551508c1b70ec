// Fields for PlacementSpec with tooltips, live validation and sensible defaults.
#include "widgets/jobs/placement_form.h"

#include <QCheckBox>
#include <QComboBox>
#include <QDoubleSpinBox>
#include <QFileDialog>
#include <QFileInfo>
#include <QFormLayout>
#include <QGroupBox>
#include <QHBoxLayout>
#include <QLabel>
#include <QLineEdit>
#include <QPushButton>
#include <QScrollArea>
#include <QSpinBox>
#include <QTabWidget>
#include <QVBoxLayout>

#include "core/architecture/block_description.h"
#include "core/huggingface/model_config.h"
#include "core/tasks/task.h"
#include "widgets/architecture_editor/placement_board.h"
#include "widgets/jobs/path_list.h"
#include "widgets/services/convert.h"
#include "widgets/theme/theme.h"

namespace postnas {
namespace {

constexpr int kMaxCount = 1'000'000'000;

QSpinBox* spin(int minimum, int maximum, const QString& special = {})
{
    auto* box = new QSpinBox;
    box->setRange(minimum, maximum);
    box->setGroupSeparatorShown(true);
    box->setSpecialValueText(special);
    return box;
}

QFormLayout* formIn(QWidget* widget)
{
    auto* form = new QFormLayout(widget);
    form->setFieldGrowthPolicy(QFormLayout::AllNonFixedFieldsGrow);
    form->setVerticalSpacing(kSpace);
    return form;
}

} // namespace

PlacementForm::PlacementForm(QWidget* parent) : QWidget(parent), m_message(new QLabel(this))
{
    auto* tabs = new QTabWidget(this);
    tabs->addTab(makeInputs(), tr("&Model, data, tasks"));
    tabs->addTab(makeSearch(), tr("&Search"));
    tabs->addTab(makeTraining(), tr("&Training"));
    tabs->addTab(makeMachine(), tr("Mac&hine"));
    m_message->setTextFormat(Qt::PlainText);
    m_message->setWordWrap(true);
    m_message->setMinimumHeight(m_message->fontMetrics().height() * 2);
    m_message->setObjectName(QStringLiteral("formMessage"));
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(0, 0, 0, 0);
    layout->addWidget(tabs, 1);
    layout->addWidget(m_message);

    for (QSpinBox* box : findChildren<QSpinBox*>())
        connect(box, &QSpinBox::valueChanged, this, &PlacementForm::check);
    for (QDoubleSpinBox* box : findChildren<QDoubleSpinBox*>())
        connect(box, &QDoubleSpinBox::valueChanged, this, &PlacementForm::check);
    for (QCheckBox* box : findChildren<QCheckBox*>())
        connect(box, &QCheckBox::toggled, this, &PlacementForm::check);
    for (QComboBox* box : findChildren<QComboBox*>())
        connect(box, &QComboBox::currentTextChanged, this, &PlacementForm::check);
    connect(m_sliding, &QGroupBox::toggled, this, &PlacementForm::check);
    connect(m_rate, &QLineEdit::textChanged, this, &PlacementForm::check);
    connect(m_seed, &QLineEdit::textChanged, this, &PlacementForm::check);
    connect(m_modelPath, &QLineEdit::textChanged, this, &PlacementForm::readModel);
    connect(m_data, &PathList::changed, this, &PlacementForm::check);
    connect(m_tasks, &PathList::changed, this, [this] {
        refreshTasks();
        check();
    });
    setSpec(PlacementSpec());
}

void PlacementForm::addRow(QFormLayout* form, const QString& label, QWidget* field, const QString& help)
{
    auto* title = new QLabel(label);
    title->setBuddy(field);
    title->setToolTip(help);
    field->setToolTip(help);
    field->setAccessibleName(QString(label).remove(QLatin1Char('&')));
    form->addRow(title, field);
}

QWidget* PlacementForm::makeInputs()
{
    auto* page = new QWidget(this);
    auto* form = formIn(page);
    auto* row = new QWidget(page);
    auto* rowLayout = new QHBoxLayout(row);
    rowLayout->setContentsMargins(0, 0, 0, 0);
    m_modelPath = new QLineEdit(row);
    m_modelPath->setObjectName(QStringLiteral("modelPath"));
    auto* choose = new QPushButton(tr("Choose…"), row);
    connect(choose, &QPushButton::clicked, this, &PlacementForm::chooseModel);
    rowLayout->addWidget(m_modelPath, 1);
    rowLayout->addWidget(choose);
    row->setFocusProxy(m_modelPath);
    addRow(form, tr("&Teacher"), row, tr("The checkpoint whose layers are examined; it stays as it is"));
    m_data = new PathList(PathList::Kind::FilesOrFolders, tr("Training data"),
                          tr("Text and token data (*.jsonl *.jsonl.gz *.jsonl.zst *.txt *.txt.gz *.txt.zst);;All files (*)"), page);
    addRow(form, tr("Training &data"), m_data, tr("Text that the supernet is distilled on: JSON lines, text, or a folder of token shards"));
    m_tasks = new PathList(PathList::Kind::Files, tr("Tasks"), tr("Task files (*.yaml *.yml);;All files (*)"), page);
    addRow(form, tr("T&asks"), m_tasks, tr("What each placement is scored on"));
    m_itemLimit = spin(0, kMaxCount, tr("all"));
    addRow(form, tr("&Items per task"), m_itemLimit, tr("Fewer items are faster and less certain"));
    return page;
}

QWidget* PlacementForm::makeSearch()
{
    auto* page = new QWidget(this);
    auto* form = formIn(page);
    m_block = new QComboBox(page);
    for (const QString& name : PlacementBoard::blockOrder())
        if (!blockNamed(toStd(name)).growsWithContext() && name != QLatin1String("sliding_window"))
            m_block->addItem(toQString(blockNamed(toStd(name)).displayName()), name);
    addRow(form, tr("&Linear block"), m_block, tr("What the layers without full attention become"));
    m_fromTeacher = new QCheckBox(tr("Begin with the teacher's projections"), page);
    addRow(form, QString(), m_fromTeacher, tr("Query, key, value and output weights are copied where their shapes allow; else random"));
    m_fullLayers = spin(0, 4096);
    m_fullLayers->setObjectName(QStringLiteral("fullLayers"));
    addRow(form, tr("&Full-attention layers (K)"), m_fullLayers, tr("How many layers may keep full attention"));
    m_beam = spin(1, 100000);
    addRow(form, tr("&Beam width"), m_beam, tr("How many placements the beam search keeps at each step"));
    m_placementTask = new QComboBox(page);
    addRow(form, tr("&Export the best for"), m_placementTask, tr("The task whose best placement becomes the hybrid; mean: over all tasks"));
    m_uniform = new QCheckBox(tr("Score evenly spaced placements too"), page);
    addRow(form, QString(), m_uniform, tr("The baselines that a found placement should beat"));
    m_exhaustive = new QComboBox(page);
    m_exhaustive->addItem(tr("when there are few"), static_cast<int>(ExhaustiveChoice::Auto));
    m_exhaustive->addItem(tr("always"), static_cast<int>(ExhaustiveChoice::Always));
    m_exhaustive->addItem(tr("never"), static_cast<int>(ExhaustiveChoice::Never));
    addRow(form, tr("Score &all placements"), m_exhaustive, tr("Shows where the beam's best stands among all with K full layers"));
    m_sliding = new QGroupBox(tr("Sliding-window layers, chosen on a second task"), page);
    m_sliding->setCheckable(true);
    auto* inner = formIn(m_sliding);
    m_slidingLayers = spin(0, 4096);
    m_window = spin(1, 1 << 24);
    m_slidingTask = new QComboBox(m_sliding);
    addRow(inner, tr("Layers"), m_slidingLayers, tr("How many of the other layers get a sliding window"));
    addRow(inner, tr("Window, tokens"), m_window, tr("How far back such a layer sees"));
    addRow(inner, tr("Task"), m_slidingTask, tr("The task whose objective chooses them"));
    form->addRow(m_sliding);
    return page;
}

QWidget* PlacementForm::makeTraining()
{
    auto* page = new QWidget(this);
    auto* form = formIn(page);
    m_steps = spin(0, kMaxCount);
    m_steps->setObjectName(QStringLiteral("steps"));
    addRow(form, tr("&Steps"), m_steps, tr("Optimiser steps of the supernet; one random path combination each"));
    m_batch = spin(1, 1 << 20);
    addRow(form, tr("&Batch"), m_batch, tr("Sequences a step"));
    m_length = spin(2, 1 << 24);
    addRow(form, tr("Sequence &length"), m_length, tr("Tokens of a training sequence"));
    m_rate = new QLineEdit(page);
    m_rate->setObjectName(QStringLiteral("learningRate"));
    addRow(form, tr("Learning &rate"), m_rate, tr("Highest rate of AdamW, for example 0.001 or 1e-3"));
    m_warmup = spin(0, kMaxCount);
    addRow(form, tr("&Warm-up steps"), m_warmup, tr("Steps in which the rate rises from 0"));
    m_fullProbability = new QDoubleSpinBox(page);
    m_fullProbability->setRange(0, 1);
    m_fullProbability->setSingleStep(0.05);
    addRow(form, tr("Share of &full paths"), m_fullProbability, tr("How likely a layer takes its full-attention path in a step"));
    m_packing = new QCheckBox(tr("Pack several documents into one sequence"), page);
    addRow(form, QString(), m_packing, tr("No tokens are wasted, but documents see each other's boundaries"));
    return page;
}

QWidget* PlacementForm::makeMachine()
{
    auto* page = new QWidget(this);
    auto* form = formIn(page);
    m_seed = new QLineEdit(page);
    m_seed->setObjectName(QStringLiteral("seed"));
    addRow(form, tr("&Seed"), m_seed, tr("The same spec with the same seed gives the same run on the same machine"));
    m_device = new QComboBox(page);
    for (const DeviceChoice choice : {DeviceChoice::Auto, DeviceChoice::Cpu, DeviceChoice::Cuda})
        m_device->addItem(QString::fromLatin1(deviceChoiceName(choice)), static_cast<int>(choice));
    addRow(form, tr("&Device"), m_device, tr("auto: a GPU when there is one"));
    m_dtype = new QComboBox(page);
    for (const DtypeChoice choice : {DtypeChoice::Auto, DtypeChoice::BFloat16, DtypeChoice::Float32})
        m_dtype->addItem(QString::fromLatin1(dtypeChoiceName(choice)), static_cast<int>(choice));
    addRow(form, tr("&Precision"), m_dtype, tr("auto: bfloat16 on a GPU, float32 on a CPU"));
    m_threads = spin(0, 4096, tr("all cores"));
    addRow(form, tr("&Threads"), m_threads, tr("CPU threads of the worker"));
    return page;
}

void PlacementForm::setSpec(const PlacementSpec& spec)
{
    m_filling = true;
    m_base = spec;
    const auto choose = [](QComboBox* box, const QVariant& data) { box->setCurrentIndex(std::max(0, box->findData(data))); };
    QStringList data, tasks;
    for (const DataSource& source : spec.data)
        data.append(toQString(source.path));
    for (const auto& task : spec.tasks)
        tasks.append(toQString(task));
    m_data->setPaths(data);
    m_tasks->setPaths(tasks);
    m_itemLimit->setValue(static_cast<int>(spec.itemLimit));
    choose(m_block, toQString(spec.linearBlock));
    m_fromTeacher->setChecked(spec.initialiseFromTeacher);
    m_fullLayers->setValue(spec.fullLayers);
    m_beam->setValue(spec.beamWidth);
    m_uniform->setChecked(spec.uniformBaselines);
    choose(m_exhaustive, static_cast<int>(spec.exhaustive));
    const SlidingWindowSpec window = spec.slidingWindow.value_or(SlidingWindowSpec {1, 64, {}});
    refreshTasks();
    choose(m_placementTask, toQString(spec.placementTask));
    m_sliding->setChecked(spec.slidingWindow.has_value());
    m_slidingLayers->setValue(window.layers);
    m_window->setValue(static_cast<int>(window.window));
    choose(m_slidingTask, toQString(window.task));
    m_steps->setValue(static_cast<int>(spec.training.steps));
    m_batch->setValue(static_cast<int>(spec.training.batchSize));
    m_length->setValue(static_cast<int>(spec.training.sequenceLength));
    m_rate->setText(QString::number(spec.training.learningRate, 'g', 8));
    m_warmup->setValue(static_cast<int>(spec.training.warmupSteps));
    m_fullProbability->setValue(spec.training.fullProbability);
    m_packing->setChecked(spec.training.packing);
    m_seed->setText(QString::number(spec.seed));
    choose(m_device, static_cast<int>(spec.device));
    choose(m_dtype, static_cast<int>(spec.dtype));
    m_threads->setValue(spec.threads);
    m_modelPath->setText(toQString(spec.model));
    m_filling = false;
    readModel();
}

PlacementSpec PlacementForm::spec() const
{
    PlacementSpec out = m_base;
    out.model = toPath(m_modelPath->text().trimmed());
    out.data.clear();
    for (const QString& path : m_data->paths()) {
        DataSource source {toPath(path), std::nullopt, 1};
        // Weights and phases of a spec that was loaded stay with their files.
        for (const DataSource& old : m_base.data)
            if (old.path == source.path)
                source = old;
        out.data.push_back(source);
    }
    out.tasks.clear();
    for (const QString& path : m_tasks->paths())
        out.tasks.push_back(toPath(path));
    out.itemLimit = m_itemLimit->value();
    const std::string block = toStd(m_block->currentData().toString());
    if (block != out.linearBlock)
        out.linearParameters = Json::object(); // they belonged to the other block
    out.linearBlock = block;
    out.initialiseFromTeacher = m_fromTeacher->isChecked();
    out.fullLayers = m_fullLayers->value();
    out.beamWidth = m_beam->value();
    out.placementTask = toStd(m_placementTask->currentData().toString());
    out.uniformBaselines = m_uniform->isChecked();
    out.exhaustive = static_cast<ExhaustiveChoice>(m_exhaustive->currentData().toInt());
    out.slidingWindow.reset();
    if (m_sliding->isChecked())
        out.slidingWindow = SlidingWindowSpec {m_slidingLayers->value(), m_window->value(), toStd(m_slidingTask->currentData().toString())};
    out.training.steps = m_steps->value();
    out.training.batchSize = m_batch->value();
    out.training.sequenceLength = m_length->value();
    out.training.learningRate = m_rate->text().toDouble();
    out.training.minLearningRate = std::min(out.training.minLearningRate, out.training.learningRate);
    out.training.warmupSteps = m_warmup->value();
    out.training.fullProbability = m_fullProbability->value();
    out.training.packing = m_packing->isChecked();
    out.seed = m_seed->text().toULongLong();
    out.device = static_cast<DeviceChoice>(m_device->currentData().toInt());
    out.dtype = static_cast<DtypeChoice>(m_dtype->currentData().toInt());
    out.threads = m_threads->value();
    // Objectives of tasks that were removed would be refused.
    std::erase_if(out.objectives, [&](const auto& entry) { return m_placementTask->findData(toQString(entry.first)) < 0; });
    return out;
}

Json PlacementForm::checkedSpec() const
{
    const Json json = toJson(JobSpec {"placement", spec()});
    return toJson(parseJobSpec(json, "spec", std::filesystem::current_path()));
}

void PlacementForm::chooseModel()
{
    const QString folder = QFileDialog::getExistingDirectory(this, tr("Teacher"), m_modelPath->text());
    if (!folder.isEmpty())
        m_modelPath->setText(folder);
}

void PlacementForm::readModel()
{
    if (m_filling)
        return;
    m_model.reset();
    m_modelProblem = {};
    try {
        // The config alone is quick enough for every key press; the weights are checked by the worker.
        if (!m_modelPath->text().trimmed().isEmpty())
            m_model = readModelConfig(toPath(m_modelPath->text().trimmed()));
    } catch (...) {
        m_modelProblem = Problem::current();
    }
    check();
}

void PlacementForm::refreshTasks()
{
    m_taskNames.clear();
    m_taskProblem = {};
    for (const QString& path : m_tasks->paths()) {
        try {
            m_taskNames.append(toQString(loadTask(toPath(path)).name));
        } catch (...) {
            if (m_taskProblem.isEmpty())
                m_taskProblem = Problem::current();
        }
    }
    for (QComboBox* box : {m_placementTask, m_slidingTask}) {
        const QVariant present = box->currentData();
        const QSignalBlocker quiet(box);
        box->clear();
        if (box == m_placementTask)
            box->addItem(tr("the mean of all tasks"), QStringLiteral("mean"));
        for (const QString& name : m_taskNames)
            box->addItem(displayText(name, 80), name);
        box->setCurrentIndex(std::max(0, box->findData(present)));
    }
}

Problem PlacementForm::findProblem() const
{
    const auto say = [](const QString& message, const QString& hint = {}) { return Problem {QStringLiteral("usage"), message, hint}; };
    if (m_modelPath->text().trimmed().isEmpty())
        return say(tr("Choose the teacher: a checkpoint folder."));
    if (!m_modelProblem.isEmpty())
        return m_modelProblem;
    if (m_data->paths().isEmpty())
        return say(tr("Add training data."));
    if (m_tasks->paths().isEmpty())
        return say(tr("Add at least one task file."));
    for (const QString& path : m_data->paths() + m_tasks->paths())
        if (!QFileInfo::exists(path))
            return say(tr("%1 does not exist.").arg(path));
    if (!m_taskProblem.isEmpty())
        return m_taskProblem;
    bool ok = false;
    if (m_rate->text().toDouble(&ok); !ok)
        return say(tr("The learning rate must be a number such as 0.001."));
    if (m_seed->text().toULongLong(&ok); !ok)
        return say(tr("The seed must be a whole number from 0."));
    const int layers = m_model->layerCount();
    const int sliding = m_sliding->isChecked() ? m_slidingLayers->value() : 0;
    if (m_fullLayers->value() > layers)
        return say(tr("The teacher has %1 layers; K cannot be larger.").arg(layers));
    if (m_fullLayers->value() + sliding > layers)
        return say(tr("Full-attention and sliding-window layers together are more than the teacher's %1 layers.").arg(layers));
    try {
        Architecture hybrid = *m_model;
        LayerSpec linear = blockNamed(toStd(m_block->currentData().toString())).defaultLayer(hybrid);
        const PlacementSpec edited = spec();
        for (const auto& [name, value] : edited.linearParameters.items())
            linear.parameters[name] = value;
        hybrid.layers.assign(hybrid.layers.size(), linear);
        validate(hybrid, "linear_parameters");
        checkedSpec();
    } catch (...) {
        return Problem::current();
    }
    return {};
}

void PlacementForm::check()
{
    if (m_filling)
        return;
    m_problem = findProblem();
    const ThemeColours colours = ThemeColours::of(palette());
    QPalette textColours = palette();
    textColours.setColor(QPalette::WindowText, isValid() ? colours.success : colours.danger);
    m_message->setPalette(textColours);
    m_message->setText(isValid() ? tr("Ready: %1 layers, %2 of them with full attention.").arg(m_model->layerCount()).arg(m_fullLayers->value())
                                 : displayText(m_problem.text()));
    Q_EMIT validated(isValid());
}

} // namespace postnas
