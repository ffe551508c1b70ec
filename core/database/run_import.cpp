// From run folders into the database, and the queries about runs.
#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "core/base/error.h"
#include "core/database/project_database.h"
#include "core/jobs/event_reader.h"

namespace postnas {
namespace {

using namespace event;

bool isLogged(const Body& body)
{
    return !std::holds_alternative<Progress>(body) && !std::holds_alternative<Metric>(body) && !std::holds_alternative<Candidate>(body)
           && !std::holds_alternative<Token>(body);
}

/// Prepared once for an import; a run has hundreds of thousands of events.
class Importer {
public:
    Importer(Database& database, RunRow& row)
        : m_row(row)
        , m_event(database.prepare("INSERT OR REPLACE INTO events (run, seq, time, name, json) VALUES (?1, ?2, ?3, ?4, ?5)"))
        , m_metric(database.prepare("INSERT INTO metrics (run, name, step, value, time) VALUES (?1, ?2, ?3, ?4, ?5) "
                                    "ON CONFLICT (run, name, step) DO UPDATE SET value = excluded.value, time = excluded.time"))
        , m_dropCandidate(database.prepare("DELETE FROM candidates WHERE run = ?1 AND id = ?2"))
        , m_candidate(database.prepare("INSERT INTO candidates (run, id, seq, placement, origin, objective, layer, state_bytes, parameters, "
                                       "decode_tokens_per_second) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"))
        , m_score(database.prepare("INSERT OR REPLACE INTO scores (candidate, task, metric, value) VALUES (?1, ?2, ?3, ?4)"))
        , m_database(database)
    {
    }

    void add(const Event& event)
    {
        m_row.lastSeq = event.seq;
        m_row.updated = event.time;
        if (m_row.created.empty())
            m_row.created = event.time;
        if (const auto* e = std::get_if<Hello>(&event.body))
            m_row.device = e->device;
        else if (const auto* e = std::get_if<Stage>(&event.body))
            startStage(*e);
        else if (const auto* e = std::get_if<Progress>(&event.body))
            std::tie(m_row.done, m_row.total) = std::pair(e->done, e->total);
        else if (const auto* e = std::get_if<Metric>(&event.body))
            m_metric.bind(1, m_row.id).bind(2, e->name).bind(3, e->step).bind(4, e->value).bind(5, event.time).run();
        else if (const auto* e = std::get_if<Candidate>(&event.body))
            addCandidate(*e, event.seq);
        if (isLogged(event.body))
            m_event.bind(1, m_row.id).bind(2, event.seq).bind(3, event.time).bind(4, eventName(event.body)).bind(5, dumpJson(toJson(event))).run();
    }

private:
    void startStage(const Stage& stage)
    {
        m_row.currentStage = stage.name;
        m_row.done = 0;
        m_row.total = 0;
    }

    void addCandidate(const Candidate& candidate, std::int64_t seq)
    {
        m_dropCandidate.bind(1, m_row.id).bind(2, candidate.id).run();
        m_candidate.bind(1, m_row.id)
            .bind(2, candidate.id)
            .bind(3, seq)
            .bind(4, dumpJson(Json(candidate.placement)))
            .bind(5, candidate.origin)
            .bind(6, candidate.objective)
            .bind(7, candidate.layer)
            .bind(8, candidate.cost.stateBytes)
            .bind(9, candidate.cost.parameters)
            .bind(10, candidate.cost.decodeTokensPerSecond)
            .run();
        const std::int64_t key = m_database.lastInsertId();
        for (const auto& [task, metrics] : candidate.scores)
            for (const auto& [metric, value] : metrics)
                m_score.bind(1, key).bind(2, task).bind(3, metric).bind(4, value).run();
    }

    RunRow& m_row;
    Statement m_event;
    Statement m_metric;
    Statement m_dropCandidate;
    Statement m_candidate;
    Statement m_score;
    Database& m_database;
};

const char* const kRunColumns = "id, stage, created, updated, device, last_seq, bad_lines, exit_code, exit_reason, resumable, current_stage, "
                                "done, total, note, last_offset";

RunRow readRun(const Statement& query)
{
    RunRow row;
    row.id = query.text(0);
    row.stage = query.text(1);
    row.created = query.text(2);
    row.updated = query.text(3);
    row.device = query.text(4);
    row.lastSeq = query.integer(5);
    row.badLines = query.integer(6);
    if (!query.isNull(7))
        row.exitCode = static_cast<int>(query.integer(7));
    row.exitReason = query.text(8);
    row.resumable = query.integer(9) != 0;
    row.currentStage = query.text(10);
    row.done = query.integer(11);
    row.total = query.integer(12);
    row.note = query.text(13);
    return row;
}

void saveRun(Database& database, const RunRow& row, std::int64_t offset)
{
    database
        .prepare("UPDATE runs SET stage = ?2, created = ?3, updated = ?4, device = ?5, last_seq = ?6, bad_lines = ?7, exit_code = ?8, "
                 "exit_reason = ?9, resumable = ?10, current_stage = ?11, done = ?12, total = ?13, last_offset = ?14 WHERE id = ?1")
        .bind(1, row.id)
        .bind(2, row.stage)
        .bind(3, row.created)
        .bind(4, row.updated)
        .bind(5, row.device)
        .bind(6, row.lastSeq)
        .bind(7, row.badLines)
        .bind(8, row.exitCode)
        .bind(9, row.exitReason)
        .bind(10, row.resumable ? 1 : 0)
        .bind(11, row.currentStage)
        .bind(12, row.done)
        .bind(13, row.total)
        .bind(14, offset)
        .run();
}

} // namespace

std::int64_t ProjectDatabase::importRun(const RunFolder& run)
{
    Database& database = *m_database;
    std::int64_t imported = 0;
    // Each round is one transaction: events and the position behind them become visible together or not at all.
    for (bool more = true; more;) {
        Transaction transaction(database);
        database
            .prepare("INSERT OR IGNORE INTO runs (id, stage, created, updated, device, last_seq, last_offset, bad_lines, exit_code, exit_reason, "
                     "resumable, current_stage, done, total, note) VALUES (?1, ?2, '', '', '', 0, 0, 0, NULL, '', 0, '', 0, 0, '')")
            .bind(1, run.id())
            .bind(2, run.stage())
            .run();
        std::int64_t offset = 0;
        RunRow row;
        {
            Statement query = database.prepare(std::string("SELECT ") + kRunColumns + " FROM runs WHERE id = ?1");
            query.bind(1, run.id()).step();
            row = readRun(query);
            offset = query.integer(14);
        }
        EventReader reader(run.eventsFile(), offset);
        const std::vector<Event> events = reader.readNew();
        if (reader.restarts() > 0) {
            // The file is not the one that was imported: begin again.
            forgetEvents(run.id());
            transaction.commit();
            imported = 0;
            continue;
        }
        {
            Importer importer(database, row);
            for (const Event& event : events) {
                if (event.seq <= row.lastSeq)
                    continue;
                importer.add(event);
                ++imported;
            }
        }
        more = reader.offset() > offset;
        row.badLines += reader.badLines();
        const auto exit = run.readExit();
        row.exitCode = exit ? std::optional<int>(exit->code) : std::nullopt;
        row.exitReason = exit ? exit->reason : std::string();
        row.resumable = exit && exit->resumable;
        saveRun(database, row, reader.offset());
        transaction.commit();
    }
    return imported;
}

void ProjectDatabase::forgetEvents(const std::string& run)
{
    for (const char* sql : {"DELETE FROM events WHERE run = ?1", "DELETE FROM metrics WHERE run = ?1", "DELETE FROM candidates WHERE run = ?1",
                            "UPDATE runs SET created = '', updated = '', last_seq = 0, last_offset = 0, bad_lines = 0 WHERE id = ?1"})
        m_database->prepare(sql).bind(1, run).run();
}

void ProjectDatabase::removeRun(const std::string& id) { m_database->prepare("DELETE FROM runs WHERE id = ?1").bind(1, id).run(); }

std::vector<std::string> ProjectDatabase::rebuild(const Project& project)
{
    std::vector<std::string> problems;
    // What the user wrote about runs is the one thing here that the folders do not have.
    std::vector<std::pair<std::string, std::string>> notes;
    for (const RunRow& row : runs())
        if (!row.note.empty())
            notes.emplace_back(row.id, row.note);
    m_database->execute("DELETE FROM runs");
    for (const RunListing& listing : project.runs()) {
        try {
            if (!listing.problem.empty())
                throw inputError(listing.problem);
            importRun(RunFolder::open(listing.folder));
        } catch (const Error& error) {
            if (error.errorClass() != ErrorClass::Input)
                throw;
            problems.emplace_back(error.what());
        }
    }
    for (const auto& [id, note] : notes)
        setRunNote(id, note);
    return problems;
}

std::vector<RunRow> ProjectDatabase::runs()
{
    Statement query = m_database->prepare(std::string("SELECT ") + kRunColumns + " FROM runs ORDER BY id");
    std::vector<RunRow> out;
    while (query.step())
        out.push_back(readRun(query));
    return out;
}

std::optional<RunRow> ProjectDatabase::run(const std::string& id)
{
    Statement query = m_database->prepare(std::string("SELECT ") + kRunColumns + " FROM runs WHERE id = ?1");
    query.bind(1, id);
    if (!query.step())
        return std::nullopt;
    return readRun(query);
}

void ProjectDatabase::setRunNote(const std::string& id, const std::string& note)
{
    m_database->prepare("UPDATE runs SET note = ?2 WHERE id = ?1").bind(1, id).bind(2, note).run();
}

std::vector<std::string> ProjectDatabase::metricNames(const std::string& run)
{
    Statement query = m_database->prepare("SELECT DISTINCT name FROM metrics WHERE run = ?1 ORDER BY name");
    query.bind(1, run);
    std::vector<std::string> out;
    while (query.step())
        out.push_back(query.text(0));
    return out;
}

std::vector<MetricRow> ProjectDatabase::metrics(const std::string& run, const std::string& name, std::int64_t afterStep)
{
    Statement query = m_database->prepare("SELECT step, value, time FROM metrics WHERE run = ?1 AND name = ?2 AND step > ?3 ORDER BY step");
    query.bind(1, run).bind(2, name).bind(3, afterStep);
    std::vector<MetricRow> out;
    while (query.step())
        out.push_back({query.integer(0), query.real(1), query.text(2)});
    return out;
}

std::vector<CandidateRow> ProjectDatabase::candidates(const std::string& run, const std::string& origin, std::int64_t afterSeq)
{
    Statement query = m_database->prepare("SELECT key, id, seq, placement, origin, objective, layer, state_bytes, parameters, "
                                          "decode_tokens_per_second FROM candidates WHERE run = ?1 AND (?2 = '' OR origin = ?2) AND seq > ?3 "
                                          "ORDER BY seq");
    query.bind(1, run).bind(2, origin).bind(3, afterSeq);
    std::vector<CandidateRow> out;
    while (query.step()) {
        CandidateRow row;
        row.run = run;
        row.seq = query.integer(2);
        Candidate& c = row.candidate;
        c.id = query.text(1);
        const Json placement = parseJson(query.text(3), "the project database");
        for (const Json& block : placement)
            c.placement.push_back(block.is_string() ? block.get<std::string>() : std::string());
        c.origin = query.text(4);
        c.objective = query.text(5);
        c.layer = static_cast<int>(query.integer(6));
        c.cost.stateBytes = query.integer(7);
        c.cost.parameters = query.integer(8);
        if (!query.isNull(9))
            c.cost.decodeTokensPerSecond = query.real(9);
        Statement scores = m_database->prepare("SELECT task, metric, value FROM scores WHERE candidate = ?1");
        scores.bind(1, query.integer(0));
        while (scores.step())
            c.scores[scores.text(0)][scores.text(1)] = scores.real(2);
        out.push_back(std::move(row));
    }
    return out;
}

std::vector<HeatmapRow> ProjectDatabase::heatmap(const std::string& run)
{
    Statement query = m_database->prepare("SELECT c.layer, s.task, s.metric, s.value FROM candidates c JOIN scores s ON s.candidate = c.key "
                                          "WHERE c.run = ?1 AND c.layer >= 0 ORDER BY s.task, s.metric, c.layer, c.seq");
    query.bind(1, run);
    std::vector<HeatmapRow> out;
    while (query.step()) {
        HeatmapRow cell {static_cast<int>(query.integer(0)), query.text(1), query.text(2), query.real(3)};
        // A layer that was scored again under another id: the later one counts.
        if (!out.empty() && out.back().layer == cell.layer && out.back().task == cell.task && out.back().metric == cell.metric)
            out.back() = std::move(cell);
        else
            out.push_back(std::move(cell));
    }
    return out;
}

std::vector<EventRow> ProjectDatabase::events(const std::string& run, std::int64_t afterSeq, int limit)
{
    Statement query = m_database->prepare("SELECT seq, time, name, json FROM events WHERE run = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3");
    query.bind(1, run).bind(2, afterSeq).bind(3, limit);
    std::vector<EventRow> out;
    while (query.step())
        out.push_back({query.integer(0), query.text(1), query.text(2), parseJson(query.text(3), "the project database")});
    return out;
}

} // namespace postnas
