// `postnas benchmark training`: how fast the placement stage trains the supernet of an architecture, with random weights and tokens.
#include <cstdio>
#include <memory>

#include <CLI/CLI.hpp>

#include "app/cli/benchmark_report.h"
#include "core/base/cancellation.h"
#include "core/base/text.h"
#include "core/engine/benchmark/training_speed.h"
#include "core/engine/runtime.h"

namespace postnas {
namespace {

struct Options {
    engine::TrainingSpeedRequest request;
    std::string config = "qwen2.5-1.5b", device = "auto", dtype = "auto", recompute = "auto", output;
    int threads = 0;
};

void run(const Options& options)
{
    engine::initialiseRuntime(options.threads);
    engine::TrainingSpeedRequest request = options.request;
    request.architecture = architectureOf(options.config);
    request.device = engine::resolveDevice(options.device);
    request.dtype = engine::resolveDtype(options.dtype, request.device, "bfloat16");
    request.recompute = options.recompute == "auto" ? RecomputeChoice::Auto : options.recompute == "all" ? RecomputeChoice::Always : RecomputeChoice::Never;
    const engine::TrainingSpeedReport report = engine::measureTrainingSpeed(request, processCancellation());
    const double tokens = static_cast<double>(request.batch * request.length), share = report.flopsPerStep / tokens * report.tokensPerSecond / report.rates.matrixFlopsPerSecond;

    std::printf("device %s, %s; copy %.3g GB/s, matrix %.3g TFLOP/s\n", engine::describeDevice(request.device).c_str(), request.dtype.c_str(),
                report.rates.copyBytesPerSecond / 1e9, report.rates.matrixFlopsPerSecond / 1e12);
    std::printf("%.4g M frozen parameters, %.4g M that train; %lld sequences of %lld tokens a step\n", static_cast<double>(report.parameters) / 1e6,
                static_cast<double>(report.trainable) / 1e6, static_cast<long long>(request.batch), static_cast<long long>(request.length));
    std::printf("%12s %12s %12s %12s %14s\n", "step ms", "full layers", "run twice", "loss", "TFLOP");
    Json steps = Json::array();
    for (const engine::TrainingStepTiming& s : report.steps) {
        std::printf("%12.3f %12lld %12lld %12.6f %14.4f\n", 1e3 * s.seconds, static_cast<long long>(s.fullLayers),
                    static_cast<long long>(s.recomputedLayers), s.loss, s.flops / 1e12);
        steps.push_back({{"seconds", s.seconds}, {"full_layers", s.fullLayers}, {"recomputed_layers", s.recomputedLayers}, {"loss", s.loss}, {"flops", s.flops}});
    }
    std::printf("%.1f tokens/s, %.1f%% of the matrix rate", report.tokensPerSecond, 100 * share);
    if (report.peakBytes > 0)
        std::printf(", at most %s in tensors", formatBytes(report.peakBytes).c_str());
    std::printf("\n");
    if (!report.kernels.empty())
        printTrace("one step", report.kernels);

    Json out = {{"model", options.config},
                {"block", request.block},
                {"batch", request.batch},
                {"length", request.length},
                {"full_probability", request.fullProbability},
                {"parameters", report.parameters},
                {"trainable", report.trainable},
                {"tokens_per_second", report.tokensPerSecond},
                {"flops_per_step", report.flopsPerStep},
                {"fraction_of_matrix_rate", share},
                {"peak_bytes", report.peakBytes > 0 ? Json(report.peakBytes) : Json()},
                {"steps", steps}};
    if (!report.kernels.empty())
        out["kernels"] = traceJson(report.kernels);
    writeReport(options.output, request.device, request.dtype, report.rates, out);
}

} // namespace

void addTrainingBenchmark(CLI::App& benchmark)
{
    CLI::App* command = benchmark.add_subcommand("training", "Speed of the placement stage's training steps");
    const auto options = std::make_shared<Options>();
    engine::TrainingSpeedRequest& request = options->request;
    command->add_option("--config", options->config, "The teacher: a config.json, or a built-in name; its weights are random")->capture_default_str();
    command->add_option("--block", request.block, "Block of the linear paths")->capture_default_str();
    command->add_option("--device", options->device, "auto, cpu or cuda")->capture_default_str();
    command->add_option("--dtype", options->dtype, "Of the products: auto, float32 or bfloat16")->capture_default_str();
    command->add_option("--threads", options->threads, "CPU threads; 0: as many as there are")->capture_default_str()->check(CLI::Range(0, 4096));
    command->add_option("--batch", request.batch, "Sequences of a step")->capture_default_str()->check(CLI::Range(1, 65536));
    command->add_option("--length", request.length, "Tokens of a sequence")->capture_default_str()->check(CLI::Range(1, 1 << 24));
    command->add_option("--steps", request.steps, "Timed steps; their mean counts")->capture_default_str()->check(CLI::Range(1, 100000));
    command->add_option("--full-probability", request.fullProbability, "With which a layer keeps its attention in a step")
        ->capture_default_str()
        ->check(CLI::Range(0.0, 1.0));
    command->add_option("--recompute", options->recompute, "Layers that run again in the backward pass: auto (as many as the memory demands), all or none")
        ->capture_default_str()
        ->check(CLI::IsMember({"auto", "all", "none"}));
    command->add_option("--output", options->output, "Where to write the JSON");
    command->add_option("--trace", request.trace, "Also write a profiler's trace of one step");
    command->callback([options] { run(*options); });
}

} // namespace postnas
