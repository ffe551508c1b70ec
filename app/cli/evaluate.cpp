// `postnas evaluate`: scores a model on tasks and writes lm-evaluation-harness's results.json.
#include <cmath>
#include <cstdio>

#include "app/cli/commands.h"
#include "app/cli/model_options.h"
#include "core/base/cancellation.h"
#include "core/base/error.h"
#include "core/base/text.h"
#include "core/engine/evaluate.h"

namespace postnas {
namespace {

struct Options {
    ModelOptions model;
    std::vector<std::string> tasks;
    std::int64_t limit = 0;
    std::string output;
};

void run(const Options& options)
{
    engine::initialiseRuntime(options.model.threads);
    const engine::EvaluationReport report
        = engine::evaluateModel(options.model.model, options.model.load, options.tasks, options.limit, options.output, processCancellation());
    for (const engine::EvaluationReport::Line& line : report.lines) {
        std::printf("%-24s accuracy %.4f +- %.4f   ", sanitizeForTerminal(line.task).c_str(), line.accuracy, line.standardError);
        if (std::isfinite(line.loss))
            std::printf("loss %.4f   ", line.loss);
        std::printf("%lld items\n", static_cast<long long>(line.items));
        for (const auto& [group, accuracy] : line.groups)
            std::printf("  %-22s %.4f\n", sanitizeForTerminal(group).c_str(), accuracy);
    }
}

} // namespace

void addEvaluateCommand(CLI::App& app)
{
    CLI::App* command = app.add_subcommand("evaluate", "Scores a model on tasks");
    const auto options = std::make_shared<Options>();
    options->model.add(*command);
    command->add_option("--tasks", options->tasks, "Task files or names, with commas")->required()->delimiter(',');
    command->add_option("--limit", options->limit, "Items per task; 0: all")->capture_default_str()->check(CLI::NonNegativeNumber);
    command->add_option("--output", options->output, "Where to write results.json");
    command->callback([options] { run(*options); });
}

} // namespace postnas
