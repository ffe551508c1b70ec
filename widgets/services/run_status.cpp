// Reads a run's state from what the contract leaves in its folder.
#include "widgets/services/run_status.h"

#include <QCoreApplication>
#include <QFile>

#include "core/jobs/event_reader.h"
#include "widgets/services/convert.h"

namespace postnas {
namespace {

QString tr(const char* text) { return QCoreApplication::translate("RunStatus", text); }

QByteArray readTail(const std::filesystem::path& path, qint64 bytes, bool& cut)
{
    QFile file(toQString(path));
    cut = false;
    if (!file.open(QIODevice::ReadOnly))
        return {};
    if (file.size() > bytes) {
        file.seek(file.size() - bytes);
        cut = true;
    }
    return file.read(bytes);
}

/// The newest `error` event among the last ones, if any.
Problem lastErrorEvent(const RunFolder& run)
{
    bool cut = false;
    const QByteArray tail = readTail(run.eventsFile(), 65536, cut);
    std::vector<Event> events;
    EventParser parser;
    const qsizetype begin = cut ? tail.indexOf('\n') + 1 : 0;
    parser.feed({tail.constData() + begin, static_cast<std::size_t>(tail.size() - begin)}, events);
    for (auto it = events.rbegin(); it != events.rend(); ++it) {
        if (const auto* error = std::get_if<event::ErrorEvent>(&it->body))
            return {toQString(error->errorClass), toQString(error->message), toQString(error->hint)};
        if (std::get_if<event::Hello>(&it->body) != nullptr)
            break; // older ones belong to an earlier process
    }
    return {};
}

} // namespace

QString runStateName(RunState state)
{
    switch (state) {
    case RunState::Prepared: return tr("Not started");
    case RunState::Starting: return tr("Starting");
    case RunState::Running: return tr("Running");
    case RunState::Stopping: return tr("Stopping");
    case RunState::Finished: return tr("Finished");
    case RunState::Interrupted: return tr("Interrupted");
    case RunState::Failed: return tr("Failed");
    case RunState::Broken: return tr("Broken");
    }
    return {};
}

QString RunStatus::sentence() const
{
    QString text = problem.isEmpty() ? runStateName(state) + QLatin1Char('.')
                                     : tr("%1: %2").arg(runStateName(state), problem.message);
    if (!problem.hint.isEmpty())
        text += QLatin1Char(' ') + problem.hint;
    if (resumable && !isActive())
        text += QLatin1Char(' ') + tr("It can be resumed.");
    return text;
}

QStringList lastLogLines(const RunFolder& run, qint64 bytes)
{
    bool cut = false;
    QStringList lines = displayText(QString::fromUtf8(readTail(run.logFile(), bytes, cut)), bytes).split(QLatin1Char('\n'));
    if (cut)
        lines.removeFirst();
    if (!lines.isEmpty() && lines.last().isEmpty())
        lines.removeLast();
    return lines;
}

qint64 workerPid(const RunFolder& run)
{
    for (const bool fromEnd : {true, false}) {
        QFile file(toQString(run.eventsFile()));
        if (!file.open(QIODevice::ReadOnly))
            return 0;
        constexpr qint64 window = qint64 {4} << 20;
        const bool cut = fromEnd && file.size() > window;
        if (cut)
            file.seek(file.size() - window);
        const QList<QByteArray> lines = file.read(window).split('\n');
        std::vector<Event> events;
        EventParser parser;
        for (qsizetype i = lines.size() - 1; i >= (cut ? 1 : 0); --i) {
            if (!lines[i].contains("\"hello\""))
                continue;
            parser.parseLine({lines[i].constData(), static_cast<std::size_t>(lines[i].size())}, events);
            if (!events.empty())
                if (const auto* hello = std::get_if<event::Hello>(&events.back().body))
                    return hello->pid;
        }
        if (!cut)
            break;
    }
    return 0;
}

RunStatus inspectRun(const RunFolder& run)
{
    RunStatus status;
    try {
        if (run.isRunning()) {
            status.state = RunState::Running;
            return status;
        }
        std::error_code code;
        const auto exit = run.readExit();
        if (!exit) {
            if (!std::filesystem::exists(run.eventsFile(), code)) {
                status.state = RunState::Prepared;
                return status;
            }
            status.state = RunState::Interrupted;
            status.resumable = true;
            status.problem = describeProcessEnd({0, 0, false}, tr("The worker"));
            return status;
        }
        status.resumable = exit->resumable;
        if (exit->code == 0) {
            status.state = RunState::Finished;
            return status;
        }
        status.state = exit->code == 130 ? RunState::Interrupted : RunState::Failed;
        status.problem = lastErrorEvent(run);
        if (status.problem.isEmpty() || exit->code == 130)
            status.problem = describeProcessEnd({exit->code, 0, true}, tr("The worker"), lastLogLines(run));
    } catch (...) {
        status.state = RunState::Broken;
        status.problem = Problem::current();
    }
    return status;
}

} // namespace postnas
