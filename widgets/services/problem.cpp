// Turns exceptions and process ends into sentences.
#include "widgets/services/problem.h"

#include <csignal>

#include <QCoreApplication>

namespace postnas {
namespace {

QString tr(const char* text) { return QCoreApplication::translate("Problem", text); }

Problem describeSignal(int number, const QString& who)
{
    switch (number) {
    case SIGKILL:
        return {QStringLiteral("crash"), tr("%1 was killed (SIGKILL).").arg(who),
                tr("Somebody ended the process, or the system did because memory ran out. Finished work up to the last "
                   "checkpoint is kept.")};
    case SIGTERM:
    case SIGINT:
    case SIGHUP:
        return {QStringLiteral("interrupted"), tr("%1 was asked to end (signal %2) and did.").arg(who).arg(number), {}};
    case SIGSEGV:
    case SIGBUS:
    case SIGILL:
    case SIGFPE:
        return {QStringLiteral("crash"), tr("%1 crashed (signal %2).").arg(who).arg(number),
                tr("This is a defect of the program, or a file changed while it was being read. The log has the last lines.")};
    case SIGABRT:
        return {QStringLiteral("crash"), tr("%1 gave up after an internal error (SIGABRT).").arg(who),
                tr("The log has the last lines.")};
    default:
        return {QStringLiteral("crash"), tr("%1 was ended by signal %2.").arg(who).arg(number), {}};
    }
}

/// The last "error: ..." line and the "hint: ..." line behind it.
Problem quotedError(const QStringList& log)
{
    const QString errorMark = QStringLiteral("error: ");
    const QString hintMark = QStringLiteral("hint: ");
    Problem found;
    for (const QString& line : log) {
        if (line.startsWith(errorMark))
            found = {QString(), line.mid(errorMark.size()), QString()};
        else if (line.startsWith(hintMark) && !found.message.isEmpty())
            found.hint = line.mid(hintMark.size());
    }
    return found;
}

} // namespace

QString Problem::text() const { return hint.isEmpty() ? message : message + QLatin1Char('\n') + hint; }

Problem Problem::from(const std::exception& exception)
{
    if (const auto* error = dynamic_cast<const Error*>(&exception))
        return {QString::fromLatin1(errorClassName(error->errorClass())), QString::fromUtf8(error->what()),
                QString::fromStdString(error->hint())};
    if (dynamic_cast<const std::bad_alloc*>(&exception) != nullptr)
        return {QStringLiteral("resource"), tr("There is not enough memory."), tr("Close other programs and try again.")};
    return {QStringLiteral("internal"), QString::fromLocal8Bit(exception.what()), {}};
}

Problem Problem::current()
{
    try {
        throw;
    } catch (const std::exception& exception) {
        return from(exception);
    } catch (...) {
        return {QStringLiteral("internal"), tr("An unknown error occurred."), {}};
    }
}

Problem describeProcessEnd(const ProcessEnd& end, const QString& who, const QStringList& lastLog)
{
    if (!end.known)
        return {QStringLiteral("crash"), tr("%1 ended without saying why: it was killed or it crashed.").arg(who),
                tr("Finished work up to the last checkpoint is kept.")};
    if (end.signal != 0)
        return describeSignal(end.signal, who);
    const Problem quoted = quotedError(lastLog);
    const auto withReason = [&](const char* errorClass, const QString& sentence, const QString& hint) -> Problem {
        if (quoted.message.isEmpty())
            return {QString::fromLatin1(errorClass), sentence, hint};
        return {QString::fromLatin1(errorClass), quoted.message, quoted.hint};
    };
    switch (end.exitCode) {
    case 0:
        return {QString(), tr("%1 finished.").arg(who), {}};
    case 2:
        return withReason("usage", tr("%1 was asked for something impossible.").arg(who), tr("The log says what."));
    case 3:
        return withReason("input", tr("%1 found a broken file.").arg(who), tr("The log names the file."));
    case 4:
        return withReason("resource", tr("%1 ran out of memory, disk space or device memory.").arg(who),
                          tr("Make room, or choose a smaller batch."));
    case 5:
        return withReason("internal", tr("%1 met a defect of the program.").arg(who), tr("The log has the details."));
    case 126:
    case 127:
        return withReason("resource", tr("%1 could not start: the program or one of its libraries is missing.").arg(who),
                          tr("Run ./installer/bootstrap.sh build, or set POSTNAS_PROGRAM to the postnas program."));
    case 130:
        return {QStringLiteral("interrupted"), tr("%1 was stopped.").arg(who), {}};
    default:
        if (end.exitCode > 128 && end.exitCode < 160)
            return describeSignal(end.exitCode - 128, who);
        return withReason("internal", tr("%1 ended with the unexpected exit code %2.").arg(who).arg(end.exitCode),
                          tr("The log has the details."));
    }
}

} // namespace postnas
