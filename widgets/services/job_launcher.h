// Starts, watches, stops and resumes the worker process of one run. The process outlives the window.
#pragma once

#include <optional>

#include <QElapsedTimer>
#include <QObject>
#include <QString>
#include <QStringList>
#include <QTimer>

#include "core/jobs/run_folder.h"
#include "widgets/services/run_status.h"

namespace postnas {

/// One launcher per run folder. It starts `postnas run STAGE --spec FILE --run-dir DIR` in a session of its own, with its log in
/// stderr.log and no pipe to the window, so that closing the window leaves it running; a new launcher on the same folder
/// finds it again through the run's lock.
class JobLauncher : public QObject {
    Q_OBJECT
public:
    static constexpr int kPatienceMs = 10000; ///< after which a stop that has no effect is reported

    explicit JobLauncher(RunFolder run, QObject* parent = nullptr);
    ~JobLauncher() override;

    /// Program and leading arguments instead of the found `postnas` and {"run"} (tests).
    void setProgram(const QString& program, const QStringList& arguments = {QStringLiteral("run")});

    const RunFolder& run() const { return m_run; }
    const RunStatus& status() const { return m_status; }
    RunState state() const { return m_status.state; }
    /// Of the child, or of the worker found again; 0 when none runs.
    qint64 processId() const;

    /// Starts the run, or continues it (`--resume`) when it has begun. Does nothing while it is active. Problems come as
    /// `ended`.
    void start();
    /// SIGTERM: the worker saves a checkpoint and ends. `stopTakesLong` is emitted when it still runs after kPatienceMs.
    void stop();
    /// SIGKILL: work since the last checkpoint is lost.
    void kill();
    /// Looks at the process and the folder now; done by a timer as well.
    void poll();
    void setPatience(int milliseconds) { m_patienceMs = milliseconds; } ///< for tests

Q_SIGNALS:
    void stateChanged(postnas::RunState state);
    void stopTakesLong();
    /// The worker is gone, or never came up; `status` says how it ended.
    void ended(const postnas::RunStatus& status);

private:
    void setStatus(const RunStatus& status);
    std::optional<ProcessEnd> reap();
    void finish(std::optional<ProcessEnd> end);
    bool signalWorker(int number);

    RunFolder m_run;
    QString m_program;
    QStringList m_arguments {QStringLiteral("run")};
    RunStatus m_status;
    qint64 m_child = 0; ///< our own child, until it was reaped
    QTimer m_timer;
    QElapsedTimer m_stopping;
    bool m_reportedLong = false;
    int m_patienceMs = kPatienceMs;
};

} // namespace postnas

Q_DECLARE_METATYPE(postnas::RunStatus)
