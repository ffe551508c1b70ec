// Start, load and save of placement specs.
#include "widgets/jobs/placement_dialog.h"

#include <QDialogButtonBox>
#include <QFileDialog>
#include <QPushButton>
#include <QVBoxLayout>

#include "core/base/files.h"
#include "core/huggingface/model_config.h"
#include "widgets/jobs/placement_form.h"
#include "widgets/services/convert.h"
#include "widgets/services/problem_box.h"
#include "widgets/services/sample_projects.h"

namespace postnas {
PlacementDialog::PlacementDialog(const PlacementSpec& defaults, QWidget* parent) : QDialog(parent), m_form(new PlacementForm(this))
{
    setWindowTitle(tr("New placement search"));
    auto* layout = new QVBoxLayout(this);
    layout->addWidget(m_form, 1);
    auto* buttons = new QDialogButtonBox(this);
    m_start = buttons->addButton(tr("&Start search"), QDialogButtonBox::AcceptRole);
    m_start->setDefault(true);
    m_start->setObjectName(QStringLiteral("startSearch"));
    buttons->addButton(QDialogButtonBox::Cancel);
    QPushButton* load = buttons->addButton(tr("&Load spec…"), QDialogButtonBox::ActionRole);
    QPushButton* save = buttons->addButton(tr("Sa&ve spec…"), QDialogButtonBox::ActionRole);
    connect(load, &QPushButton::clicked, this, &PlacementDialog::loadSpec);
    connect(save, &QPushButton::clicked, this, &PlacementDialog::saveSpec);
    connect(buttons, &QDialogButtonBox::accepted, this, &PlacementDialog::start);
    connect(buttons, &QDialogButtonBox::rejected, this, &QDialog::reject);
    layout->addWidget(buttons);
    connect(m_form, &PlacementForm::validated, m_start, &QPushButton::setEnabled);
    connect(m_form, &PlacementForm::validated, save, &QPushButton::setEnabled);
    m_form->setSpec(defaults);
    resize(640, 560);
}

void PlacementDialog::start()
{
    try {
        m_spec = m_form->checkedSpec();
        accept();
    } catch (...) {
        showProblem(this, tr("Placement search"), Problem::current());
    }
}

void PlacementDialog::loadSpec()
{
    const QString file = QFileDialog::getOpenFileName(this, tr("Load spec"), quickStartFolder(), tr("Specs (*.json);;All files (*)"));
    if (file.isEmpty())
        return;
    try {
        const JobSpec spec = readJobSpec(toPath(file));
        const auto* placement = std::get_if<PlacementSpec>(&spec.body);
        if (placement == nullptr)
            throw usageError(toStd(file) + ": " + toStd(tr("is the spec of another stage (%1).").arg(toQString(spec.stage))));
        m_form->setSpec(*placement);
    } catch (...) {
        showProblem(this, tr("Placement search"), Problem::current());
    }
}

void PlacementDialog::saveSpec()
{
    const QString file = QFileDialog::getSaveFileName(this, tr("Save spec"), QStringLiteral("placement.json"), tr("Specs (*.json)"));
    if (file.isEmpty())
        return;
    try {
        writeFileAtomically(toPath(file), dumpJson(m_form->checkedSpec(), 2) + "\n");
    } catch (...) {
        showProblem(this, tr("Placement search"), Problem::current());
    }
}

PlacementSpec defaultPlacementSpec(const std::filesystem::path& newestRunSpec, const std::filesystem::path& teacher)
{
    const auto read = [](const std::filesystem::path& file) -> std::optional<PlacementSpec> {
        try {
            const JobSpec spec = readJobSpec(file);
            if (const auto* placement = std::get_if<PlacementSpec>(&spec.body))
                return *placement;
        } catch (const std::exception&) {
            // Defaults are a convenience: a spec that cannot be read is no reason to bother anyone.
        }
        return std::nullopt;
    };
    if (!newestRunSpec.empty())
        if (auto spec = read(newestRunSpec); spec && (teacher.empty() || spec->model == teacher))
            return *spec;
    const QString model = quickStartModel();
    std::error_code code;
    if (!model.isEmpty() && !teacher.empty() && std::filesystem::equivalent(toPath(model), teacher, code))
        if (auto spec = read(toPath(quickStartSpec(QStringLiteral("placement")))))
            return *spec;
    PlacementSpec spec;
    spec.model = teacher;
    try {
        // The paper keeps 2 full-attention layers of 28.
        const int layers = readModelConfig(teacher).layerCount();
        spec.fullLayers = std::max(1, (layers + 7) / 14);
    } catch (const std::exception&) {
    }
    return spec;
}

} // namespace postnas
