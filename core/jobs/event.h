// The events that a worker tells about its work: one JSON object a line, typed here for both ends.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/base/error.h"
#include "core/base/json.h"

namespace postnas {

namespace event {

inline constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

/// First event of a worker process (again after each resume).
struct Hello {
    std::map<std::string, std::string> versions; ///< "postnas", "torch", "cuda", ...
    std::string device;                          ///< "cpu (16 threads)", "cuda: NVIDIA H100"
    std::int64_t pid = 0;
    std::string stage; ///< "placement", "pretrain", ...; "worker" for the long-lived form
};

/// A part of the run begins: "training", "heatmap", "beam", "export", ...
struct Stage {
    std::string name;
    std::int64_t index = 0; ///< from 0
    std::int64_t count = 0; ///< 0 when unknown
};

/// How far the current stage is.
struct Progress {
    std::int64_t done = 0;
    std::int64_t total = 0;       ///< 0 when unknown
    std::string unit;             ///< "steps", "items", "tokens"
    double rate = kUnknown;       ///< units per second; NaN when unknown
    double etaSeconds = kUnknown; ///< seconds to the end of the stage; NaN when unknown
};

/// One number of a curve. A repeated (name, step) replaces the earlier value: a resumed run does some steps again.
struct Metric {
    std::string name; ///< "loss", "learning_rate", "tokens_per_second"
    double value = kUnknown;
    std::int64_t step = 0;
};

/// What a placement costs. Negative or NaN: not known.
struct Cost {
    std::int64_t stateBytes = -1; ///< per sequence, at the context length that the run states in its result
    std::int64_t parameters = -1;
    std::optional<double> decodeTokensPerSecond;
};

/// task -> metric -> value, e.g. {"retrieval": {"accuracy": 0.96, "negative_loss": -0.11}}
using Scores = std::map<std::string, std::map<std::string, double>>;

/// One evaluated placement.
struct Candidate {
    std::string id;                     ///< unique in the run; a repeated id replaces the earlier event
    std::vector<std::string> placement; ///< block name of each layer, layer 0 first
    Scores scores;
    Cost cost;
    std::string origin;    ///< "heatmap", "beam", "uniform", "exhaustive", "sliding_window", "teacher", "linear", ...
    std::string objective; ///< the task that guided the search to it; empty for none
    int layer = -1;        ///< heatmap: the layer (from 0) that alone is full; else -1
};

/// One piece of streamed text.
struct Token {
    std::int64_t id = -1; ///< token id; -1 for a last piece that belongs to no single token
    std::string text;     ///< complete UTF-8; may be empty while a sequence is not complete
    std::string model;    ///< which of the loaded models says it
    std::string request;  ///< the id that the request carried
    std::int64_t index = 0;
};

struct Checkpoint {
    std::int64_t step = 0;
    std::string path; ///< relative to the run folder
};

struct Warning {
    std::string message;
    std::string hint;
};

/// Something finished: an artifact and/or values.
struct Result {
    std::string artifact; ///< "heatmap", "search", "hybrid", "generation", ...
    std::string path;     ///< relative to the run folder; may be empty
    Json values = Json::object();
};

struct ErrorEvent {
    std::string errorClass; ///< errorClassName()
    std::string message;
    std::string hint;
    std::string request; ///< for `postnas worker`: the request that failed

    static ErrorEvent from(const Error& error);
};

/// Last event of a worker process.
struct Bye {
    int code = 0;
    std::string reason; ///< "done", "interrupted", "error"
};

/// An event of a newer version: kept, shown in the log, otherwise ignored.
struct Unknown {
    Json json;
};

using Body = std::variant<Hello, Stage, Progress, Metric, Candidate, Token, Checkpoint, Warning, Result, ErrorEvent, Bye, Unknown>;

} // namespace event

/// One line of events.jsonl.
struct Event {
    int version = 1;
    std::int64_t seq = 0; ///< from 1, without holes within one file
    std::string time;     ///< UTC, 2026-01-01T00:00:00.000Z
    event::Body body;
};

/// "hello", "stage", ...; for Unknown the name in the object.
std::string eventName(const event::Body& body);

/// The object of one line: v, seq, t, event, then the fields. NaN and infinities become null.
Json toJson(const Event& event);

/// The reverse of toJson. Unknown event names give event::Unknown; null numbers give NaN. Throws Error(Input) that names
/// `source` and the key when a known event lacks a field or has one of the wrong type.
Event eventFromJson(const Json& json, const std::string& source);

} // namespace postnas
