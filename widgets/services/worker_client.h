// One `postnas worker` child process: asynchronous requests as JSON lines, answers as queued signals.
#pragma once

#include <map>
#include <vector>

#include <QByteArray>
#include <QObject>
#include <QProcess>
#include <QString>
#include <QStringList>
#include <QTimer>

#include "core/base/json.h"
#include "widgets/services/problem.h"

namespace postnas {

using WorkerProblem = Problem;

/// A sampled continuation. `messages` wins over `prompt` when it is not empty.
struct GenerateRequest {
    struct Message {
        QString role; ///< "system", "user", "assistant"
        QString content;
    };
    std::vector<Message> messages;
    QString prompt;
    int maxNewTokens = 256;
    double temperature = 0;
    int topK = 0;
    double topP = 1;
    double minP = 0;
    double repetitionPenalty = 1;
    quint64 seed = 0;
    QStringList stop;
};

/// Holds at most one worker process with at most one model. Everything is asynchronous; no call blocks. The process is
/// started by the first request, and a request after a crash starts it again. Answers come as signals carrying the id
/// that the request returned; every request is answered by exactly one `finished` or `failed`, also when the process dies.
class WorkerClient : public QObject {
    Q_OBJECT
public:
    enum class State { NotRunning, Starting, Running, Stopping };
    Q_ENUM(State)

    explicit WorkerClient(QObject* parent = nullptr);
    ~WorkerClient() override;

    /// Program and leading arguments instead of the found `postnas` and "worker" (tests).
    void setProgram(const QString& program, const QStringList& arguments = {QStringLiteral("worker")});

    State state() const { return m_state; }
    /// Path of the model of the last successful `load`; empty when none is loaded (also after a crash).
    const QString& loadedModel() const { return m_loadedModel; }
    /// How many requests wait for their answer.
    int pendingRequests() const { return static_cast<int>(m_pending.size()); }
    qint64 processId() const { return m_process.processId(); }

    QString load(const QString& modelFolder, const QString& device = QStringLiteral("auto"),
                 const QString& dtype = QStringLiteral("auto"));
    QString generate(const GenerateRequest& request);
    /// Ends the generation `target`; its `finished` comes with finish_reason "cancelled".
    QString cancel(const QString& target);
    QString inspect(const QString& modelFolder, qint64 context);
    QString measure(const std::vector<qint64>& contexts, int batch);
    /// Any other command; `fields` needs "command" and gets the id.
    QString request(Json fields);

    /// Asks the process to end, then terminates and at last kills it (10 s each). Pending requests fail as cancelled.
    void shutDown();

Q_SIGNALS:
    void stateChanged(postnas::WorkerClient::State state);
    /// One piece of generated text; may be empty while a UTF-8 sequence is incomplete.
    void token(const QString& id, const QString& text, qint64 tokenId);
    void progress(const QString& id, qint64 done, qint64 total);
    void finished(const QString& id, const postnas::Json& values);
    void failed(const QString& id, const postnas::WorkerProblem& problem);
    /// The process ended without being asked to; says in one sentence how. Comes after `failed` of all pending requests.
    void crashed(const postnas::WorkerProblem& problem);
    /// What the worker wrote to its log (stderr), line by line.
    void logLine(const QString& line);

private:
    void start();
    void setState(State state);
    void readEvents();
    void readLog();
    void handleLine(const QByteArray& line);
    void handle(const Json& event);
    void onFinished(int exitCode, QProcess::ExitStatus status);
    void onError(QProcess::ProcessError error);
    void failAll(const WorkerProblem& problem);

    QProcess m_process;
    QString m_program;
    QStringList m_arguments {QStringLiteral("worker")};
    State m_state = State::NotRunning;
    QByteArray m_output; ///< incomplete line of stdout
    std::map<QString, QString> m_pending; ///< id -> command
    std::map<QString, QString> m_loading; ///< id of a load -> model folder
    QString m_loadedModel;
    QByteArray m_logTail; ///< incomplete line of stderr
    QStringList m_lastLog; ///< the newest lines, for the crash message
    QTimer m_killTimer;
    bool m_terminated = false; ///< SIGTERM was sent; SIGKILL is next
    quint64 m_nextId = 1;
};

} // namespace postnas
