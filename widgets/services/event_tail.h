// Follows a run's events.jsonl and stderr.log: reads on a thread of its own and hands batches to the window.
#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <vector>

#include <QObject>
#include <QStringList>
#include <QThread>
#include <QTimer>

#include "core/jobs/event_reader.h"
#include "core/jobs/run_folder.h"

namespace postnas {

using EventBatch = std::shared_ptr<const std::vector<Event>>;

/// The whole file first, then what is appended. At most one batch is under way, so a fast worker cannot flood the window:
/// the file is the buffer.
class EventTail : public QObject {
    Q_OBJECT
public:
    explicit EventTail(QObject* parent = nullptr);
    ~EventTail() override;

    /// Begins at the start of another run's files. Batches of the former run that are under way are dropped.
    void follow(const RunFolder& run);
    void stop();
    /// Reads now instead of at the next tick; the result still comes as a signal.
    void readNow();
    /// Whether everything that was in the files at the last look has been handed over.
    bool isCaughtUp() const { return m_caughtUp; }

Q_SIGNALS:
    void events(const postnas::EventBatch& batch);
    /// Lines of the log, safe to show.
    void logLines(const QStringList& lines);
    void caughtUp();
    void problem(const QString& sentence);

private:
    void receive(quint64 generation, const EventBatch& batch, const QStringList& lines, const QString& problem);

    struct Worker;
    QThread m_thread;
    Worker* m_worker = nullptr; ///< lives in m_thread
    QTimer m_timer;
    quint64 m_generation = 0;
    bool m_busy = false;
    bool m_active = false;
    bool m_caughtUp = false;
};

} // namespace postnas

Q_DECLARE_METATYPE(postnas::EventBatch)
