// What a run or a project found, collected from the run folders and written as CSV, Markdown, HTML or JSON.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/jobs/event.h"
#include "core/jobs/run_folder.h"
#include "core/project/project.h"
#include "core/report/table.h"

namespace postnas {

/// One run; the database is not needed for it.
struct RunReport {
    std::string id;
    std::string stage;
    std::string started; ///< time of the first event
    std::string ended;   ///< time of the last event
    std::string device;
    std::optional<ExitRecord> exit; ///< nothing: still running, or killed
    Json spec = Json::object();
    std::vector<event::Candidate> candidates; ///< in order of first appearance, each with its latest scores
    std::map<std::string, event::Metric> lastMetrics;
    std::vector<event::Result> results;
    Json comparison = Json::array(); ///< of artifacts/results.json: found against uniform placements, per task
    std::vector<std::string> notes;  ///< warnings and errors of the run; what could not be read
};

RunReport collectRun(const RunFolder& run);

struct Report {
    std::string title;
    std::vector<RunReport> runs;
};

/// Of a project's folder (all its runs) or a run's folder. Throws Error(Input) when `folder` is neither.
Report collectReport(const std::filesystem::path& folder);

/// "runs", "comparison", "heatmap", "candidates", "metrics": those that have rows. In a report of several runs each begins
/// with a column "run". Layers are numbered from 0.
std::vector<Table> reportTables(const Report& report);

enum class ReportFormat { Csv, Markdown, Html, JsonText };
/// From .csv, .md, .html/.htm, .json. Throws Error(Usage) for others.
ReportFormat reportFormat(const std::filesystem::path& file);

/// CSV holds one table: `table`, by default the first there is of candidates, metrics and runs. The other formats hold all,
/// or only `table` when it is named. Throws Error(Usage) when there is no such table.
std::string renderReport(const Report& report, ReportFormat format, const std::string& table = {});

} // namespace postnas
