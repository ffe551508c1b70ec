// Lines of the log.
#include "widgets/jobs/log_view.h"

#include <QScrollBar>

#include "widgets/services/convert.h"
#include "widgets/theme/theme.h"

namespace postnas {

LogView::LogView(QWidget* parent) : QPlainTextEdit(parent)
{
    setReadOnly(true);
    setMaximumBlockCount(kMaxLines);
    setLineWrapMode(QPlainTextEdit::NoWrap);
    setUndoRedoEnabled(false);
    setFont(monospaceFont());
    setTextInteractionFlags(Qt::TextSelectableByMouse | Qt::TextSelectableByKeyboard);
    setAccessibleName(tr("Log"));
}

void LogView::addLines(const QStringList& lines)
{
    if (lines.isEmpty())
        return;
    QScrollBar* bar = verticalScrollBar();
    const bool atEnd = bar->value() >= bar->maximum() - 2;
    const int position = bar->value();
    appendPlainText(lines.join(QLatin1Char('\n')));
    bar->setValue(atEnd ? bar->maximum() : position);
}

QString eventLine(const Event& event)
{
    QString text;
    if (const auto* hello = std::get_if<event::Hello>(&event.body)) {
        QStringList versions;
        for (const auto& [name, version] : hello->versions)
            versions.append(toQString(name) + QLatin1Char(' ') + toQString(version));
        text = LogView::tr("worker started: process %1, %2, %3").arg(hello->pid).arg(toQString(hello->device), versions.join(QStringLiteral(", ")));
    } else if (const auto* stage = std::get_if<event::Stage>(&event.body)) {
        text = LogView::tr("stage %1").arg(toQString(stage->name));
    } else if (const auto* checkpoint = std::get_if<event::Checkpoint>(&event.body)) {
        text = LogView::tr("checkpoint at step %1").arg(checkpoint->step);
    } else if (const auto* warning = std::get_if<event::Warning>(&event.body)) {
        text = LogView::tr("warning: %1").arg(toQString(warning->message));
        if (!warning->hint.empty())
            text += QStringLiteral(" (%1)").arg(toQString(warning->hint));
    } else if (const auto* result = std::get_if<event::Result>(&event.body)) {
        text = LogView::tr("result %1 %2").arg(toQString(result->artifact), toQString(result->path));
    } else if (const auto* error = std::get_if<event::ErrorEvent>(&event.body)) {
        text = LogView::tr("error: %1").arg(toQString(error->message));
        if (!error->hint.empty())
            text += LogView::tr(" hint: %1").arg(toQString(error->hint));
    } else if (const auto* bye = std::get_if<event::Bye>(&event.body)) {
        text = LogView::tr("worker ended: %1 (exit code %2)").arg(toQString(bye->reason)).arg(bye->code);
    } else if (const auto* unknown = std::get_if<event::Unknown>(&event.body)) {
        text = toQString(dumpJson(unknown->json)).left(500);
    }
    if (text.isEmpty())
        return {};
    const QString clock = toQString(event.time).mid(11, 8);
    return displayText(QStringLiteral("%1  %2").arg(clock, text)).replace(QLatin1Char('\n'), QLatin1Char(' '));
}

} // namespace postnas
