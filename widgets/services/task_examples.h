// Questions of the project's chat tasks, to begin a conversation with.
#pragma once

#include <functional>

#include <QObject>
#include <QString>
#include <QStringList>
#include <QVector>

namespace postnas {

struct TaskExample {
    QString task;
    QString prompt;
    QString expected;
};

/// Reads the task files (*.yaml) of these folders that are asked in chat form, some items of each, on a pool thread; answers on
/// the thread of `receiver`, if that still exists. Files that are no such tasks are passed over.
void readTaskExamples(const QStringList& folders, QObject* receiver, std::function<void(const QVector<TaskExample>&)> done);

} // namespace postnas
