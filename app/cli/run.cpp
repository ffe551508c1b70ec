// `postnas run`: a stage in its run folder, with a progress line for people.

#include <CLI/CLI.hpp>

#include "app/cli/commands.h"
#include "app/cli/progress_line.h"
#include "core/base/cancellation.h"
#include "core/engine/stages.h"
#include "core/jobs/event_writer.h"

namespace postnas {
namespace {

struct Options {
    std::string stage;
    std::string spec;
    std::string runFolder;
    bool resume = false;
    bool events = false;
    bool quiet = false;
};

void run(const Options& options)
{
    int code = 0;
    if (options.events) {
        // Standard output carries the events; whatever a library prints goes to the log.
        const ProtocolStream stream;
        code = engine::runStage(options.stage, options.spec, options.runFolder, options.resume, processCancellation(), stream.descriptor());
    } else {
        ProgressLine line(std::filesystem::path(options.runFolder) / "events.jsonl", !options.quiet);
        code = engine::runStage(options.stage, options.spec, options.runFolder, options.resume, processCancellation());
        line.finish();
    }
    if (code != 0)
        throw CLI::RuntimeError(code); // what went wrong was said already
}

} // namespace

void addRunCommand(CLI::App& app)
{
    CLI::App* command = app.add_subcommand("run", "Runs a stage: pretrain, placement");
    const auto options = std::make_shared<Options>();
    command->add_option("stage", options->stage, "Stage to run")->required();
    command->add_option("--spec", options->spec, "JSON file that says what to do");
    command->add_option("--run-dir", options->runFolder, "Folder of the run; new unless --resume")->required();
    command->add_flag("--resume", options->resume, "Continues an interrupted run");
    command->add_flag("--events", options->events, "Writes the events to standard output too");
    command->add_flag("--quiet", options->quiet, "No progress line");
    command->callback([options] { run(*options); });
}

} // namespace postnas
