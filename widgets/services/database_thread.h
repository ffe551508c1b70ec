// The one read-write connection to a project's database, on one thread; queries are queued and answered by a queued call.
#pragma once

#include <functional>
#include <memory>
#include <type_traits>

#include <QObject>
#include <QPointer>
#include <QThread>

#include "core/database/project_database.h"
#include "widgets/services/problem.h"

namespace postnas {

/// Use from the window's thread. Queries run in the order in which they were posted.
class DatabaseThread : public QObject {
    Q_OBJECT
public:
    explicit DatabaseThread(QObject* parent = nullptr);
    /// Does what is queued, then closes the database.
    ~DatabaseThread() override;

    /// Opens (or makes, or repairs) the project's database and imports its runs; `opened` or `failed` follows.
    void open(const Project& project);

    /// Runs `query(ProjectDatabase&)` on the database's thread. A failure comes as `failed`.
    void post(std::function<void(ProjectDatabase&)> query);

    /// Runs `query` there and then `done(result)` here, if `receiver` still exists.
    template <typename Query, typename Done>
    void ask(QObject* receiver, Query query, Done done)
    {
        using Result = std::invoke_result_t<Query, ProjectDatabase&>;
        post([this, guard = QPointer<QObject>(receiver), query = std::move(query), done = std::move(done)](ProjectDatabase& database) {
            auto result = std::make_shared<Result>(query(database));
            // Back through this object, which waits for its thread before it dies; the receiver is checked on its own thread.
            QMetaObject::invokeMethod(this, [guard, result, done] {
                if (guard)
                    done(std::move(*result));
            });
        });
    }

    /// Imports what is new in a run folder; `imported` follows.
    void importRun(const RunFolder& run);

Q_SIGNALS:
    /// `notice` is a sentence about a repair or migration, or empty.
    void opened(const QString& notice);
    void imported(const QString& runId, qint64 newEvents);
    void failed(const postnas::Problem& problem);

private:
    struct Worker;
    QThread m_thread;
    Worker* m_worker = nullptr; ///< lives in m_thread
};

} // namespace postnas
