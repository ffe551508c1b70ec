// Opening, restoring and saving projects.
#include <algorithm>

#include <QDir>
#include <QFileInfo>
#include <QLabel>
#include <QMessageBox>
#include <QStackedWidget>
#include <QStatusBar>
#include <QTabWidget>
#include <QTreeView>

#include "app/workbench/main_window.h"
#include "app/workbench/welcome_page.h"
#include "widgets/architecture_editor/placement_editor.h"
#include "widgets/chat/chat_view.h"
#include "widgets/checkpoint/checkpoint_page.h"
#include "widgets/heatmap/heatmap_view.h"
#include "widgets/jobs/log_view.h"
#include "widgets/jobs/run_page.h"
#include "widgets/models/project_model.h"
#include "widgets/plots/search_plot_view.h"
#include "widgets/services/convert.h"
#include "widgets/services/sample_projects.h"
#include "widgets/theme/labels.h"

namespace postnas {
namespace {

const char* const kSessionKey = "workbench/session";
const char* const kChatKey = "workbench/chat";

} // namespace

void MainWindow::openPath(const QString& path)
{
    if (Project::isProject(toPath(path)))
        openProject(path);
    else if (looksLikeCheckpoint(path))
        openCheckpoint(path);
    else
        report(tr("Open"), {QStringLiteral("input"), tr("%1 is neither a project nor a checkpoint.").arg(path),
                            tr("A project folder holds project.json, a checkpoint folder holds config.json.")});
}

void MainWindow::openProject(const QString& path)
{
    try {
        if (!mayReplacePlacement())
            return;
        const QString folder = canonicalPath(path);
        Project project = Project::open(toPath(folder));
        saveSession();
        forgetProject();
        m_session = std::make_unique<ProjectSession>(std::move(project));
        m_settings.addRecentProject(folder);
        m_settings.setLastProject(folder);
    } catch (...) {
        m_settings.removeRecentProject(path);
        refreshRecent();
        report(tr("Open project"), Problem::current());
        return;
    }
    ProjectSession* session = m_session.get();
    connect(session, &ProjectSession::runsChanged, this, &MainWindow::refreshRuns);
    connect(session, &ProjectSession::notice, this, &MainWindow::logMessage);
    connect(session, &ProjectSession::failed, this, [this](const Problem& problem) {
        m_pendingReads = 0; // answers that were waited for will not come
        m_restoring = false;
        report(tr("Project"), problem);
    });
    connect(session, &ProjectSession::runImported, this, [this](const QString& id) {
        if (id == m_runId)
            loadCandidates();
    });
    connect(session, &ProjectSession::runEnded, this, [this](const QString& id, const RunStatus& status) {
        const RunEntry* run = m_session->findRun(id);
        const QString name = run != nullptr ? runLabel(*run) : id;
        statusBar()->showMessage(displayText(tr("%1 — %2").arg(name, status.sentence())), 15000);
        logMessage(tr("%1 — %2").arg(name, status.sentence()));
        refreshCheckpoints();
        loadCandidates();
    });
    m_restoring = true;
    ++m_pendingReads;
    session->database().ask(
        this, [](ProjectDatabase& database) { return std::pair(database.setting(kSessionKey), database.setting(kChatKey)); },
        [this](const std::pair<Json, Json>& states) {
            --m_pendingReads;
            if (states.second.is_object()) {
                try {
                    m_chat->fromJson(states.second);
                } catch (...) {
                    logMessage(Problem::current().message);
                }
            }
            restoreSession(states.first);
            m_restoring = false;
            // What was filled in while restoring is no change.
            m_saveTimer.stop();
        });
    showPage(Page::Checkpoint);
    refreshRecent();
    refreshRuns();
    refreshTitle();
}

void MainWindow::createProject(const QString& folder, const QString& teacher)
{
    try {
        Project::create(toPath(folder), toStd(QDir(folder).dirName()), toPath(teacher));
    } catch (...) {
        report(tr("New project"), Problem::current());
        return;
    }
    // A checkpoint that was only looked at moves into the new project; its edits go with it.
    openProject(folder);
}

void MainWindow::openQuickStart()
{
    const QString folder = quickStartProjectFolder();
    if (Project::isProject(toPath(folder)))
        openProject(folder);
    else
        createProject(folder, quickStartModel());
}

void MainWindow::closeProject()
{
    if (!mayReplacePlacement())
        return;
    saveSession();
    forgetProject();
    m_settings.setLastProject({});
    m_central->setCurrentWidget(m_welcome);
    refreshTitle();
    refreshActions();
}

void MainWindow::forgetProject()
{
    m_saveTimer.stop();
    m_runPage->showNothing();
    m_heatmap->clear();
    m_search->clear();
    m_log->clear();
    m_chat->newConversation();
    m_checkpointPage->showNothing();
    m_document.clear();
    m_session.reset(); // waits until the database has done what was queued
    m_pendingReads = 0;
    m_restoring = false;
    m_checkpoints.clear();
    m_checkpointPath.clear();
    m_boardPath.clear();
    m_pendingBoard = nullptr;
    m_runId.clear();
    m_runSpec = nullptr;
    m_lastCandidate = 0;
    m_treeModel->setRuns({});
    m_treeModel->setCheckpoints({});
}

bool MainWindow::mayReplacePlacement(bool keptByProject)
{
    if ((m_session && keptByProject) || m_document.isEmpty() || m_document.undoStack()->isClean())
        return true;
    QMessageBox box(QMessageBox::Question, tr("Placement"), tr("The placement has changes that were not saved."),
                    QMessageBox::Save | QMessageBox::Discard | QMessageBox::Cancel, this);
    const int answer = box.exec();
    if (answer == QMessageBox::Save)
        askSavePlacement();
    return answer == QMessageBox::Discard || (answer == QMessageBox::Save && m_document.undoStack()->isClean());
}

Json MainWindow::sessionState() const
{
    Json checkpoints = Json::array();
    for (const QString& path : m_checkpoints)
        checkpoints.push_back(toStd(path));
    Json state {{"page", m_pages->currentIndex()},
                {"run", toStd(m_runId)},
                {"checkpoint", toStd(m_checkpointPath)},
                {"checkpoints", std::move(checkpoints)},
                {"board_of", toStd(m_boardPath)}};
    state["board"] = m_document.isEmpty() ? m_pendingBoard : m_document.toJson();
    return state;
}

void MainWindow::saveSession()
{
    m_saveTimer.stop();
    if (!m_session || m_restoring)
        return;
    Json chat;
    chat = m_chat->toJson();
    m_session->database().post([state = sessionState(), chat = std::move(chat)](ProjectDatabase& database) {
        database.setSetting(kSessionKey, state);
        database.setSetting(kChatKey, chat);
    });
}

void MainWindow::restoreSession(const Json& state)
{
    QString checkpoint = teacherPath();
    int page = 0;
    QString run;
    try {
        if (state.is_object()) {
            const JsonReader in(state, "workbench.db");
            page = static_cast<int>(in.integer("page", 0, m_pages->count() - 1, 0));
            run = toQString(in.string("run", ""));
            m_boardPath = toQString(in.string("board_of", ""));
            m_pendingBoard = in.has("board") ? in.value("board") : Json(nullptr);
            if (in.has("checkpoints"))
                for (const std::string& path : in.strings("checkpoints"))
                    m_checkpoints.append(toQString(path));
            if (const QString shown = toQString(in.string("checkpoint", "")); !shown.isEmpty() && QFileInfo::exists(shown))
                checkpoint = shown;
        }
    } catch (...) {
        logMessage(Problem::current().message); // the rest of the project is as good without it
    }
    refreshCheckpoints();
    // The board's model first: it may be another than the one that is looked at.
    const QString board = m_boardPath.isEmpty() ? checkpoint : m_boardPath;
    m_boardPath.clear();
    if (!board.isEmpty() && board != checkpoint && QFileInfo::exists(board)) {
        ++m_pendingReads;
        readCheckpointAsync(
            board, this,
            [this, board](const CheckpointSummary& summary) {
                --m_pendingReads;
                m_boardPath = board;
                m_document.setTeacher(summary.architecture, summary.name);
                m_document.restore(m_pendingBoard);
                m_pendingBoard = nullptr;
            },
            [this](const Problem& problem) {
                --m_pendingReads;
                logMessage(problem.text());
            });
        m_boardPath = board;
    }
    if (!checkpoint.isEmpty())
        openCheckpoint(checkpoint);
    if (run.isEmpty() && m_session && !m_session->runs().empty())
        run = m_session->runs().back().id;
    if (!run.isEmpty())
        showRun(run);
    else
        loadExamples();
    showPage(static_cast<Page>(page));
    m_pages->currentWidget()->setFocus();
}

void MainWindow::refreshRuns()
{
    if (!m_session)
        return;
    m_treeModel->setRuns(m_session->runs());
    m_tree->expand(m_treeModel->runGroup()->index());
    if (!m_tree->hasFocus()) // who walks through the tree is not called back
        markInTree();
    const auto active = std::count_if(m_session->runs().begin(), m_session->runs().end(), [](const RunEntry& run) { return run.status.isActive(); });
    m_statusRun->setText(active == 0 ? tr("No run is active") : active == 1 ? tr("1 run is active") : tr("%1 runs are active").arg(active));
    refreshActions();
}

void MainWindow::refreshTitle()
{
    const QString name = m_session ? displayText(toQString(m_session->project().info().name), 100) : QString();
    setWindowTitle(name.isEmpty() ? tr("PostNAS Workbench") : tr("%1[*] — PostNAS Workbench").arg(name));
    setWindowModified(!m_session && !m_document.isEmpty() && !m_document.undoStack()->isClean());
    m_statusProject->setFullText(m_session ? displayText(toQString(m_session->project().path())) : tr("No project"));
}

void MainWindow::refreshActions()
{
    const JobLauncher* job = m_runPage->launcher();
    const RunState runState = job != nullptr ? job->state() : RunState::Finished;
    m_closeProject->setEnabled(m_session != nullptr || !isWelcome());
    m_savePlacement->setEnabled(!m_document.isEmpty());
    m_openPlacement->setEnabled(!m_document.isEmpty());
    m_stop->setEnabled(runState == RunState::Running || runState == RunState::Starting);
    m_resume->setEnabled(job != nullptr && !job->status().isActive() && runState != RunState::Finished && job->status().resumable);
    m_chatHybrid->setEnabled(!hybridOf(m_runId).isEmpty());
}

} // namespace postnas
