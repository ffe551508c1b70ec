// `postnas worker`: one model behind a stream of JSON requests; the protocol is in docs/worker-protocol.md.
#include <condition_variable>
#include <deque>
#include <iostream>
#include <mutex>
#include <set>
#include <thread>

#include <unistd.h>

#include "app/cli/commands.h"
#include "app/cli/conversation.h"
#include "app/cli/generation_json.h"
#include "app/cli/model_options.h"
#include "core/architecture/model_summary.h"
#include "core/huggingface/model_config.h"
#include "core/jobs/event_writer.h"

namespace postnas {
namespace {

constexpr std::size_t kMaxRequestBytes = 16u << 20;

/// An answer to a request: its "id" is the request's, unlike the events of a run.
void reply(EventWriter& events, const std::string& name, const std::string& id, const Json& fields)
{
    Json json = {{"event", name}, {"id", id}};
    json.update(fields);
    events.write(event::Unknown {std::move(json)});
}

void replyError(EventWriter& events, const std::string& id, const Error& error)
{
    reply(events, "error", id, {{"class", errorClassName(error.errorClass())}, {"message", error.what()}, {"hint", error.hint()}});
}

struct Request {
    std::string id;
    std::string command;
    Json json;
};

/// Reads requests in a thread of its own, so that a cancel is heard while the model works.
class RequestQueue {
public:
    explicit RequestQueue(EventWriter& events)
        : m_events(events)
    {
    }

    void readAll()
    {
        std::string line;
        while (std::getline(std::cin, line)) {
            if (line.empty())
                continue;
            accept(line);
        }
        push({"", "shutdown", Json::object()});
    }

    Request pop()
    {
        std::unique_lock lock(m_mutex);
        m_ready.wait(lock, [&] { return !m_queue.empty(); });
        Request request = std::move(m_queue.front());
        m_queue.pop_front();
        m_running = request.id;
        m_token = CancellationToken();
        if (m_cancelled.erase(request.id) > 0)
            m_token.cancel();
        return request;
    }

    CancellationToken token()
    {
        const std::lock_guard lock(m_mutex);
        return m_token;
    }

private:
    void accept(const std::string& line)
    {
        Request request;
        try {
            if (line.size() > kMaxRequestBytes)
                throw usageError("a request line is longer than " + std::to_string(kMaxRequestBytes) + " bytes");
            request.json = parseJson(line, "request");
            const JsonReader reader(request.json, "request");
            request.id = reader.string("id", "");
            request.command = reader.string("command");
            if (request.command == "cancel") {
                cancel(reader.string("target"));
                return;
            }
        } catch (const Error& error) {
            replyError(m_events, request.id, error);
            return;
        }
        push(std::move(request));
    }

    void push(Request request)
    {
        const std::lock_guard lock(m_mutex);
        if (request.command == "shutdown")
            m_token.cancel();
        m_queue.push_back(std::move(request));
        m_ready.notify_one();
    }

    void cancel(const std::string& target)
    {
        const std::lock_guard lock(m_mutex);
        if (target == m_running) {
            m_token.cancel();
            return;
        }
        for (const Request& waiting : m_queue)
            if (waiting.id == target)
                m_cancelled.insert(target);
    }

    EventWriter& m_events;
    std::mutex m_mutex;
    std::condition_variable m_ready;
    std::deque<Request> m_queue;
    std::set<std::string> m_cancelled;
    std::string m_running;
    CancellationToken m_token;
};

class Worker {
public:
    explicit Worker(int descriptor)
        : m_events(descriptor)
        , m_queue(m_events)
    {
    }

    void run()
    {
        m_events.write(event::Hello {engine::versions(), engine::describeDevice(engine::resolveDevice("auto")), ::getpid(), "worker"});
        std::thread(&RequestQueue::readAll, &m_queue).detach();
        while (true) {
            const Request request = m_queue.pop();
            if (request.command == "shutdown")
                break;
            try {
                serve(request);
            } catch (const Error& error) {
                fail(request, error);
            } catch (const std::bad_alloc&) {
                fail(request, resourceError("memory ran out", "Use a smaller model or a shorter text."));
            } catch (const std::exception& error) {
                const std::string what = error.what();
                fail(request, internalError(what.substr(0, what.find('\n'))));
            }
        }
        m_events.write(event::Bye {0, "done"});
    }

private:
    void fail(const Request& request, const Error& error) { replyError(m_events, request.id, error); }
    void answer(const Request& request, const Json& values) { reply(m_events, "result", request.id, {{"values", values}}); }

    engine::LanguageModel& model()
    {
        if (!m_model)
            throw usageError("no model is loaded", "Send a load request first.");
        return *m_model;
    }

    void serve(const Request& request)
    {
        const JsonReader in(request.json, "request");
        if (request.command == "load")
            load(request, in);
        else if (request.command == "generate")
            generate(request, in);
        else if (request.command == "inspect")
            answer(request, modelSummary(readModelConfig(in.string("model")), in.integer("context", 1, std::int64_t {1} << 40, 65536)));
        else if (request.command == "measure")
            measure(request, in);
        else
            throw usageError("command \"" + request.command + "\" is unknown", "Known commands: load, generate, cancel, inspect, measure, shutdown.");
    }

    void load(const Request& request, const JsonReader& in)
    {
        m_model.reset(); // before the new one, so that both never need memory at once
        const auto start = std::chrono::steady_clock::now();
        m_model = engine::LanguageModel::open(in.string("model"), {in.string("device", "auto"), in.string("dtype", "auto")});
        for (const std::string& warning : m_model->warnings())
            m_events.write(event::Warning {warning, {}});
        Json blocks = Json::array();
        for (const LayerSpec& layer : m_model->architecture().layers)
            blocks.push_back(layer.block);
        answer(request, {{"model", in.string("model")},
                {"model_type", m_model->architecture().modelType},
                {"parameters", parameterCount(m_model->architecture())},
                {"layers", blocks},
                {"device", m_model->device()},
                {"dtype", m_model->dtype()},
                {"load_seconds", std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()}});
    }

    void generate(const Request& request, const JsonReader& in)
    {
        engine::LanguageModel& model = this->model();
        engine::GenerateOptions options = model.defaultGenerateOptions();
        options.maxNewTokens = in.integer("max_new_tokens", 0, 1 << 24, 256);
        options.sampling.temperature = in.number("temperature", 0, 1e6, 0);
        options.sampling.topK = in.integer("top_k", 0, 1 << 30, 0);
        options.sampling.topP = in.number("top_p", 0, 1, 1);
        options.sampling.minP = in.number("min_p", 0, 1, 0);
        options.sampling.repetitionPenalty = in.number("repetition_penalty", 1e-6, 1e6, 1);
        options.sampling.seed = static_cast<std::uint64_t>(in.integer("seed", 0, INT64_MAX, 0));
        if (in.has("stop"))
            options.stopStrings = in.strings("stop");
        std::vector<std::int64_t> prompt;
        if (in.has("messages")) {
            prompt = conversationIds(model, in.value("messages"));
        } else {
            if (model.tokenizer() == nullptr)
                throw inputError(model.folder().string() + ": there is no tokenizer.json, so text cannot be read");
            const auto ids = model.tokenizer()->encode(in.string("prompt"));
            prompt.assign(ids.begin(), ids.end());
        }
        const auto result = model.generate(prompt, options, [&](const engine::StreamPiece& piece) {
            reply(m_events, "token", request.id, {{"token_id", piece.tokenId}, {"text", piece.text}});
            return true;
        }, m_queue.token());
        answer(request, toJson(result));
    }

    /// Decoding speed after each of the given context lengths.
    void measure(const Request& request, const JsonReader& in)
    {
        const std::int64_t batch = in.integer("batch", 1, 4096, 1);
        Json measured = Json::array();
        const Json& contexts = in.value("contexts");
        if (!contexts.is_array() || contexts.empty() || contexts.size() > 64)
            in.fail("contexts", "must be a list of 1 to 64 numbers of tokens");
        for (const Json& context : contexts) {
            if (!context.is_number_integer() || context.get<std::int64_t>() < 1 || context.get<std::int64_t>() > (1 << 24))
                in.fail("contexts", "must be a list of numbers of tokens");
            measured.push_back({{"context", context}, {"decode_tokens_per_second", model().measureDecode(context.get<std::int64_t>(), batch, 16)}});
        }
        answer(request, {{"batch", batch}, {"decode_tokens_per_second", measured.front()["decode_tokens_per_second"]}, {"measured", measured}});
    }

    EventWriter m_events;
    RequestQueue m_queue;
    std::unique_ptr<engine::LanguageModel> m_model;
};

} // namespace

void addWorkerCommand(CLI::App& app)
{
    CLI::App* command = app.add_subcommand("worker", "Serves JSON requests on standard input, with events on standard output");
    const auto threads = std::make_shared<int>(0);
    command->add_option("--threads", *threads, "CPU threads; 0: as many as there are")->capture_default_str()->check(CLI::Range(0, 4096));
    command->callback([threads] {
        const ProtocolStream stream;
        engine::initialiseRuntime(*threads);
        Worker(stream.descriptor()).run();
        // The reading thread may sit in a read that never ends; the process goes without waiting for it.
        ::fsync(stream.descriptor());
        ::_exit(0);
    });
}

} // namespace postnas
