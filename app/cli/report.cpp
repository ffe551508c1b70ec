// `postnas report`: what a run or a project found, as a file for people or for other programs.
#include <cstdio>
#include <memory>
#include <string>

#include <CLI/CLI.hpp>

#include "app/cli/commands.h"
#include "core/base/files.h"
#include "core/base/text.h"
#include "core/report/run_report.h"

namespace postnas {
namespace {

struct ReportArguments {
    std::string folder;
    std::string output;
    std::string table;
};

void writeReport(const ReportArguments& arguments)
{
    const ReportFormat format = reportFormat(arguments.output);
    const Report report = collectReport(arguments.folder);
    writeFileAtomically(arguments.output, renderReport(report, format, arguments.table));
    std::printf("%s\n", sanitizeForTerminal(arguments.output).c_str());
}

} // namespace

void addReportCommand(CLI::App& app)
{
    CLI::App* command = app.add_subcommand("report", "Write what a run or a project found as CSV, Markdown, HTML or JSON");
    const auto arguments = std::make_shared<ReportArguments>();
    command->add_option("folder", arguments->folder, "Folder of a project or of a run")->required();
    command->add_option("-o,--output", arguments->output, "File to write: .csv, .md, .html or .json")->required();
    command->add_option("--table", arguments->table, "Only this table: runs, comparison, heatmap, candidates or metrics");
    command->callback([arguments] { writeReport(*arguments); });
}

} // namespace postnas
