// What state a run is in, told from its folder alone: for lists, messages and the buttons that make sense.
#pragma once

#include <QString>

#include "core/jobs/run_folder.h"
#include "widgets/services/problem.h"

namespace postnas {

enum class RunState {
    Prepared,    ///< has a spec, never started
    Starting,    ///< a process was started and does not hold the lock yet
    Running,     ///< a worker holds the lock
    Stopping,    ///< asked to end
    Finished,    ///< exit code 0
    Interrupted, ///< stopped or killed; can be resumed
    Failed,      ///< ended with an error
    Broken       ///< the folder cannot be read
};

QString runStateName(RunState state); ///< for people

struct RunStatus {
    RunState state = RunState::Prepared;
    bool resumable = false;
    Problem problem; ///< for Interrupted, Failed and Broken: what happened

    bool isActive() const { return state == RunState::Starting || state == RunState::Running || state == RunState::Stopping; }
    /// One sentence: "Interrupted: the worker was stopped. It can be resumed."
    QString sentence() const;
};

/// Looks at lock, exit.json, events.jsonl and, for the reason of a failure, at the end of the log. Never throws.
RunStatus inspectRun(const RunFolder& run);

/// The last `bytes` of the log as lines, safe to show; the first, cut line is left out.
QStringList lastLogLines(const RunFolder& run, qint64 bytes = 16384);

/// The process id in the newest `hello` event; 0 when there is none. Looks at the last `bytes` of the events only and then
/// at the first ones.
qint64 workerPid(const RunFolder& run);

} // namespace postnas
