// `postnas benchmark throughput`: prefill and decoding speed of a model on this machine.
#include <cstdio>

#include "app/cli/commands.h"
#include "app/cli/model_options.h"
#include "core/base/cancellation.h"
#include "core/base/files.h"
#include "core/base/json.h"
#include "core/base/text.h"

namespace postnas {
namespace {

struct Options {
    ModelOptions model;
    std::vector<std::int64_t> contexts = {512, 1024, 2048};
    std::int64_t batch = 1;
    int steps = 32;
    std::string output;
};

void run(const Options& options)
{
    const auto model = options.model.open();
    const Architecture& architecture = model->architecture();
    Json rows = Json::array();
    std::printf("%10s %8s %16s %14s\n", "context", "batch", "decode tokens/s", "state");
    for (const std::int64_t context : options.contexts) {
        processCancellation().throwIfCancelled();
        const double speed = model->measureDecode(context, options.batch, options.steps);
        const double state = stateSize(architecture, context).total();
        std::printf("%10lld %8lld %16.1f %14s\n", static_cast<long long>(context), static_cast<long long>(options.batch), speed, formatBytes(state).c_str());
        std::fflush(stdout);
        rows.push_back({{"context", context},
                        {"batch", options.batch},
                        {"decode_tokens_per_second", speed},
                        {"state_bytes", state},
                        {"flops_per_token", decodeFlops(architecture, context)},
                        {"bytes_per_step", decodeBytes(architecture, context, options.batch)}});
    }
    if (!options.output.empty()) {
        Json versions = Json::object();
        for (const auto& [name, version] : engine::versions())
            versions[name] = version;
        writeFileAtomically(options.output,
                            dumpJson({{"model", options.model.model},
                                      {"device", engine::describeDevice(model->device())},
                                      {"dtype", model->dtype()},
                                      {"versions", versions},
                                      {"rows", rows}},
                                     2)
                                + "\n");
    }
}

} // namespace

void addBenchmarkCommand(CLI::App& app)
{
    CLI::App* command = app.add_subcommand("benchmark", "Measures speed on this machine");
    command->require_subcommand(1);
    CLI::App* throughput = command->add_subcommand("throughput", "Decoding speed at several context lengths");
    const auto options = std::make_shared<Options>();
    options->model.add(*throughput);
    throughput->add_option("--contexts", options->contexts, "Tokens in the state, with commas")->delimiter(',')->capture_default_str()->check(CLI::Range(1, 1 << 24));
    throughput->add_option("--batch", options->batch, "Sequences decoded together")->capture_default_str()->check(CLI::Range(1, 65536));
    throughput->add_option("--steps", options->steps, "Timed steps; the median counts")->capture_default_str()->check(CLI::Range(1, 100000));
    throughput->add_option("--output", options->output, "Where to write the JSON");
    throughput->callback([options] { run(*options); });
}

} // namespace postnas
