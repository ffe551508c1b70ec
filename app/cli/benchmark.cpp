// `postnas benchmark throughput`: how fast a model, or an architecture with random weights, reads and decodes on this machine;
// `postnas benchmark kernels`: how fast single operators run.
#include <cstdio>

#include "app/cli/benchmark_report.h"
#include "app/cli/commands.h"
#include "app/cli/model_options.h"
#include "core/base/cancellation.h"
#include "core/base/error.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/engine/benchmark/operator_speed.h"
#include "core/engine/benchmark/throughput.h"

namespace postnas {
namespace {

struct Options {
    ModelOptions model;
    std::string config;
    std::vector<std::int64_t> contexts = {512, 1024, 2048};
    std::string batch = "1";
    std::int64_t chunk = 0;
    int steps = 32;
    bool noPrefill = false, noDecode = false;
    std::string output, trace;
};

std::int64_t batchOf(const std::string& text)
{
    if (text == "largest")
        return 0;
    std::int64_t out = 0;
    if (!CLI::detail::lexical_cast(text, out) || out < 1 || out > 65536)
        throw usageError("--batch is \"" + text + "\"; it must be a number from 1 to 65536, or \"largest\"");
    return out;
}

Json rowJson(const engine::ThroughputReport& report, const engine::ThroughputRow& row, const Options& options)
{
    Json out = {{"context", row.context}, {"batch", row.batch}, {"state_bytes", row.stateBytes}, {"state_formula_bytes", row.stateFormulaBytes}};
    if (!options.noPrefill)
        out["prefill"] = {{"seconds", row.prefillSeconds},
                          {"tokens_per_second", row.prefillTokensPerSecond},
                          {"chunk", row.chunk},
                          {"flops", row.prefillFlops},
                          {"fraction_of_matrix_rate", row.prefillFlops / row.prefillSeconds / report.rates.matrixFlopsPerSecond}};
    if (!options.noDecode)
        out["decode"] = {{"seconds_per_step", row.decodeSeconds},
                         {"tokens_per_second", row.decodeTokensPerSecond},
                         {"bytes_per_step", row.decodeBytes},
                         {"flops_per_step", row.decodeFlops},
                         {"fraction_of_copy_bandwidth", row.decodeBytes / row.decodeSeconds / report.rates.copyBytesPerSecond},
                         {"fraction_of_matrix_rate", row.decodeFlops / row.decodeSeconds / report.rates.matrixFlopsPerSecond}};
    if (!row.prefillTrace.empty())
        out["prefill"]["kernels"] = traceJson(row.prefillTrace);
    if (!row.decodeTrace.empty())
        out["decode"]["kernels"] = traceJson(row.decodeTrace);
    return out;
}

void printRow(const engine::ThroughputReport& report, const engine::ThroughputRow& row)
{
    if (report.rows.size() == 1) {
        std::printf("device %s, %s; copy %.3g GB/s, matrix %.3g TFLOP/s\n", engine::describeDevice(report.device).c_str(), report.dtype.c_str(),
                    report.rates.copyBytesPerSecond / 1e9, report.rates.matrixFlopsPerSecond / 1e12);
        std::printf("%10s %7s %17s %8s %17s %8s %12s\n", "context", "batch", "prefill tokens/s", "matrix", "decode tokens/s", "copy", "state");
    }
    const auto share = [](double amount, double seconds, double rate) {
        char text[16] = "-";
        if (seconds > 0)
            std::snprintf(text, sizeof text, "%.1f%%", 100 * amount / seconds / rate);
        return std::string(text);
    };
    std::printf("%10lld %7lld %17.1f %8s %17.1f %8s %12s\n", static_cast<long long>(row.context), static_cast<long long>(row.batch),
                row.prefillTokensPerSecond, share(row.prefillFlops, row.prefillSeconds, report.rates.matrixFlopsPerSecond).c_str(),
                row.decodeTokensPerSecond, share(row.decodeBytes, row.decodeSeconds, report.rates.copyBytesPerSecond).c_str(),
                formatBytes(row.stateBytes).c_str());
    if (!row.prefillTrace.empty())
        printTrace("prefill", row.prefillTrace);
    if (!row.decodeTrace.empty())
        printTrace("one decoding step", row.decodeTrace);
    std::fflush(stdout);
}

void run(const Options& options)
{
    if (options.model.model.empty() == options.config.empty())
        throw usageError("give either a model folder or --config", "For example: postnas benchmark throughput --config jet-nemotron-2b");
    if (options.noPrefill && options.noDecode)
        throw usageError("--no-prefill and --no-decode together leave nothing to measure");
    engine::ThroughputRequest request;
    request.batch = batchOf(options.batch);
    if (options.config.empty())
        request.model = options.model.model;
    else
        request.random = architectureOf(options.config);
    request.load = options.model.load;
    request.contexts = options.contexts;
    request.chunk = options.chunk;
    request.steps = options.steps;
    request.prefill = !options.noPrefill;
    request.decode = !options.noDecode;
    request.trace = options.trace;
    engine::initialiseRuntime(options.model.threads);

    Json rows = Json::array();
    const auto onRow = [&](const engine::ThroughputReport& report, const engine::ThroughputRow& row) {
        rows.push_back(rowJson(report, row, options));
        printRow(report, row);
    };
    const engine::ThroughputReport report = engine::measureThroughput(request, onRow, processCancellation());
    writeReport(options.output, report.device, report.dtype, report.rates,
                {{"model", options.config.empty() ? options.model.model : options.config},
                 {"weights", options.config.empty() ? "checkpoint" : "random"},
                 {"state_dtype", report.stateDtype},
                 {"rows", rows}});
}

struct KernelOptions {
    std::string device = "auto", dtype = "auto", only, shapes = "auto", output;
    int threads = 0, repeats = 5;
};

void runKernels(const KernelOptions& options)
{
    engine::initialiseRuntime(options.threads);
    engine::OperatorSpeedRequest request;
    request.device = engine::resolveDevice(options.device);
    request.dtype = engine::resolveDtype(options.dtype, request.device, "bfloat16");
    request.only = options.only;
    request.repeats = options.repeats;
    request.small = options.shapes == "auto" ? request.device == "cpu" : options.shapes == "small";
    const engine::MachineRates rates = engine::measureMachineRates(request.device, request.dtype);
    std::printf("device %s, %s; copy %.3g GB/s, matrix %.3g TFLOP/s\n", engine::describeDevice(request.device).c_str(), request.dtype.c_str(),
                rates.copyBytesPerSecond / 1e9, rates.matrixFlopsPerSecond / 1e12);
    std::printf("%12s %12s %8s %8s  operator\n", "forward ms", "backward ms", "copy", "matrix");
    Json rows = Json::array();
    engine::measureOperatorSpeed(
        request,
        [&](const engine::OperatorTiming& t) {
            const double copy = t.bytes / t.forwardSeconds / rates.copyBytesPerSecond, matrix = t.flops / t.forwardSeconds / rates.matrixFlopsPerSecond;
            std::printf("%12.4f %12.4f %7.1f%% %7.1f%%  %s, %s\n", 1e3 * t.forwardSeconds, 1e3 * t.backwardSeconds, 100 * copy, 100 * matrix,
                        t.name.c_str(), t.shape.c_str());
            std::fflush(stdout);
            rows.push_back({{"operator", t.name},
                            {"shape", t.shape},
                            {"forward_seconds", t.forwardSeconds},
                            {"backward_seconds", t.backwardSeconds > 0 ? Json(t.backwardSeconds) : Json()},
                            {"bytes", t.bytes},
                            {"flops", t.flops},
                            {"fraction_of_copy_bandwidth", copy},
                            {"fraction_of_matrix_rate", matrix}});
        },
        processCancellation());
    if (rows.empty())
        throw usageError("No operator's name contains \"" + options.only + "\"", "Without --only, the benchmark lists all of them");
    writeReport(options.output, request.device, request.dtype, rates, {{"operators", rows}});
}

} // namespace

void addBenchmarkCommand(CLI::App& app)
{
    CLI::App* command = app.add_subcommand("benchmark", "Measures speed on this machine");
    command->require_subcommand(1);
    CLI::App* throughput = command->add_subcommand("throughput", "Reading and decoding speed at several context lengths");
    const auto options = std::make_shared<Options>();
    throughput->add_option("model", options->model.model, "Folder of a Hugging Face checkpoint");
    throughput->add_option("--config", options->config, "Random weights instead: a config.json, or a built-in name such as jet-nemotron-2b");
    options->model.addDevice(*throughput);
    throughput->add_option("--contexts", options->contexts, "Tokens in the state, with commas")->delimiter(',')->capture_default_str()->check(CLI::Range(1, 1 << 24));
    throughput->add_option("--batch", options->batch, "Sequences together; largest: as many as fit the memory, in whole 256s from 1536 on")->capture_default_str();
    throughput->add_option("--chunk", options->chunk, "Prompt tokens of a sequence in one pass; 0: 8192 on a GPU, 512 on a CPU")->capture_default_str()->check(CLI::Range(0, 1 << 24));
    throughput->add_option("--steps", options->steps, "Timed decoding steps; the median counts")->capture_default_str()->check(CLI::Range(1, 100000));
    throughput->add_flag("--no-prefill", options->noPrefill, "Measure decoding alone");
    throughput->add_flag("--no-decode", options->noDecode, "Measure the prompt alone");
    throughput->add_option("--output", options->output, "Where to write the JSON");
    throughput->add_option("--trace", options->trace, "Also write a profiler's trace of each prompt and of a step: NAME.prefill-CONTEXT.json, NAME.decode-CONTEXT.json");
    throughput->callback([options] { run(*options); });

    CLI::App* kernels = command->add_subcommand("kernels", "Speed of single operators");
    const auto kernelOptions = std::make_shared<KernelOptions>();
    kernels->add_option("--device", kernelOptions->device, "auto, cpu or cuda")->capture_default_str();
    kernels->add_option("--dtype", kernelOptions->dtype, "auto, float32, bfloat16 or float16")->capture_default_str();
    kernels->add_option("--threads", kernelOptions->threads, "CPU threads; 0: as many as there are")->capture_default_str()->check(CLI::Range(0, 4096));
    kernels->add_option("--only", kernelOptions->only, "Operators whose name contains this");
    kernels->add_option("--shapes", kernelOptions->shapes, "large: those of the published comparisons; small; auto: small on a CPU")
        ->capture_default_str()
        ->check(CLI::IsMember({"auto", "small", "large"}));
    kernels->add_option("--repeats", kernelOptions->repeats, "Timed runs; the median counts")->capture_default_str()->check(CLI::Range(1, 10000));
    kernels->add_option("--output", kernelOptions->output, "Where to write the JSON");
    kernels->callback([kernelOptions] { runKernels(*kernelOptions); });

    addTrainingBenchmark(*command);
}

} // namespace postnas
