// Process control for runs: posix_spawn into a new session, waitpid while we are the parent, the run's lock otherwise.
#include "widgets/services/job_launcher.h"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <string>
#include <vector>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <QFile>

#include "widgets/services/convert.h"
#include "widgets/services/program_finder.h"

namespace postnas {
namespace {

constexpr int kPollMs = 200;

/// Starts argv[0] in a session of its own: no terminal, no pipe to us, stdout to nowhere (events go to their file), stderr
/// appended to `log`. Returns the pid; throws Error(Resource).
pid_t spawnDetached(const std::vector<std::string>& arguments, const std::filesystem::path& log)
{
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 2, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    // The child starts with default signals whatever the window ignores or blocks.
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    std::vector<char*> argv;
    for (const std::string& argument : arguments)
        argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    pid_t pid = 0;
    const int code = ::posix_spawn(&pid, argv[0], &actions, &attributes, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (code != 0)
        throw resourceError(arguments[0] + ": cannot be started: " + std::strerror(code), toStd(missingProgramHint()));
    return pid;
}

/// Whether the command line of `pid` names the run folder: guards against a number that was given to another process.
bool isWorkerOf(qint64 pid, const RunFolder& run)
{
    QFile file(QStringLiteral("/proc/%1/cmdline").arg(pid));
    if (!file.open(QIODevice::ReadOnly))
        return false;
    const QByteArray name = QByteArray::fromStdString(run.path().filename().native());
    return file.readAll().contains(name);
}

} // namespace

JobLauncher::JobLauncher(RunFolder run, QObject* parent) : QObject(parent), m_run(std::move(run))
{
    qRegisterMetaType<postnas::RunStatus>();
    m_status = inspectRun(m_run);
    m_timer.setInterval(kPollMs);
    connect(&m_timer, &QTimer::timeout, this, &JobLauncher::poll);
    if (m_status.isActive())
        m_timer.start();
}

JobLauncher::~JobLauncher() = default; // the worker goes on

void JobLauncher::setProgram(const QString& program, const QStringList& arguments)
{
    m_program = program;
    m_arguments = arguments;
}

qint64 JobLauncher::processId() const
{
    if (m_child != 0)
        return m_child;
    return m_status.isActive() ? workerPid(m_run) : 0;
}

void JobLauncher::setStatus(const RunStatus& status)
{
    const bool changed = status.state != m_status.state;
    m_status = status;
    if (changed)
        Q_EMIT stateChanged(status.state);
}

void JobLauncher::start()
{
    poll();
    if (m_status.isActive())
        return;
    const bool resume = m_status.state != RunState::Prepared;
    try {
        const QString program = m_program.isEmpty() ? findPostnasProgram() : m_program;
        if (program.isEmpty())
            throw resourceError(toStd(tr("The program postnas was not found.")), toStd(missingProgramHint()));
        std::vector<std::string> arguments {QFile::encodeName(program).toStdString()};
        for (const QString& argument : m_arguments)
            arguments.push_back(toStd(argument));
        arguments.push_back(m_run.stage());
        arguments.insert(arguments.end(), {"--spec", m_run.specFile().native(), "--run-dir", m_run.path().native(), "--quiet"});
        if (resume)
            arguments.push_back("--resume");
        m_child = spawnDetached(arguments, m_run.logFile());
    } catch (...) {
        RunStatus status = m_status;
        status.state = RunState::Failed;
        status.problem = Problem::current();
        status.resumable = resume;
        setStatus(status);
        Q_EMIT ended(status);
        return;
    }
    m_reportedLong = false;
    m_stopping.invalidate();
    setStatus({RunState::Starting, false, {}});
    m_timer.start();
}

std::optional<ProcessEnd> JobLauncher::reap()
{
    if (m_child == 0)
        return std::nullopt;
    int status = 0;
    const pid_t got = ::waitpid(static_cast<pid_t>(m_child), &status, WNOHANG);
    if (got == 0)
        return std::nullopt;
    m_child = 0;
    if (got < 0)
        return ProcessEnd {0, 0, false};
    ProcessEnd end;
    if (WIFSIGNALED(status))
        end.signal = WTERMSIG(status);
    else
        end.exitCode = WEXITSTATUS(status);
    return end;
}

void JobLauncher::poll()
{
    const bool hadChild = m_child != 0;
    if (const auto end = reap()) {
        finish(end);
        return;
    }
    const bool locked = m_run.isRunning();
    if (!hadChild && !locked) {
        if (m_status.isActive())
            finish(std::nullopt); // a worker that an earlier window had started
        return;
    }
    if (m_status.state == RunState::Stopping) {
        if (!m_reportedLong && m_stopping.isValid() && m_stopping.hasExpired(m_patienceMs)) {
            m_reportedLong = true;
            Q_EMIT stopTakesLong();
        }
    } else if (locked && m_status.state != RunState::Running) {
        setStatus({RunState::Running, false, {}});
        m_timer.start();
    }
}

void JobLauncher::finish(std::optional<ProcessEnd> end)
{
    m_timer.stop();
    RunStatus status = inspectRun(m_run);
    if (status.state == RunState::Running) {
        // Our child could not get the lock: another worker holds it, and that one goes on.
        setStatus(status);
        m_timer.start();
        return;
    }
    const bool recorded = m_run.readExit().has_value();
    if (end && !recorded) {
        // The process left no record: how it died is known only here.
        status.problem = describeProcessEnd(*end, tr("The worker"), lastLogLines(m_run));
        status.state = end->signal != 0 ? RunState::Interrupted : RunState::Failed;
        std::error_code code;
        status.resumable = std::filesystem::exists(m_run.eventsFile(), code);
    }
    setStatus(status);
    Q_EMIT ended(status);
}

bool JobLauncher::signalWorker(int number)
{
    qint64 pid = m_child;
    if (pid == 0) {
        pid = m_run.isRunning() ? workerPid(m_run) : 0;
        if (pid <= 1 || !isWorkerOf(pid, m_run))
            return false;
    }
    return ::kill(static_cast<pid_t>(pid), number) == 0;
}

void JobLauncher::stop()
{
    poll();
    if (!m_status.isActive() || m_status.state == RunState::Stopping)
        return;
    if (!signalWorker(SIGTERM)) {
        poll();
        return;
    }
    m_stopping.start();
    m_reportedLong = false;
    setStatus({RunState::Stopping, false, {}});
    m_timer.start();
}

void JobLauncher::kill()
{
    if (m_status.isActive())
        signalWorker(SIGKILL);
    m_timer.start();
}

} // namespace postnas
