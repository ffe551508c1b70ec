// Checkpoints in the main window: opening them, listing them, and putting their layers on the board.
#include <algorithm>

#include <QFileInfo>
#include <QTreeView>

#include "app/workbench/main_window.h"
#include "widgets/architecture_editor/placement_editor.h"
#include "widgets/chat/chat_view.h"
#include "widgets/checkpoint/checkpoint_page.h"
#include "widgets/models/project_model.h"
#include "widgets/services/convert.h"

namespace postnas {

QString MainWindow::teacherPath() const
{
    return m_session ? toQString(m_session->project().teacher()) : m_checkpointPath;
}

void MainWindow::openCheckpoint(const QString& path)
{
    const QString real = canonicalPath(path);
    m_checkpointPath = real;
    m_checkpointPage->showLoading(displayText(real));
    if (!m_restoring)
        showPage(Page::Checkpoint);
    ++m_pendingReads;
    readCheckpointAsync(
        real, this,
        [this](const CheckpointSummary& summary) {
            m_pendingReads = std::max(0, m_pendingReads - 1);
            checkpointArrived(summary);
        },
        [this, real](const Problem& problem) {
            m_pendingReads = std::max(0, m_pendingReads - 1);
            if (real != m_checkpointPath)
                return; // another one was opened meanwhile
            m_checkpointPage->showProblem(real, problem);
            logMessage(problem.text());
        });
}

void MainWindow::checkpointArrived(const CheckpointSummary& summary)
{
    if (summary.path != m_checkpointPath)
        return;
    m_checkpointPage->showCheckpoint(summary);
    if (m_session) {
        try {
            if (m_session->project().info().teacher.empty() && summary.hasWeights)
                m_session->setTeacher(summary.path);
        } catch (...) {
            report(tr("Project"), Problem::current());
        }
        const bool known = summary.path == canonicalPath(teacherPath()) || m_checkpoints.contains(summary.path) ||
                           summary.path.startsWith(canonicalPath(toQString(m_session->project().runsFolder())) + QLatin1Char('/'));
        if (!known)
            m_checkpoints.append(summary.path);
        refreshCheckpoints();
        m_saveTimer.start();
    } else {
        m_treeModel->setCheckpoints({{summary.name, summary.path}});
        m_tree->expandAll();
        m_chat->setModels({{displayText(summary.name, 200), summary.path}});
    }
    // The board follows until it has something of its own.
    if (m_boardPath.isEmpty() || (!m_session && mayReplacePlacement())) {
        m_boardPath = summary.path;
        m_document.setTeacher(summary.architecture, summary.name);
        if (m_pendingBoard.is_object())
            m_document.restore(m_pendingBoard);
        m_pendingBoard = nullptr;
    }
    markInTree();
    refreshActions();
}

void MainWindow::editCheckpoint()
{
    const auto& summary = m_checkpointPage->summary();
    if (!summary)
        return;
    if (m_boardPath != summary->path) {
        const Architecture& theirs = summary->architecture;
        const Architecture& ours = m_document.teacher();
        const bool related = !m_document.isEmpty() && theirs.layerCount() == ours.layerCount() && theirs.hiddenSize == ours.hiddenSize;
        try {
            if (related) {
                // A hybrid of the board's teacher: its layers, as one step that can be undone, beside the teacher's numbers.
                m_document.load(toPath(summary->path));
            } else if (mayReplacePlacement(false)) {
                m_boardPath = summary->path;
                m_document.setTeacher(theirs, summary->name);
            }
        } catch (...) {
            report(tr("Placement"), Problem::current());
        }
    }
    showPage(Page::Placement);
    m_editor->setFocus();
}

void MainWindow::refreshCheckpoints()
{
    if (!m_session)
        return;
    std::vector<ProjectModel::CheckpointEntry> entries;
    QVector<ChatModelChoice> choices;
    const auto add = [&](const QString& label, const QString& path) {
        if (path.isEmpty() || std::any_of(entries.begin(), entries.end(), [&](const auto& entry) { return entry.path == path; }))
            return;
        entries.push_back({label, path});
        choices.append({displayText(label, 200), path});
    };
    if (const QString teacher = teacherPath(); !teacher.isEmpty())
        add(tr("Teacher: %1").arg(QFileInfo(canonicalPath(teacher)).fileName()), canonicalPath(teacher));
    for (const RunEntry& run : m_session->runs())
        if (const QString hybrid = hybridOf(run.id); !hybrid.isEmpty()) {
            // A run that a person named carries no time: its folder's name tells it apart.
            const QString when = runLabel(run).section(QStringLiteral(", "), 1);
            add(tr("Hybrid, %1").arg(when.isEmpty() ? run.id : when), canonicalPath(hybrid));
        }
    for (const QString& path : m_checkpoints)
        add(QFileInfo(path).fileName(), path);
    m_treeModel->setCheckpoints(entries);
    m_tree->expand(m_treeModel->checkpointGroup()->index());
    markInTree();
    m_chat->setModels(choices);
}

QString MainWindow::hybridOf(const QString& runId) const
{
    if (!m_session || runId.isEmpty())
        return {};
    const QString folder = toQString(m_session->project().runsFolder() / toPath(runId) / "artifacts" / "hybrid");
    return looksLikeCheckpoint(folder) ? folder : QString();
}

} // namespace postnas
