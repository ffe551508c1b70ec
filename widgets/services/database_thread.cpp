// Owns the database on its thread.
#include "widgets/services/database_thread.h"

#include "widgets/services/convert.h"

namespace postnas {

struct DatabaseThread::Worker : QObject {
    std::unique_ptr<ProjectDatabase> database;
};

DatabaseThread::DatabaseThread(QObject* parent) : QObject(parent), m_worker(new Worker)
{
    qRegisterMetaType<postnas::Problem>();
    m_worker->moveToThread(&m_thread);
    m_thread.setObjectName(QStringLiteral("database"));
    m_thread.start();
}

DatabaseThread::~DatabaseThread()
{
    // Queued behind everything that was posted.
    QMetaObject::invokeMethod(m_worker, [this] {
        m_worker->database.reset();
        m_thread.quit();
    });
    m_thread.wait();
    delete m_worker;
}

void DatabaseThread::open(const Project& project)
{
    QMetaObject::invokeMethod(m_worker, [this, project] {
        try {
            m_worker->database.reset();
            m_worker->database = ProjectDatabase::openFor(project);
            const QString notice = toQString(m_worker->database->notice());
            QMetaObject::invokeMethod(this, [this, notice] { Q_EMIT opened(notice); });
        } catch (...) {
            QMetaObject::invokeMethod(this, [this, problem = Problem::current()] { Q_EMIT failed(problem); });
        }
    });
}

void DatabaseThread::post(std::function<void(ProjectDatabase&)> query)
{
    QMetaObject::invokeMethod(m_worker, [this, query = std::move(query)] {
        if (!m_worker->database)
            return; // `failed` was told when it could not be opened
        try {
            query(*m_worker->database);
        } catch (...) {
            QMetaObject::invokeMethod(this, [this, problem = Problem::current()] { Q_EMIT failed(problem); });
        }
    });
}

void DatabaseThread::importRun(const RunFolder& run)
{
    post([this, run](ProjectDatabase& database) {
        const qint64 count = database.importRun(run);
        QMetaObject::invokeMethod(this, [this, id = toQString(run.id()), count] { Q_EMIT imported(id, count); });
    });
}

} // namespace postnas
