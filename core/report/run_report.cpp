// Collecting of what runs found.
#include "core/report/run_report.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "core/base/error.h"
#include "core/jobs/event_reader.h"

namespace postnas {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kMaxNotes = 200;
constexpr std::size_t kMaxScoreColumns = 256; ///< every candidate has a cell in each, so a hostile log must not choose their number

void addNote(RunReport& report, const std::string& note)
{
    if (report.notes.size() < kMaxNotes)
        report.notes.push_back(note);
}

void addEvent(RunReport& report, std::map<std::string, std::size_t>& known, const Event& event)
{
    if (report.started.empty())
        report.started = event.time;
    report.ended = event.time;
    if (const auto* hello = std::get_if<event::Hello>(&event.body)) {
        report.device = hello->device;
    } else if (const auto* metric = std::get_if<event::Metric>(&event.body)) {
        report.lastMetrics[metric->name] = *metric;
    } else if (const auto* candidate = std::get_if<event::Candidate>(&event.body)) {
        const auto [it, fresh] = known.try_emplace(candidate->id, report.candidates.size());
        if (fresh)
            report.candidates.push_back(*candidate);
        else
            report.candidates[it->second] = *candidate;
    } else if (const auto* result = std::get_if<event::Result>(&event.body)) {
        report.results.push_back(*result);
    } else if (const auto* warning = std::get_if<event::Warning>(&event.body)) {
        addNote(report, "warning: " + warning->message);
    } else if (const auto* error = std::get_if<event::ErrorEvent>(&event.body)) {
        addNote(report, "error: " + error->message);
    }
}

void readComparison(const RunFolder& run, RunReport& report)
{
    const fs::path file = run.artifactsFolder() / "results.json";
    std::error_code code;
    if (!fs::exists(file, code))
        return;
    try {
        const Json json = readJsonFile(file);
        const JsonReader in(json, file.string());
        if (in.has("comparison") && in.value("comparison").is_array())
            report.comparison = in.value("comparison");
    } catch (const Error& error) {
        addNote(report, error.what());
    }
}

Cell textCell(const std::string& text) { return text.empty() ? Cell() : Cell(text); }
Cell sizeCell(std::int64_t value) { return value < 0 ? Cell() : Cell(value); }

/// A number of an artifact; nothing when it is missing or something else.
Cell jsonCell(const Json& object, const std::string& key)
{
    const auto it = object.find(key);
    if (it == object.end() || !(it->is_number() || it->is_string()))
        return {};
    if (it->is_string())
        return it->get<std::string>();
    if (it->is_number_integer())
        return it->get<std::int64_t>();
    return it->get<double>();
}

std::string layersWhere(const std::vector<std::string>& placement, const std::string& block)
{
    std::string out;
    for (std::size_t i = 0; i < placement.size(); ++i)
        if (placement[i] == block)
            out += (out.empty() ? "" : " ") + std::to_string(i);
    return out;
}

std::string joinBlocks(const std::vector<std::string>& placement)
{
    std::string out;
    for (const std::string& block : placement)
        out += (out.empty() ? "" : " ") + block;
    return out;
}

/// Rows of one table for one run; the shared columns are known before.
class TableBuilder {
public:
    TableBuilder(const Report& report, std::string name, std::string title, std::vector<std::string> columns)
        : m_several(report.runs.size() > 1)
    {
        m_table.name = std::move(name);
        m_table.title = std::move(title);
        if (m_several)
            columns.insert(columns.begin(), "run");
        m_table.columns = std::move(columns);
    }
    void add(const RunReport& run, std::vector<Cell> cells)
    {
        if (m_several)
            cells.insert(cells.begin(), run.id);
        m_table.rows.push_back(std::move(cells));
    }
    void shadeFrom(std::size_t column)
    {
        m_table.shaded.assign(m_table.columns.size(), false);
        for (std::size_t i = column + (m_several ? 1 : 0); i < m_table.columns.size(); ++i)
            m_table.shaded[i] = true;
    }
    void appendTo(std::vector<Table>& tables)
    {
        if (!m_table.rows.empty())
            tables.push_back(std::move(m_table));
    }

private:
    bool m_several;
    Table m_table;
};

using ScoreColumns = std::vector<std::pair<std::string, std::string>>;

ScoreColumns scoreColumns(const Report& report)
{
    std::set<std::pair<std::string, std::string>> seen;
    for (const RunReport& run : report.runs)
        for (const event::Candidate& candidate : run.candidates)
            for (const auto& [task, metrics] : candidate.scores)
                for (const auto& entry : metrics)
                    if (seen.size() < kMaxScoreColumns)
                        seen.emplace(task, entry.first);
    return {seen.begin(), seen.end()};
}

void appendScores(std::vector<Cell>& cells, const event::Candidate& candidate, const ScoreColumns& columns)
{
    for (const auto& [task, metric] : columns) {
        Cell cell;
        if (const auto scores = candidate.scores.find(task); scores != candidate.scores.end())
            if (const auto found = scores->second.find(metric); found != scores->second.end() && std::isfinite(found->second))
                cell = found->second;
        cells.push_back(std::move(cell));
    }
}

std::vector<std::string> withScores(std::vector<std::string> columns, const ScoreColumns& scores)
{
    for (const auto& [task, metric] : scores)
        columns.push_back(task + " " + metric);
    return columns;
}

void addRunTable(const Report& report, std::vector<Table>& tables)
{
    Table table {"runs", "Runs", {"run", "stage", "started", "last event", "device", "ended", "placements"}, {}, {}};
    for (const RunReport& run : report.runs) {
        const std::string ended = run.exit ? run.exit->reason + " (" + std::to_string(run.exit->code) + ")" : "no exit record";
        table.rows.push_back({run.id, textCell(run.stage), textCell(run.started), textCell(run.ended), textCell(run.device), ended,
                              static_cast<std::int64_t>(run.candidates.size())});
    }
    tables.push_back(std::move(table));
}

void addComparison(const Report& report, std::vector<Table>& tables)
{
    const std::vector<std::string> keys {"task",   "items",        "found",        "exported", "uniform_best", "uniform_mean",
                                         "gain_over_best_uniform", "teacher", "linear"};
    std::vector<std::string> columns = keys;
    columns.emplace_back("rank");
    columns.emplace_back("of");
    TableBuilder table(report, "comparison", "Accuracy of the found placement beside uniform ones", columns);
    for (const RunReport& run : report.runs)
        for (const Json& entry : run.comparison) {
            if (!entry.is_object())
                continue;
            std::vector<Cell> cells;
            for (const std::string& key : keys)
                cells.push_back(jsonCell(entry, key));
            const auto rank = entry.find("rank");
            const bool ranked = rank != entry.end() && rank->is_object();
            cells.push_back(ranked ? jsonCell(*rank, "rank") : Cell());
            cells.push_back(ranked ? jsonCell(*rank, "of") : Cell());
            table.add(run, std::move(cells));
        }
    table.appendTo(tables);
}

void addHeatmap(const Report& report, const ScoreColumns& scores, std::vector<Table>& tables)
{
    TableBuilder table(report, "heatmap", "Each layer alone with full attention (layers from 0)", withScores({"layer"}, scores));
    for (const RunReport& run : report.runs) {
        std::map<int, const event::Candidate*> byLayer;
        for (const event::Candidate& candidate : run.candidates)
            if (candidate.layer >= 0)
                byLayer[candidate.layer] = &candidate;
        for (const auto& [layer, candidate] : byLayer) {
            std::vector<Cell> cells {static_cast<std::int64_t>(layer)};
            appendScores(cells, *candidate, scores);
            table.add(run, std::move(cells));
        }
    }
    table.shadeFrom(1);
    table.appendTo(tables);
}

void addCandidates(const Report& report, const ScoreColumns& scores, std::vector<Table>& tables)
{
    TableBuilder table(report, "candidates", "Evaluated placements (layers from 0)",
                       withScores({"id", "origin", "objective", "attention layers", "sliding-window layers", "state bytes", "parameters",
                                   "decode tokens per second", "placement"},
                                  scores));
    for (const RunReport& run : report.runs)
        for (const event::Candidate& c : run.candidates) {
            std::vector<Cell> cells {c.id,
                                     textCell(c.origin),
                                     textCell(c.objective),
                                     textCell(layersWhere(c.placement, "attention")),
                                     textCell(layersWhere(c.placement, "sliding_window")),
                                     sizeCell(c.cost.stateBytes),
                                     sizeCell(c.cost.parameters),
                                     c.cost.decodeTokensPerSecond ? Cell(*c.cost.decodeTokensPerSecond) : Cell(),
                                     textCell(joinBlocks(c.placement))};
            appendScores(cells, c, scores);
            table.add(run, std::move(cells));
        }
    table.appendTo(tables);
}

void addMetrics(const Report& report, std::vector<Table>& tables)
{
    TableBuilder table(report, "metrics", "Last value of each curve", {"metric", "step", "value"});
    for (const RunReport& run : report.runs)
        for (const auto& [name, metric] : run.lastMetrics)
            table.add(run, {name, metric.step, metric.value});
    table.appendTo(tables);
}

} // namespace

RunReport collectRun(const RunFolder& run)
{
    RunReport report;
    report.id = run.id();
    report.stage = run.stage();
    report.spec = run.spec();
    report.exit = run.readExit();
    EventReader reader(run.eventsFile());
    std::map<std::string, std::size_t> known;
    for (std::int64_t before = -1; before != reader.offset();) {
        before = reader.offset();
        for (const Event& event : reader.readNew())
            addEvent(report, known, event);
    }
    if (reader.badLines() > 0)
        addNote(report, std::to_string(reader.badLines()) + " lines of events.jsonl could not be read");
    readComparison(run, report);
    return report;
}

Report collectReport(const fs::path& folder)
{
    Report report;
    if (Project::isProject(folder)) {
        const Project project = Project::open(folder);
        report.title = project.info().name;
        for (const RunListing& listing : project.runs()) {
            if (listing.problem.empty()) {
                report.runs.push_back(collectRun(RunFolder::open(listing.folder)));
                continue;
            }
            RunReport broken;
            broken.id = listing.id;
            broken.notes.push_back(listing.problem);
            report.runs.push_back(std::move(broken));
        }
        return report;
    }
    std::error_code code;
    if (!fs::exists(folder / "spec.json", code))
        throw inputError(folder.string() + ": is neither a project nor a run", "Give a folder with project.json or with spec.json.");
    const RunFolder run = RunFolder::open(folder);
    report.title = run.id();
    report.runs.push_back(collectRun(run));
    return report;
}

std::vector<Table> reportTables(const Report& report)
{
    std::vector<Table> tables;
    const ScoreColumns scores = scoreColumns(report);
    addRunTable(report, tables);
    addComparison(report, tables);
    addHeatmap(report, scores, tables);
    addCandidates(report, scores, tables);
    addMetrics(report, tables);
    return tables;
}

} // namespace postnas
