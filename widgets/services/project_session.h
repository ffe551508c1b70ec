// An open project: its folder, its database thread, its runs and their launchers.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include <QObject>
#include <QString>
#include <QTimer>

#include "core/project/project.h"
#include "widgets/services/database_thread.h"
#include "widgets/services/job_launcher.h"

namespace postnas {

/// A run as lists show it.
struct RunEntry {
    QString id;
    QString stage;
    QString problem; ///< of a broken folder
    RunStatus status;
    QString created;      ///< UTC; empty before the first event
    QString currentStage; ///< what it does, or did last
    qint64 done = 0;      ///< of `total` in the current stage
    qint64 total = 0;
    QString note;
};

/// Use from the window's thread. Watches the runs folder, imports running runs every few seconds.
class ProjectSession : public QObject {
    Q_OBJECT
public:
    explicit ProjectSession(Project project, QObject* parent = nullptr);
    ~ProjectSession() override;

    const Project& project() const { return m_project; }
    void setTeacher(const QString& folder); ///< throws Error
    DatabaseThread& database() { return *m_database; }
    const std::vector<RunEntry>& runs() const { return m_runs; }
    const RunEntry* findRun(const QString& id) const;

    /// The launcher of a run, made at the first call; null when the folder is broken or gone.
    JobLauncher* launcher(const QString& runId);
    /// Makes a run folder from a checked spec and starts it; returns its id. Throws Error.
    QString startRun(const std::string& stage, const Json& spec);
    /// Whether a worker of this project is at work.
    bool hasActiveRuns() const;

    /// Reads the runs folder again now; `runsChanged` follows when something changed and after the database's answer.
    void refresh();

Q_SIGNALS:
    void runsChanged();
    /// New events of a run are in the database.
    void runImported(const QString& runId);
    void runEnded(const QString& runId, const postnas::RunStatus& status);
    void notice(const QString& sentence);
    void failed(const postnas::Problem& problem);

private:
    void rowsArrived(const std::vector<RunRow>& rows);

    Project m_project;
    std::unique_ptr<DatabaseThread> m_database;
    std::vector<RunEntry> m_runs;
    std::map<QString, JobLauncher*> m_launchers;
    QTimer m_timer;
};

} // namespace postnas
