// The formats of a report.
#include <algorithm>
#include <cctype>
#include <cmath>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/base/version.h"
#include "core/report/run_report.h"

namespace postnas {
namespace {

/// No script, no image, no font, nothing from outside: the policy says so to the browser too.
const char* const kHtmlHead = R"(<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: #1b1f24; background: #fff; }
table { border-collapse: collapse; margin: 0.5rem 0 2rem; display: block; overflow-x: auto; }
th, td { border: 1px solid #d0d7de; padding: 0.2rem 0.6rem; text-align: left; }
th { background: #f2f4f7; }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
footer { color: #57606a; font-size: 13px; }
</style>
)";

std::vector<std::pair<std::string, std::string>> allNotes(const Report& report)
{
    std::vector<std::pair<std::string, std::string>> out;
    for (const RunReport& run : report.runs)
        for (const std::string& note : run.notes)
            out.emplace_back(run.id, note);
    return out;
}

std::string footer() { return std::string("postnas ") + kVersion + ", " + utcTimestamp(); }

std::string renderHtml(const Report& report, const std::vector<Table>& tables)
{
    std::string out = kHtmlHead;
    out += "<title>" + escapeHtml(report.title) + "</title>\n</head>\n<body>\n<h1>" + escapeHtml(report.title) + "</h1>\n";
    for (const Table& table : tables)
        out += "<h2>" + escapeHtml(table.title) + "</h2>\n" + htmlTable(table);
    const auto notes = allNotes(report);
    if (!notes.empty()) {
        out += "<h2>Notes</h2>\n<ul>\n";
        for (const auto& [run, note] : notes)
            out += "<li>" + escapeHtml(run + ": " + note) + "</li>\n";
        out += "</ul>\n";
    }
    return out + "<footer>" + escapeHtml(footer()) + "</footer>\n</body>\n</html>\n";
}

std::string renderMarkdown(const Report& report, const std::vector<Table>& tables)
{
    std::string out = "# " + escapeMarkdown(report.title) + "\n";
    for (const Table& table : tables)
        out += "\n## " + escapeMarkdown(table.title) + "\n\n" + markdownTable(table);
    const auto notes = allNotes(report);
    if (!notes.empty()) {
        out += "\n## Notes\n\n";
        for (const auto& [run, note] : notes)
            out += "- " + escapeMarkdown(run + ": " + note) + "\n";
    }
    return out + "\n" + escapeMarkdown(footer()) + "\n";
}

Json cellJson(const Cell& cell)
{
    if (const auto* text = std::get_if<std::string>(&cell))
        return *text;
    if (const auto* whole = std::get_if<std::int64_t>(&cell))
        return *whole;
    if (const auto* real = std::get_if<double>(&cell); real != nullptr && std::isfinite(*real))
        return *real;
    return nullptr;
}

std::string renderJson(const Report& report, const std::vector<Table>& tables)
{
    Json out {{"version", 1}, {"title", report.title}, {"program", std::string("postnas ") + kVersion}, {"created", utcTimestamp()}};
    out["specs"] = Json::object();
    for (const RunReport& run : report.runs)
        out["specs"][run.id] = run.spec;
    out["tables"] = Json::object();
    for (const Table& table : tables) {
        Json rows = Json::array();
        for (const auto& row : table.rows) {
            Json entry = Json::object();
            for (std::size_t i = 0; i < row.size(); ++i)
                entry[table.columns[i]] = cellJson(row[i]);
            rows.push_back(std::move(entry));
        }
        out["tables"][table.name] = std::move(rows);
    }
    out["notes"] = Json::array();
    for (const auto& [run, note] : allNotes(report))
        out["notes"].push_back({{"run", run}, {"note", note}});
    return dumpJson(out, 2) + "\n";
}

} // namespace

ReportFormat reportFormat(const std::filesystem::path& file)
{
    std::string suffix = file.extension().string();
    std::transform(suffix.begin(), suffix.end(), suffix.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (suffix == ".csv")
        return ReportFormat::Csv;
    if (suffix == ".md" || suffix == ".markdown")
        return ReportFormat::Markdown;
    if (suffix == ".html" || suffix == ".htm")
        return ReportFormat::Html;
    if (suffix == ".json")
        return ReportFormat::JsonText;
    throw usageError(file.string() + ": the format of the report is not known by this name", "Use .csv, .md, .html or .json.");
}

std::string renderReport(const Report& report, ReportFormat format, const std::string& name)
{
    std::vector<Table> tables = reportTables(report);
    if (!name.empty()) {
        std::string all;
        for (const Table& table : tables)
            all += (all.empty() ? "" : ", ") + table.name;
        std::erase_if(tables, [&](const Table& table) { return table.name != name; });
        if (tables.empty())
            throw usageError("the report has no table \"" + name + "\"", "It has: " + all + ".");
    }
    switch (format) {
    case ReportFormat::Html: return renderHtml(report, tables);
    case ReportFormat::Markdown: return renderMarkdown(report, tables);
    case ReportFormat::JsonText: return renderJson(report, tables);
    case ReportFormat::Csv: break;
    }
    for (const char* wanted : {"candidates", "metrics", "runs"})
        for (const Table& table : tables)
            if (tables.size() == 1 || table.name == wanted)
                return csvTable(table);
    return {};
}

} // namespace postnas
