// Between the fields of the form and PlacementSpec, with live validation.
#include "widgets/jobs/placement_form.h"

#include <QCheckBox>
#include <QComboBox>
#include <QDoubleSpinBox>
#include <QFileDialog>
#include <QFileInfo>
#include <QGroupBox>
#include <QLabel>
#include <QLineEdit>
#include <QSpinBox>
#include <QTabWidget>
#include <QVBoxLayout>

#include "core/architecture/block_description.h"
#include "core/huggingface/model_config.h"
#include "core/tasks/task.h"
#include "widgets/jobs/path_list.h"
#include "widgets/services/convert.h"
#include "widgets/theme/labels.h"
#include "widgets/theme/theme.h"

namespace postnas {

PlacementForm::PlacementForm(QWidget* parent) : QWidget(parent), m_message(plainLabel(this))
{
    auto* tabs = new QTabWidget(this);
    tabs->addTab(makeInputs(), tr("&Model, data, tasks"));
    tabs->addTab(makeSearch(), tr("&Search"));
    tabs->addTab(makeTraining(), tr("&Training"));
    tabs->addTab(makeMachine(), tr("Mac&hine"));
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
    tintText(m_message, isValid() ? colours.success : colours.danger);
    m_message->setText(isValid() ? tr("Ready: %1 layers, %2 of them with full attention.").arg(m_model->layerCount()).arg(m_fullLayers->value())
                                 : displayText(m_problem.text()));
    Q_EMIT validated(isValid());
}

} // namespace postnas
