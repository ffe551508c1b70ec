// Searches and runs in the main window: starting, showing, and handing their results to the views.
#include <algorithm>

#include <QDir>
#include <QFileInfo>
#include <QMessageBox>
#include <QTreeView>

#include "app/workbench/main_window.h"
#include "widgets/architecture_editor/placement_editor.h"
#include "widgets/chat/chat_view.h"
#include "widgets/heatmap/heatmap_view.h"
#include "widgets/jobs/placement_dialog.h"
#include "widgets/jobs/run_page.h"
#include "widgets/models/project_model.h"
#include "widgets/plots/search_plot_view.h"
#include "widgets/services/convert.h"
#include "widgets/services/sample_projects.h"
#include "widgets/services/task_examples.h"

namespace postnas {

void MainWindow::newSearch()
{
    if (!m_session) {
        QMessageBox box(QMessageBox::Question, tr("New placement search"),
                        tr("A search keeps its results in a project. Make a project for this checkpoint now?"),
                        QMessageBox::Yes | QMessageBox::Cancel, this);
        if (box.exec() == QMessageBox::Yes)
            askNewProject();
        if (!m_session)
            return;
    }
    std::filesystem::path newest;
    for (const RunEntry& run : m_session->runs())
        if (run.stage == QLatin1String("placement"))
            newest = m_session->project().runsFolder() / toPath(run.id) / "spec.json";
    auto* dialog = new PlacementDialog(defaultPlacementSpec(newest, m_session->project().teacher()), this);
    dialog->setAttribute(Qt::WA_DeleteOnClose);
    connect(dialog, &QDialog::accepted, this, [this, dialog] { startSearch(dialog->spec()); });
    dialog->open();
}

void MainWindow::startSearch(const Json& spec)
{
    if (!m_session)
        return;
    try {
        const QString id = m_session->startRun("placement", spec);
        showRun(id);
        showPage(Page::Run);
        m_saveTimer.start();
    } catch (...) {
        report(tr("New placement search"), Problem::current());
    }
}

void MainWindow::showRun(const QString& runId)
{
    if (!m_session)
        return;
    const RunEntry* run = m_session->findRun(runId);
    if (run == nullptr)
        return;
    if (run->status.state == RunState::Broken) {
        report(tr("Run"), run->status.problem);
        return;
    }
    JobLauncher* launcher = m_session->launcher(runId);
    if (launcher == nullptr)
        return;
    const bool same = runId == m_runId;
    m_runPage->showRun(launcher, runLabel(*run));
    if (same)
        return;
    m_runId = runId;
    markInTree();
    m_runSpec = launcher->run().spec();
    m_lastCandidate = 0;
    HeatmapData heatmap;
    qint64 context = 0;
    if (m_runSpec.is_object()) {
        try {
            const JsonReader spec(m_runSpec, "spec.json");
            heatmap.model = displayText(toQString(spec.string("model", "")));
            heatmap.block = displayText(toQString(spec.string("linear_block", "")), 60);
            context = spec.integer("context", 0, INT64_MAX, 0);
        } catch (const std::exception&) {
            // Labels only; the worker reports what is wrong with a spec.
        }
    }
    m_heatmap->setData(heatmap);
    m_search->clear();
    m_search->setContext(context);
    loadCandidates();
    loadExamples();
    refreshActions();
    m_saveTimer.start();
}

void MainWindow::loadExamples()
{
    QStringList folders;
    if (m_runSpec.is_object() && m_runSpec.contains("tasks") && m_runSpec["tasks"].is_array())
        for (const Json& task : m_runSpec["tasks"])
            if (task.is_string())
                if (const QString folder = QFileInfo(toQString(task.get<std::string>())).path(); !folders.contains(folder))
                    folders.append(folder);
    if (folders.isEmpty() && canonicalPath(teacherPath()) == canonicalPath(quickStartModel()))
        folders.append(QDir(quickStartFolder()).filePath(QStringLiteral("tasks")));
    readTaskExamples(folders, this, [this](const QVector<TaskExample>& examples) {
        QVector<ChatExample> choices;
        for (const TaskExample& example : examples)
            choices.append({example.task, example.prompt, example.expected});
        m_chat->setExamples(choices);
    });
}

void MainWindow::loadCandidates()
{
    if (!m_session || m_runId.isEmpty())
        return;
    ++m_pendingReads;
    m_session->database().ask(
        this,
        [run = toStd(m_runId), after = m_lastCandidate](ProjectDatabase& database) {
            return std::pair(run, database.candidates(run, {}, after));
        },
        [this](const std::pair<std::string, std::vector<CandidateRow>>& answer) {
            m_pendingReads = std::max(0, m_pendingReads - 1);
            if (toQString(answer.first) == m_runId)
                takeCandidates(answer.second);
        });
}

void MainWindow::takeCandidates(const std::vector<CandidateRow>& rows)
{
    std::vector<event::Candidate> candidates;
    for (const CandidateRow& row : rows) {
        m_lastCandidate = std::max<qint64>(m_lastCandidate, row.seq);
        candidates.push_back(row.candidate);
    }
    if (candidates.empty())
        return;
    HeatmapData heatmap = m_heatmap->data();
    bool changed = false;
    for (const event::Candidate& candidate : candidates)
        changed = applyCandidate(heatmap, candidate) || changed;
    if (changed)
        m_heatmap->setData(heatmap);
    m_search->addCandidates(candidates);
}

void MainWindow::applyPlacement(const QStringList& blocks)
{
    std::map<QString, Json> parameters;
    if (m_runSpec.is_object()) {
        if (m_runSpec.contains("linear_block") && m_runSpec["linear_block"].is_string() && m_runSpec.contains("linear_parameters"))
            parameters[toQString(m_runSpec["linear_block"].get<std::string>())] = m_runSpec["linear_parameters"];
        if (m_runSpec.contains("sliding_window") && m_runSpec["sliding_window"].is_object() && m_runSpec["sliding_window"].contains("window"))
            parameters[QStringLiteral("sliding_window")] = Json {{"window_size", m_runSpec["sliding_window"]["window"]}};
    }
    try {
        m_document.setPlacement(blocks, parameters, tr("Placement of the search"));
        showPage(Page::Placement);
        m_editor->setFocus();
    } catch (...) {
        report(tr("Placement"), Problem::current());
    }
}

void MainWindow::chatTeacherAndHybrid()
{
    const QString hybrid = hybridOf(m_runId);
    if (hybrid.isEmpty())
        return;
    QString teacher = teacherPath();
    if (m_runSpec.is_object() && m_runSpec.contains("model") && m_runSpec["model"].is_string())
        teacher = toQString(m_runSpec["model"].get<std::string>());
    showPage(Page::Chat);
    if (m_chat->model(0) != canonicalPath(teacher))
        m_chat->setModel(0, canonicalPath(teacher));
    if (m_chat->model(1) != canonicalPath(hybrid))
        m_chat->setModel(1, canonicalPath(hybrid));
}

} // namespace postnas
