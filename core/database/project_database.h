// The workbench's database of a project: an index over the run folders, plus chats, benchmarks and settings.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/database/database.h"
#include "core/jobs/event.h"
#include "core/project/project.h"

namespace postnas {

struct RunRow {
    std::string id;
    std::string stage;
    std::string created; ///< time of the first event; empty when there was none yet
    std::string updated; ///< time of the last event
    std::string device;
    std::int64_t lastSeq = 0;
    std::int64_t badLines = 0; ///< lines of events.jsonl that were no events
    std::optional<int> exitCode;
    std::string exitReason;
    bool resumable = false;
    std::string currentStage; ///< last `stage` event
    std::int64_t done = 0;    ///< last `progress` event
    std::int64_t total = 0;
    std::string note; ///< the user's own words
};

struct MetricRow {
    std::int64_t step = 0;
    double value = 0; ///< NaN when it was null
    std::string time;
};

struct CandidateRow {
    std::string run;
    std::int64_t seq = 0;
    event::Candidate candidate;
};

struct HeatmapRow {
    int layer = 0; ///< from 0
    std::string task;
    std::string metric;
    double value = 0;
};

/// Log lines worth showing: warning, error, checkpoint, result, stage, hello, bye.
struct EventRow {
    std::int64_t seq = 0;
    std::string time;
    std::string name;
    Json json;
};

struct BenchmarkRow {
    std::int64_t id = 0;
    std::string created;
    std::string kind;    ///< "throughput", "kernels"
    std::string subject; ///< model folder or placement id
    Json values = Json::object();
};

struct ConversationRow {
    std::int64_t id = 0;
    std::string title;
    std::string created;
    std::string updated;
    Json settings = Json::object(); ///< models, sampling, layout
};

struct MessageRow {
    std::int64_t id = 0;
    std::int64_t conversation = 0;
    int column = 0;    ///< which of the models side by side; -1: said to all
    std::string role;  ///< "system", "user", "assistant"
    std::string text;
    std::string model;
    std::string created;
    Json values = Json::object(); ///< tokens, tokens_per_second, state_bytes, ...
};

/// Use from one thread. Everything about runs can be rebuilt from the run folders; chats, benchmarks and settings live only here.
class ProjectDatabase {
public:
    /// Opens or makes `file`, migrates it, and checks it. A corrupted file is moved aside to FILE.corrupt-<time>, a new one
    /// is made, and what was readable of chats, benchmarks and settings is carried over; `notice()` then says so, and
    /// `rebuild` must be called to fill in the runs.
    explicit ProjectDatabase(const std::filesystem::path& file);
    /// The database of `project`, with every run imported.
    static std::unique_ptr<ProjectDatabase> openFor(const Project& project);
    ~ProjectDatabase();

    /// A sentence for the user about a repair or a migration; empty when nothing happened.
    const std::string& notice() const { return m_notice; }
    Database& connection() { return *m_database; }

    // --- runs
    /// Reads what is new in the run folder (from the last known byte and number). Idempotent. Returns how many new events.
    std::int64_t importRun(const RunFolder& run);
    /// Drops and imports again all runs of the project; runs whose folder is gone vanish. Returns sentences about broken ones.
    std::vector<std::string> rebuild(const Project& project);
    void removeRun(const std::string& id);
    std::vector<RunRow> runs();
    std::optional<RunRow> run(const std::string& id);
    void setRunNote(const std::string& id, const std::string& note);
    std::vector<std::string> metricNames(const std::string& run);
    std::vector<MetricRow> metrics(const std::string& run, const std::string& name, std::int64_t afterStep = -1);
    /// In the order of their events. `origin` and `afterSeq` narrow it.
    std::vector<CandidateRow> candidates(const std::string& run, const std::string& origin = {}, std::int64_t afterSeq = 0);
    std::vector<HeatmapRow> heatmap(const std::string& run);
    std::vector<EventRow> events(const std::string& run, std::int64_t afterSeq = 0, int limit = 1000);

    // --- benchmarks
    std::int64_t addBenchmark(const BenchmarkRow& row); ///< `created` is filled in when empty
    std::vector<BenchmarkRow> benchmarks(const std::string& kind = {});

    // --- chats
    std::int64_t addConversation(const std::string& title, const Json& settings);
    void updateConversation(std::int64_t id, const std::string& title, const Json& settings);
    void removeConversation(std::int64_t id);
    std::vector<ConversationRow> conversations(); ///< last used first
    std::int64_t addMessage(const MessageRow& row);
    std::vector<MessageRow> messages(std::int64_t conversation);

    // --- layouts and other settings
    void setSetting(const std::string& key, const Json& value);
    Json setting(const std::string& key, const Json& fallback = nullptr);
    void removeSetting(const std::string& key);

private:
    void open(const std::filesystem::path& file);
    void forgetEvents(const std::string& run);
    std::unique_ptr<Database> m_database;
    std::string m_notice;
};

} // namespace postnas
