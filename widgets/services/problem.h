// What went wrong, as the window shows it: a sentence, a hint, and the class that chose the exit code.
#pragma once

#include <exception>

#include <QMetaType>
#include <QString>
#include <QStringList>

#include "core/base/error.h"

namespace postnas {

/// Plain text: show it in labels with Qt::PlainText only, since it may quote a file from outside.
struct Problem {
    QString errorClass; ///< errorClassName(), or "crash" when a process died
    QString message;    ///< one sentence
    QString hint;       ///< what to do; may be empty

    bool isEmpty() const { return message.isEmpty(); }
    /// Message and hint on one line each.
    QString text() const;

    static Problem from(const std::exception& exception);
    /// Of the exception being handled; call it inside `catch (...)` only.
    static Problem current();
};

/// How a child process ended.
struct ProcessEnd {
    int exitCode = 0;   ///< meaningful when `signal` is 0
    int signal = 0;     ///< the signal that ended it; 0: it exited by itself
    bool known = true;  ///< false: it was no child of this window, nobody was told

    bool isSuccess() const { return known && signal == 0 && exitCode == 0; }
};

/// One sentence (and a hint) that says what the end means to a person. `who` begins the sentence: "The worker".
/// `lastLog` are the newest lines of its log; an "error: ..." / "hint: ..." pair among them is quoted.
Problem describeProcessEnd(const ProcessEnd& end, const QString& who, const QStringList& lastLog = {});

} // namespace postnas

Q_DECLARE_METATYPE(postnas::Problem)
