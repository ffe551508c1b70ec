// Keeps the list of runs in step with the runs folder and the database.
#include "widgets/services/project_session.h"

#include <algorithm>

#include "widgets/services/convert.h"

namespace postnas {
namespace {
constexpr int kRefreshMs = 2000;
}

ProjectSession::ProjectSession(Project project, QObject* parent)
    : QObject(parent), m_project(std::move(project)), m_database(std::make_unique<DatabaseThread>())
{
    connect(m_database.get(), &DatabaseThread::failed, this, &ProjectSession::failed);
    connect(m_database.get(), &DatabaseThread::opened, this, [this](const QString& text) {
        if (!text.isEmpty())
            Q_EMIT notice(text);
    });
    connect(m_database.get(), &DatabaseThread::imported, this, [this](const QString& id, qint64 count) {
        if (count > 0)
            Q_EMIT runImported(id);
    });
    m_database->open(m_project);
    m_timer.setInterval(kRefreshMs);
    connect(&m_timer, &QTimer::timeout, this, &ProjectSession::refresh);
    m_timer.start();
    refresh();
}

ProjectSession::~ProjectSession() = default;

void ProjectSession::setTeacher(const QString& folder)
{
    ProjectInfo info = m_project.info();
    info.teacher = toPath(folder);
    m_project.setInfo(std::move(info));
}

const RunEntry* ProjectSession::findRun(const QString& id) const
{
    const auto it = std::find_if(m_runs.begin(), m_runs.end(), [&](const RunEntry& run) { return run.id == id; });
    return it == m_runs.end() ? nullptr : &*it;
}

JobLauncher* ProjectSession::launcher(const QString& runId)
{
    if (const auto it = m_launchers.find(runId); it != m_launchers.end())
        return it->second;
    try {
        auto* launcher = new JobLauncher(m_project.run(toStd(runId)), this);
        m_launchers.emplace(runId, launcher);
        connect(launcher, &JobLauncher::stateChanged, this, &ProjectSession::refresh);
        connect(launcher, &JobLauncher::ended, this, [this, runId, launcher](const RunStatus& status) {
            m_database->importRun(launcher->run());
            refresh();
            Q_EMIT runEnded(runId, status);
        });
        return launcher;
    } catch (...) {
        return nullptr;
    }
}

QString ProjectSession::startRun(const std::string& stage, const Json& spec)
{
    const RunFolder run = m_project.newRun(stage, spec);
    const QString id = toQString(run.id());
    refresh();
    if (JobLauncher* job = launcher(id))
        job->start();
    return id;
}

bool ProjectSession::hasActiveRuns() const
{
    return std::any_of(m_runs.begin(), m_runs.end(), [](const RunEntry& run) { return run.status.isActive(); });
}

void ProjectSession::refresh()
{
    std::vector<RunEntry> runs;
    std::vector<RunListing> listings;
    try {
        listings = m_project.runs();
    } catch (...) {
        m_timer.stop(); // said once, not every two seconds
        Q_EMIT failed(Problem::current());
        return;
    }
    for (const RunListing& listing : listings) {
        RunEntry entry;
        entry.id = toQString(listing.id);
        entry.stage = toQString(listing.stage);
        entry.problem = toQString(listing.problem);
        const RunEntry* old = findRun(entry.id);
        if (old != nullptr) {
            entry.created = old->created;
            entry.currentStage = old->currentStage;
            entry.done = old->done;
            entry.total = old->total;
            entry.note = old->note;
        }
        if (!entry.problem.isEmpty()) {
            entry.status.state = RunState::Broken;
            entry.status.problem.message = entry.problem;
        } else if (const auto it = m_launchers.find(entry.id); it != m_launchers.end()) {
            entry.status = it->second->status();
        } else if (old != nullptr && !old->status.isActive() && old->status.state != RunState::Prepared) {
            // Only a worker that somebody starts elsewhere changes it, and that one takes the lock.
            entry.status = old->status;
            try {
                if (m_project.run(listing.id).isRunning())
                    entry.status = {RunState::Running, false, {}};
            } catch (...) {
            }
        } else {
            try {
                entry.status = inspectRun(m_project.run(listing.id));
            } catch (...) {
                entry.status.state = RunState::Broken;
                entry.status.problem = Problem::current();
            }
        }
        // A worker that runs already is watched by a launcher from now on.
        if (entry.status.state == RunState::Running)
            launcher(entry.id);
        const bool wasActive = old != nullptr && old->status.isActive();
        if (entry.status.isActive() || wasActive || old == nullptr) {
            try {
                if (entry.problem.isEmpty())
                    m_database->importRun(m_project.run(listing.id));
            } catch (...) {
            }
        }
        runs.push_back(std::move(entry));
    }
    const auto signature = [](const std::vector<RunEntry>& list) {
        QString text;
        for (const RunEntry& run : list)
            text += run.id + QLatin1Char('|') + QString::number(static_cast<int>(run.status.state)) + QLatin1Char(';');
        return text;
    };
    const bool changed = signature(runs) != signature(m_runs);
    const bool active = std::any_of(runs.begin(), runs.end(), [](const RunEntry& run) { return run.status.isActive(); });
    m_runs = std::move(runs);
    if (changed)
        Q_EMIT runsChanged();
    if (changed || active)
        m_database->ask(
            this, [](ProjectDatabase& database) { return database.runs(); },
            [this](const std::vector<RunRow>& rows) { rowsArrived(rows); });
}

void ProjectSession::rowsArrived(const std::vector<RunRow>& rows)
{
    for (const RunRow& row : rows) {
        const auto it = std::find_if(m_runs.begin(), m_runs.end(), [&](const RunEntry& run) { return run.id == toQString(row.id); });
        if (it == m_runs.end())
            continue;
        it->created = toQString(row.created);
        it->currentStage = toQString(row.currentStage);
        it->done = row.done;
        it->total = row.total;
        it->note = toQString(row.note);
    }
    Q_EMIT runsChanged();
}

} // namespace postnas
