// Speaks the worker's JSON lines over a QProcess and turns its death into a sentence.
#include "widgets/services/worker_client.h"

#include <cstdint>
#include <utility>

#include "widgets/services/convert.h"
#include "widgets/services/program_finder.h"

namespace postnas {
namespace {
constexpr int kPatienceMs = 10000;   ///< between asking, terminating and killing
constexpr int kKeptLogLines = 40;
constexpr qsizetype kMaxLogLine = 8192;
constexpr qsizetype kMaxEventBytes = qsizetype {16} << 20;

Json base(const char* command) { return Json {{"id", ""}, {"command", command}}; }
} // namespace

WorkerClient::WorkerClient(QObject* parent) : QObject(parent)
{
    qRegisterMetaType<postnas::Problem>();
    m_process.setProcessChannelMode(QProcess::SeparateChannels);
    connect(&m_process, &QProcess::readyReadStandardOutput, this, &WorkerClient::readEvents);
    connect(&m_process, &QProcess::readyReadStandardError, this, &WorkerClient::readLog);
    connect(&m_process, &QProcess::finished, this, &WorkerClient::onFinished);
    connect(&m_process, &QProcess::errorOccurred, this, &WorkerClient::onError);
    connect(&m_process, &QProcess::started, this, [this] {
        if (m_state == State::Starting)
            setState(State::Running);
    });
    m_killTimer.setSingleShot(true);
    connect(&m_killTimer, &QTimer::timeout, this, [this] {
        // First the polite way, then the certain one.
        if (m_terminated) {
            m_process.kill();
            return;
        }
        m_terminated = true;
        m_process.terminate();
        m_killTimer.start(kPatienceMs);
    });
}

WorkerClient::~WorkerClient()
{
    disconnect(&m_process, nullptr, this, nullptr);
    if (m_process.state() == QProcess::NotRunning)
        return;
    // A worker holds nothing that a kill could harm: it writes no files.
    m_process.closeWriteChannel();
    if (!m_process.waitForFinished(300))
        m_process.kill();
    m_process.waitForFinished(2000);
}

void WorkerClient::setProgram(const QString& program, const QStringList& arguments)
{
    m_program = program;
    m_arguments = arguments;
}

void WorkerClient::setState(State state)
{
    if (m_state == state)
        return;
    m_state = state;
    Q_EMIT stateChanged(state);
}

void WorkerClient::start()
{
    const QString program = m_program.isEmpty() ? findPostnasProgram() : m_program;
    m_output.clear();
    m_logTail.clear();
    m_lastLog.clear();
    m_loading.clear();
    m_loadedModel.clear();
    m_killTimer.stop();
    m_terminated = false;
    setState(State::Starting);
    if (program.isEmpty()) {
        // Answered later, so that the caller knows the request's id by then.
        QTimer::singleShot(0, this, [this] {
            setState(State::NotRunning);
            failAll({QStringLiteral("resource"), tr("The program postnas was not found."), missingProgramHint()});
        });
        return;
    }
    m_process.start(program, m_arguments);
}

QString WorkerClient::request(Json fields)
{
    const QString id = QString::number(m_nextId++);
    const std::string command = fields.value("command", std::string());
    fields["id"] = toStd(id);
    if (m_state == State::Stopping) {
        QTimer::singleShot(0, this, [this, id] {
            Q_EMIT failed(id, {QStringLiteral("interrupted"), tr("The worker is being stopped."), tr("Try again in a moment.")});
        });
        return id;
    }
    m_pending.emplace(id, toQString(command));
    if (m_state == State::NotRunning)
        start();
    m_process.write(QByteArray::fromStdString(dumpJson(fields) + "\n"));
    return id;
}

QString WorkerClient::load(const QString& modelFolder, const QString& device, const QString& dtype)
{
    Json fields = base("load");
    fields["model"] = toStd(modelFolder);
    fields["device"] = toStd(device);
    fields["dtype"] = toStd(dtype);
    const QString id = request(std::move(fields));
    m_loading.emplace(id, modelFolder);
    return id;
}

QString WorkerClient::generate(const GenerateRequest& request)
{
    Json fields = base("generate");
    if (!request.messages.empty()) {
        Json messages = Json::array();
        for (const auto& message : request.messages)
            messages.push_back({{"role", toStd(message.role)}, {"content", toStd(message.content)}});
        fields["messages"] = std::move(messages);
    } else {
        fields["prompt"] = toStd(request.prompt);
    }
    fields["max_new_tokens"] = request.maxNewTokens;
    fields["temperature"] = request.temperature;
    fields["top_k"] = request.topK;
    fields["top_p"] = request.topP;
    fields["min_p"] = request.minP;
    fields["repetition_penalty"] = request.repetitionPenalty;
    fields["seed"] = request.seed;
    Json stop = Json::array();
    for (const QString& text : request.stop)
        stop.push_back(toStd(text));
    fields["stop"] = std::move(stop);
    return this->request(std::move(fields));
}

QString WorkerClient::cancel(const QString& target)
{
    if (m_state == State::NotRunning || m_pending.count(target) == 0)
        return {};
    Json fields = base("cancel");
    fields["target"] = toStd(target);
    return request(std::move(fields));
}

QString WorkerClient::inspect(const QString& modelFolder, qint64 context)
{
    Json fields = base("inspect");
    fields["model"] = toStd(modelFolder);
    fields["context"] = context;
    return request(std::move(fields));
}

QString WorkerClient::measure(const std::vector<qint64>& contexts, int batch)
{
    Json fields = base("measure");
    fields["contexts"] = contexts;
    fields["batch"] = batch;
    return request(std::move(fields));
}

void WorkerClient::shutDown()
{
    if (m_state == State::NotRunning || m_state == State::Stopping)
        return;
    const bool running = m_process.state() != QProcess::NotRunning;
    if (running) {
        m_process.write(QByteArray::fromStdString(dumpJson({{"id", "0"}, {"command", "shutdown"}}) + "\n"));
        m_process.closeWriteChannel();
        m_killTimer.start(kPatienceMs);
    }
    setState(running ? State::Stopping : State::NotRunning);
    failAll({QStringLiteral("interrupted"), tr("The worker was stopped."), {}});
}

void WorkerClient::readEvents()
{
    m_output += m_process.readAllStandardOutput();
    qsizetype begin = 0;
    for (qsizetype end = m_output.indexOf('\n'); end >= 0; end = m_output.indexOf('\n', begin)) {
        handleLine(m_output.mid(begin, end - begin));
        begin = end + 1;
    }
    m_output.remove(0, begin);
    if (m_output.size() > kMaxEventBytes) {
        m_output.clear();
        Q_EMIT logLine(tr("The worker sent a line that is too long; it was dropped."));
    }
}

void WorkerClient::handleLine(const QByteArray& line)
{
    if (line.trimmed().isEmpty())
        return;
    try {
        const Json event = parseJson({line.constData(), static_cast<std::size_t>(line.size())}, "the worker's answer");
        if (!event.is_object())
            throw inputError("the worker's answer: is no object");
        handle(event);
    } catch (const std::exception& error) {
        Q_EMIT logLine(tr("The worker sent something that is no event: %1").arg(Problem::from(error).message));
    }
}

void WorkerClient::readLog()
{
    m_logTail += m_process.readAllStandardError();
    for (qsizetype end = m_logTail.indexOf('\n'); end >= 0; end = m_logTail.indexOf('\n')) {
        const QString line = displayText(QString::fromUtf8(m_logTail.left(end)));
        m_logTail.remove(0, end + 1);
        m_lastLog.append(line);
        if (m_lastLog.size() > kKeptLogLines)
            m_lastLog.removeFirst();
        Q_EMIT logLine(line);
    }
    if (m_logTail.size() > kMaxLogLine)
        m_logTail.clear();
}

void WorkerClient::handle(const Json& event)
{
    // The answer's "id" is the request's, so this end reads the objects itself instead of the run events of core/jobs.
    const JsonReader in(event, "the worker's answer");
    const std::string name = in.string("event");
    const bool textId = in.has("id") && in.value("id").is_string();
    const QString id = toQString(textId ? in.string("id") : in.string("request", ""));
    if (name == "token") {
        if (m_pending.count(id) != 0)
            Q_EMIT token(id, toQString(in.string("text")), in.integer("token_id", -1, INT64_MAX, -1));
    } else if (name == "result") {
        const Json values = in.has("values") ? in.value("values") : Json::object();
        if (m_pending.erase(id) == 0)
            return;
        if (const auto loading = m_loading.find(id); loading != m_loading.end()) {
            m_loadedModel = loading->second;
            m_loading.erase(loading);
        }
        Q_EMIT finished(id, values);
    } else if (name == "error") {
        const Problem problem {toQString(in.string("class", "")), toQString(in.string("message")), toQString(in.string("hint", ""))};
        if (m_pending.erase(id) == 0) {
            Q_EMIT logLine(displayText(problem.text()));
            return;
        }
        // A failed load leaves the worker without a model.
        if (m_loading.erase(id) != 0)
            m_loadedModel.clear();
        Q_EMIT failed(id, problem);
    } else if (name == "progress") {
        if (m_pending.count(id) != 0)
            Q_EMIT progress(id, in.integer("done", 0, INT64_MAX, 0), in.integer("total", 0, INT64_MAX, 0));
    } else if (name == "warning") {
        Q_EMIT logLine(displayText(toQString(in.string("message"))));
    }
}

void WorkerClient::onFinished(int exitCode, QProcess::ExitStatus status)
{
    readEvents();
    readLog();
    m_killTimer.stop();
    const bool asked = m_state == State::Stopping;
    m_loadedModel.clear();
    setState(State::NotRunning);
    if (asked)
        return;
    // On Unix QProcess puts the signal's number into the exit code of a crash.
    ProcessEnd end;
    (status == QProcess::CrashExit ? end.signal : end.exitCode) = exitCode;
    Problem problem = describeProcessEnd(end, tr("The model worker"), m_lastLog);
    if (end.isSuccess())
        problem = {QStringLiteral("crash"), tr("The model worker ended although nobody asked it to."), {}};
    failAll(problem);
    Q_EMIT crashed(problem);
}

void WorkerClient::onError(QProcess::ProcessError error)
{
    if (error != QProcess::FailedToStart)
        return; // a crash is told by `finished`; a failed write means that it is about to come
    const Problem problem {QStringLiteral("resource"),
                           tr("The model worker could not be started: %1.").arg(m_process.errorString()), missingProgramHint()};
    // The caller of `request` may still be on the stack and not know its id yet.
    QTimer::singleShot(0, this, [this, problem] {
        setState(State::NotRunning);
        failAll(problem);
        Q_EMIT crashed(problem);
    });
}

void WorkerClient::failAll(const Problem& problem)
{
    const auto pending = std::exchange(m_pending, {});
    m_loading.clear();
    for (const auto& [id, command] : pending)
        Q_EMIT failed(id, problem);
}

} // namespace postnas
