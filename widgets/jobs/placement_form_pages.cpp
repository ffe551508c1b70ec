// The pages of the placement form: its fields, their labels and what they mean.
#include <QCheckBox>
#include <QComboBox>
#include <QDoubleSpinBox>
#include <QFormLayout>
#include <QGroupBox>
#include <QHBoxLayout>
#include <QLabel>
#include <QLineEdit>
#include <QPushButton>
#include <QSpinBox>

#include "core/architecture/block_description.h"
#include "widgets/architecture_editor/placement_board.h"
#include "widgets/jobs/path_list.h"
#include "widgets/jobs/placement_form.h"
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

} // namespace postnas
