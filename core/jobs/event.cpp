// Events to JSON and back.
#include "core/jobs/event.h"

#include <cmath>
#include <type_traits>

namespace postnas {
namespace {

using namespace event;

constexpr std::int64_t kMaxInteger = std::int64_t {1} << 53;
constexpr std::size_t kMaxLayers = 4096;

/// Adds a key that is known to be new; looking for it first would make objects of many keys quadratic.
void append(Json& object, const std::string& key, Json value)
{
    object.get_ref<Json::object_t&>().emplace_back(key, std::move(value));
}

Json numberOrNull(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

double numberOrNan(const JsonReader& in, const std::string& key)
{
    return in.number(key, -std::numeric_limits<double>::max(), std::numeric_limits<double>::max(), kUnknown);
}

std::int64_t count(const JsonReader& in, const std::string& key, std::int64_t fallback = 0)
{
    return in.integer(key, -1, kMaxInteger, fallback);
}

void fields(const Hello& e, Json& out)
{
    Json versions = Json::object();
    for (const auto& [name, version] : e.versions)
        append(versions, name, version);
    out["versions"] = std::move(versions);
    out["device"] = e.device;
    out["pid"] = e.pid;
    out["stage"] = e.stage;
}

void fields(const Stage& e, Json& out)
{
    out["name"] = e.name;
    out["index"] = e.index;
    out["count"] = e.count;
}

void fields(const Progress& e, Json& out)
{
    out["done"] = e.done;
    out["total"] = e.total;
    out["unit"] = e.unit;
    out["rate"] = numberOrNull(e.rate);
    out["eta"] = numberOrNull(e.etaSeconds);
}

void fields(const Metric& e, Json& out)
{
    out["name"] = e.name;
    out["value"] = numberOrNull(e.value);
    out["step"] = e.step;
}

void fields(const Candidate& e, Json& out)
{
    out["id"] = e.id;
    out["placement"] = e.placement;
    Json scores = Json::object();
    for (const auto& [task, metrics] : e.scores) {
        Json entry = Json::object();
        for (const auto& [metric, value] : metrics)
            append(entry, metric, numberOrNull(value));
        append(scores, task, std::move(entry));
    }
    out["scores"] = std::move(scores);
    Json cost = Json::object();
    if (e.cost.stateBytes >= 0)
        cost["state_bytes"] = e.cost.stateBytes;
    if (e.cost.parameters >= 0)
        cost["parameters"] = e.cost.parameters;
    if (e.cost.decodeTokensPerSecond)
        cost["decode_tokens_per_second"] = numberOrNull(*e.cost.decodeTokensPerSecond);
    out["cost"] = std::move(cost);
    out["origin"] = e.origin;
    out["objective"] = e.objective;
    if (e.layer >= 0)
        out["layer"] = e.layer;
}

void fields(const Token& e, Json& out)
{
    out["id"] = e.id;
    out["text"] = e.text;
    out["model"] = e.model;
    out["request"] = e.request;
    out["index"] = e.index;
}

void fields(const Checkpoint& e, Json& out)
{
    out["step"] = e.step;
    out["path"] = e.path;
}

void fields(const Warning& e, Json& out)
{
    out["message"] = e.message;
    out["hint"] = e.hint;
}

void fields(const Result& e, Json& out)
{
    out["artifact"] = e.artifact;
    out["path"] = e.path;
    out["values"] = e.values;
}

void fields(const ErrorEvent& e, Json& out)
{
    out["class"] = e.errorClass;
    out["message"] = e.message;
    out["hint"] = e.hint;
    if (!e.request.empty())
        out["request"] = e.request;
}

void fields(const Bye& e, Json& out)
{
    out["code"] = e.code;
    out["reason"] = e.reason;
}

void fields(const Unknown& e, Json& out)
{
    if (!e.json.is_object())
        return;
    for (const auto& [key, value] : e.json.items())
        if (key != "v" && key != "seq" && key != "t" && key != "event")
            append(out, key, value);
}

Hello readHello(const JsonReader& in)
{
    Hello e;
    if (in.has("versions"))
        for (const auto& [name, version] : in.object("versions").json().items())
            e.versions[name] = version.is_string() ? version.get<std::string>() : dumpJson(version);
    e.device = in.string("device", "");
    e.pid = count(in, "pid");
    e.stage = in.string("stage", "");
    return e;
}

Candidate readCandidate(const JsonReader& in)
{
    Candidate e;
    e.id = in.string("id");
    e.placement = in.strings("placement");
    if (e.placement.size() > kMaxLayers)
        in.fail("placement", "has more than " + std::to_string(kMaxLayers) + " layers");
    if (in.has("scores")) {
        // The values as they stand in the object: looking each up by its key would be quadratic in a hostile line.
        const JsonReader scores = in.object("scores");
        for (const auto& [task, metrics] : scores.json().items()) {
            const JsonReader entry(metrics, in.source(), "scores." + task);
            for (const auto& [metric, value] : metrics.items()) {
                if (!value.is_number() && !value.is_null())
                    entry.fail(metric, "must be a number");
                e.scores[task][metric] = value.is_null() ? kUnknown : value.get<double>();
            }
        }
    }
    if (in.has("cost")) {
        const JsonReader cost = in.object("cost");
        e.cost.stateBytes = count(cost, "state_bytes", -1);
        e.cost.parameters = count(cost, "parameters", -1);
        if (cost.has("decode_tokens_per_second"))
            e.cost.decodeTokensPerSecond = cost.number("decode_tokens_per_second", 0, 1e15);
    }
    e.origin = in.string("origin", "");
    e.objective = in.string("objective", "");
    e.layer = static_cast<int>(in.integer("layer", -1, static_cast<std::int64_t>(kMaxLayers), -1));
    return e;
}

Body readBody(const std::string& name, const JsonReader& in)
{
    if (name == "hello")
        return readHello(in);
    if (name == "stage")
        return Stage {in.string("name"), count(in, "index"), count(in, "count")};
    if (name == "progress")
        return Progress {count(in, "done"), count(in, "total"), in.string("unit", ""), numberOrNan(in, "rate"), numberOrNan(in, "eta")};
    if (name == "metric")
        return Metric {in.string("name"), numberOrNan(in, "value"), count(in, "step")};
    if (name == "candidate")
        return readCandidate(in);
    if (name == "token")
        return Token {count(in, "id", -1), in.string("text"), in.string("model", ""), in.string("request", ""), count(in, "index")};
    if (name == "checkpoint")
        return Checkpoint {count(in, "step"), in.string("path", "")};
    if (name == "warning")
        return Warning {in.string("message"), in.string("hint", "")};
    if (name == "result")
        return Result {in.string("artifact", ""), in.string("path", ""), in.has("values") ? in.value("values") : Json::object()};
    if (name == "error")
        return ErrorEvent {in.string("class", ""), in.string("message"), in.string("hint", ""), in.string("request", "")};
    if (name == "bye")
        return Bye {static_cast<int>(in.integer("code", -1, 255)), in.string("reason", "")};
    return Unknown {in.json()};
}

template <typename T>
const char* nameOf()
{
    if constexpr (std::is_same_v<T, Hello>)
        return "hello";
    else if constexpr (std::is_same_v<T, Stage>)
        return "stage";
    else if constexpr (std::is_same_v<T, Progress>)
        return "progress";
    else if constexpr (std::is_same_v<T, Metric>)
        return "metric";
    else if constexpr (std::is_same_v<T, Candidate>)
        return "candidate";
    else if constexpr (std::is_same_v<T, Token>)
        return "token";
    else if constexpr (std::is_same_v<T, Checkpoint>)
        return "checkpoint";
    else if constexpr (std::is_same_v<T, Warning>)
        return "warning";
    else if constexpr (std::is_same_v<T, Result>)
        return "result";
    else if constexpr (std::is_same_v<T, ErrorEvent>)
        return "error";
    else if constexpr (std::is_same_v<T, Bye>)
        return "bye";
    else
        return "unknown";
}

} // namespace

event::ErrorEvent event::ErrorEvent::from(const Error& error)
{
    return {errorClassName(error.errorClass()), error.what(), error.hint(), {}};
}

std::string eventName(const event::Body& body)
{
    if (const auto* unknown = std::get_if<Unknown>(&body)) {
        if (unknown->json.is_object()) {
            const auto it = unknown->json.find("event");
            if (it != unknown->json.end() && it->is_string())
                return it->get<std::string>();
        }
        return "unknown";
    }
    return std::visit([](const auto& e) -> std::string { return nameOf<std::decay_t<decltype(e)>>(); }, body);
}

Json toJson(const Event& event)
{
    Json out = Json::object();
    out["v"] = event.version;
    out["seq"] = event.seq;
    out["t"] = event.time;
    out["event"] = eventName(event.body);
    std::visit([&](const auto& e) { fields(e, out); }, event.body);
    return out;
}

Event eventFromJson(const Json& json, const std::string& source)
{
    const JsonReader in(json, source);
    Event event;
    event.version = static_cast<int>(in.integer("v", 1, 1'000'000));
    event.seq = in.integer("seq", 1, kMaxInteger);
    event.time = in.string("t", "");
    const std::string name = in.string("event");
    // A later version may have given a known name other fields; only what fits is taken as known.
    if (event.version > 1) {
        try {
            event.body = readBody(name, in);
        } catch (const Error&) {
            event.body = Unknown {json};
        }
    } else {
        event.body = readBody(name, in);
    }
    return event;
}

} // namespace postnas
