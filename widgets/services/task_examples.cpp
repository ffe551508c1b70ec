// Collects example questions from task files.
#include "widgets/services/task_examples.h"

#include <QCoreApplication>
#include <QDir>
#include <QPointer>
#include <QThreadPool>

#include "core/tasks/task.h"
#include "widgets/services/convert.h"

namespace postnas {
namespace {

constexpr std::size_t kItemsPerTask = 4;
constexpr qsizetype kMaxTasks = 12;
constexpr qsizetype kMaxPrompt = 20000;

QVector<TaskExample> examplesIn(const QStringList& folders)
{
    QVector<TaskExample> out;
    qsizetype tasks = 0;
    for (const QString& folder : folders) {
        const QDir dir(folder);
        for (const QString& name : dir.entryList({QStringLiteral("*.yaml"), QStringLiteral("*.yml")}, QDir::Files, QDir::Name)) {
            if (tasks >= kMaxTasks)
                return out;
            try {
                const TaskDefinition task = loadTask(toPath(dir.filePath(name)));
                if (!task.chat)
                    continue;
                ++tasks;
                for (const TaskItem& item : loadItems(task, kItemsPerTask)) {
                    const QString prompt = toQString(item.context);
                    if (prompt.size() <= kMaxPrompt)
                        out.append({displayText(toQString(task.name), 80), prompt, displayText(toQString(item.target), 200)});
                }
            } catch (const std::exception&) {
                continue; // not a task of ours: examples are a convenience
            }
        }
    }
    return out;
}

} // namespace

void readTaskExamples(const QStringList& folders, QObject* receiver, std::function<void(const QVector<TaskExample>&)> done)
{
    QThreadPool::globalInstance()->start([folders, guard = QPointer<QObject>(receiver), done = std::move(done)] {
        const QVector<TaskExample> examples = examplesIn(folders);
        QMetaObject::invokeMethod(QCoreApplication::instance(), [guard, done, examples] {
            if (guard)
                done(examples);
        });
    });
}

} // namespace postnas
