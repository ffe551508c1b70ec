// The reading thread behind EventTail.
#include "widgets/services/event_tail.h"

#include <optional>
#include <utility>

#include <QFile>

#include "widgets/services/convert.h"
#include "widgets/services/problem.h"

namespace postnas {
namespace {
constexpr int kIntervalMs = 200;
constexpr std::size_t kBatchBytes = std::size_t {1} << 20;
constexpr qint64 kLogBytes = qint64 {256} << 10;
} // namespace

struct EventTail::Worker : QObject {
    std::optional<EventReader> reader;
    std::filesystem::path log;
    qint64 logOffset = 0;
    QByteArray logTail;

    void begin(const RunFolder& run)
    {
        reader.emplace(run.eventsFile());
        log = run.logFile();
        logOffset = 0;
        logTail.clear();
    }

    QStringList readLog()
    {
        QFile file(toQString(log));
        if (!file.open(QIODevice::ReadOnly))
            return {};
        if (file.size() < logOffset)
            logOffset = 0;
        // Of a very long log only the end is of use here; the file has the rest.
        if (logOffset == 0 && file.size() > kLogBytes)
            logOffset = file.size() - kLogBytes;
        file.seek(logOffset);
        const QByteArray bytes = file.read(kLogBytes);
        logOffset += bytes.size();
        logTail += bytes;
        QStringList lines;
        qsizetype begin = 0;
        for (qsizetype end = logTail.indexOf('\n'); end >= 0; end = logTail.indexOf('\n', begin)) {
            lines.append(displayText(QString::fromUtf8(logTail.mid(begin, end - begin))));
            begin = end + 1;
        }
        logTail.remove(0, begin);
        if (logTail.size() > kLogBytes)
            logTail.clear();
        return lines;
    }
};

EventTail::EventTail(QObject* parent) : QObject(parent), m_worker(new Worker)
{
    qRegisterMetaType<postnas::EventBatch>();
    m_worker->moveToThread(&m_thread);
    m_thread.setObjectName(QStringLiteral("event tail"));
    m_thread.start();
    m_timer.setInterval(kIntervalMs);
    connect(&m_timer, &QTimer::timeout, this, &EventTail::readNow);
}

EventTail::~EventTail()
{
    m_thread.quit();
    m_thread.wait();
    delete m_worker;
}

void EventTail::follow(const RunFolder& run)
{
    ++m_generation;
    m_active = true;
    m_busy = false;
    m_caughtUp = false;
    QMetaObject::invokeMethod(m_worker, [worker = m_worker, run] { worker->begin(run); });
    m_timer.start();
    readNow();
}

void EventTail::stop()
{
    ++m_generation;
    m_active = false;
    m_timer.stop();
}

void EventTail::readNow()
{
    if (!m_active || m_busy)
        return;
    m_busy = true;
    QMetaObject::invokeMethod(m_worker, [this, worker = m_worker, generation = m_generation] {
        auto batch = std::make_shared<std::vector<Event>>();
        QStringList lines;
        QString problem;
        try {
            *batch = worker->reader->readNew(kBatchBytes);
            lines = worker->readLog();
        } catch (...) {
            problem = Problem::current().message;
        }
        // `this` outlives the thread: the destructor waits for it.
        QMetaObject::invokeMethod(this, [this, generation, batch, lines, problem] { receive(generation, batch, lines, problem); });
    });
}

void EventTail::receive(quint64 generation, const EventBatch& batch, const QStringList& lines, const QString& problem)
{
    if (generation != m_generation)
        return;
    m_busy = false;
    if (!problem.isEmpty()) {
        stop();
        Q_EMIT this->problem(problem);
        return;
    }
    if (!lines.isEmpty())
        Q_EMIT logLines(lines);
    if (!batch->empty()) {
        m_caughtUp = false;
        Q_EMIT events(batch);
        readNow();
    } else if (!m_caughtUp) {
        m_caughtUp = true;
        Q_EMIT caughtUp();
    }
}

} // namespace postnas
