// `postnas benchmark` through the program: what it writes adds up.
#include <gmock/gmock.h>

#include "core/base/files.h"
#include "core/base/json.h"
#include "tests/support/support.h"

namespace postnas {
namespace {

using test::runProcess;
using testing::HasSubstr;

std::string program() { return (test::programFolder() / "postnas").string(); }

/// A config of a few layers with every kind of state.
std::filesystem::path tinyConfig(const test::TemporaryFolder& folder)
{
    const std::filesystem::path file = folder / "config.json";
    test::writeFile(file, R"({"model_type": "jet_nemotron", "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
        "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 512, "hidden_act": "silu", "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0, "tie_word_embeddings": true, "layer_types": ["jet", "attn", "swa"],
        "efficient_attention_config": {"jet": {"head_dim": 8, "expand_v": 2.0, "num_heads": 2, "conv_size": 4, "dconv_generator_reduction": 8,
        "norm_eps": 1e-5, "mode": "chunk"}, "swa": {"window_size": 16}}})");
    return file;
}

TEST(Benchmark, ThroughputOfAConfigAloneAddsUp)
{
    const test::TemporaryFolder folder;
    const std::filesystem::path report = folder / "report.json";
    const auto run = runProcess({program(), "benchmark", "throughput", "--config", tinyConfig(folder).string(), "--contexts", "24,40", "--batch", "3",
                                 "--chunk", "10", "--steps", "3", "--device", "cpu", "--output", report.string()});
    ASSERT_EQ(run.exitCode, 0) << run.errors;
    const Json json = readJsonFile(report);
    EXPECT_EQ(json["weights"], "random");
    EXPECT_GT(json["copy_bytes_per_second"].get<double>(), 0);
    EXPECT_GT(json["matrix_flops_per_second"].get<double>(), 0);
    ASSERT_EQ(json["rows"].size(), 2u);
    for (const Json& row : json["rows"]) {
        EXPECT_EQ(row["batch"], 3);
        const Json &prefill = row["prefill"], &decode = row["decode"];
        EXPECT_NEAR(prefill["tokens_per_second"].get<double>() * prefill["seconds"].get<double>(), 3.0 * row["context"].get<double>(), 1e-6);
        EXPECT_NEAR(decode["tokens_per_second"].get<double>() * decode["seconds_per_step"].get<double>(), 3.0, 1e-9);
        EXPECT_GT(row["state_bytes"].get<double>(), 0);
    }
    // Reading more tokens takes more operations; a longer state more bytes a step.
    EXPECT_GT(json["rows"][1]["prefill"]["flops"], json["rows"][0]["prefill"]["flops"]);
    EXPECT_GT(json["rows"][1]["decode"]["bytes_per_step"], json["rows"][0]["decode"]["bytes_per_step"]);
}

TEST(Benchmark, ATraceNamesWhatRan)
{
    const test::TemporaryFolder folder;
    const std::filesystem::path trace = folder / "trace", report = folder / "report.json";
    const auto run = runProcess({program(), "benchmark", "throughput", "--config", tinyConfig(folder).string(), "--contexts", "24", "--steps", "1", "--device",
                                 "cpu", "--trace", trace.string(), "--output", report.string()});
    ASSERT_EQ(run.exitCode, 0) << run.errors;
    EXPECT_THAT(run.output, HasSubstr("one decoding step: "));
    const Json row = readJsonFile(report)["rows"][0];
    for (const std::string what : {"prefill", "decode"}) {
        EXPECT_FALSE(readJsonFile(trace.string() + "." + what + "-24.json")["traceEvents"].empty());
        double last = 1e9;
        bool recurrence = false;
        for (const Json& kernel : row[what]["kernels"]) {
            EXPECT_GE(kernel["calls"].get<int>(), 1);
            EXPECT_LE(kernel["seconds"].get<double>(), last);
            last = kernel["seconds"];
            recurrence = recurrence || kernel["name"] == "postnas::linear_recurrence" || kernel["name"] == "postnas::recurrent_step";
        }
        EXPECT_TRUE(recurrence) << what;
    }
    const auto nowhere = runProcess({program(), "benchmark", "throughput", "--config", tinyConfig(folder).string(), "--contexts", "24", "--steps", "1",
                                     "--device", "cpu", "--no-prefill", "--trace", (folder / "missing" / "trace").string()});
    EXPECT_EQ(nowhere.exitCode, 4) << nowhere.errors;
    EXPECT_THAT(nowhere.errors, HasSubstr("could not be written"));
}

TEST(Benchmark, DecodingAloneAndTheLargestBatch)
{
    const test::TemporaryFolder folder;
    const auto run = runProcess({program(), "benchmark", "throughput", (test::sourceFolder() / "projects" / "quickstart" / "model").string(), "--contexts",
                                 "64", "--steps", "2", "--no-prefill", "--device", "cpu"});
    ASSERT_EQ(run.exitCode, 0) << run.errors;
    EXPECT_THAT(run.output, HasSubstr("decode tokens/s"));
    const auto bad = runProcess({program(), "benchmark", "throughput", "--config", "qwen2.5-1.5b", "--batch", "many"});
    EXPECT_EQ(bad.exitCode, 2);
    EXPECT_THAT(bad.errors, HasSubstr("--batch"));
    const auto unknown = runProcess({program(), "benchmark", "throughput", "--config", "jet-nemotron-3b"});
    EXPECT_EQ(unknown.exitCode, 3);
    EXPECT_THAT(unknown.errors, testing::AllOf(HasSubstr("jet-nemotron-3b"), HasSubstr("jet-nemotron-2b")));
    const auto noCommand = runProcess({program(), "benchmrk"});
    EXPECT_EQ(noCommand.exitCode, 2);
    EXPECT_THAT(noCommand.errors, HasSubstr("\"benchmrk\" is no command"));
    const auto noBenchmark = runProcess({program(), "benchmark", "kernals", "--shapes", "small"});
    EXPECT_EQ(noBenchmark.exitCode, 2);
    EXPECT_THAT(noBenchmark.errors, testing::AllOf(HasSubstr("\"kernals\" is no command of `postnas benchmark`"), HasSubstr("`postnas benchmark --help`")));
    const auto both = runProcess({program(), "benchmark", "throughput"});
    EXPECT_EQ(both.exitCode, 2);
    EXPECT_THAT(both.errors, HasSubstr("--config"));
}

TEST(Benchmark, KernelsAreTimedAndCounted)
{
    const test::TemporaryFolder folder;
    const std::filesystem::path report = folder / "kernels.json";
    const auto run = runProcess({program(), "benchmark", "kernels", "--device", "cpu", "--only", "convolution", "--repeats", "1", "--output", report.string()});
    ASSERT_EQ(run.exitCode, 0) << run.errors;
    const Json json = readJsonFile(report);
    ASSERT_EQ(json["operators"].size(), 1u);
    const Json& row = json["operators"][0];
    EXPECT_EQ(row["operator"], "dynamic_convolution");
    EXPECT_GT(row["forward_seconds"].get<double>(), 0);
    EXPECT_GT(row["backward_seconds"].get<double>(), 0);
    // 64 tokens of 3072 channels: x, y and four taps each, in float32; a multiply-add a tap.
    EXPECT_EQ(row["bytes"], 64.0 * 3072 * 6 * 4);
    EXPECT_EQ(row["flops"], 64.0 * 3072 * 8);
}

TEST(Benchmark, AnUnknownOperatorIsAnError)
{
    const test::TemporaryFolder folder;
    const std::filesystem::path report = folder / "kernels.json";
    const auto run = runProcess({program(), "benchmark", "kernels", "--device", "cpu", "--only", "no_such_operator", "--output", report.string()});
    EXPECT_EQ(run.exitCode, 2);
    EXPECT_THAT(run.errors, HasSubstr("no_such_operator"));
    EXPECT_FALSE(std::filesystem::exists(report));
}

TEST(Benchmark, TrainingStepsAreTimedAndCounted)
{
    const test::TemporaryFolder folder;
    const std::filesystem::path config = folder / "config.json", report = folder / "training.json", trace = folder / "trace.json";
    test::writeFile(config, R"({"model_type": "qwen2", "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
        "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 512, "hidden_act": "silu", "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0, "tie_word_embeddings": true})");
    const auto run = runProcess({program(), "benchmark", "training", "--config", config.string(), "--batch", "2", "--length", "20", "--steps", "3", "--device",
                                 "cpu", "--full-probability", "0", "--trace", trace.string(), "--output", report.string()});
    ASSERT_EQ(run.exitCode, 0) << run.errors;
    EXPECT_THAT(run.output, HasSubstr("one step: "));
    EXPECT_FALSE(readJsonFile(trace)["traceEvents"].empty());
    const Json json = readJsonFile(report);
    ASSERT_EQ(json["steps"].size(), 3u);
    double seconds = 0;
    for (const Json& step : json["steps"]) {
        seconds += step["seconds"].get<double>();
        EXPECT_EQ(step["full_layers"], 0);
        EXPECT_GT(step["loss"].get<double>(), 0);
    }
    EXPECT_NEAR(json["tokens_per_second"].get<double>() * seconds, 3 * 2 * 20, 1e-6);
    // A layer's mixer: q 32x32 (the path's also g), k and v 16x32, o 32x32 and biases, for the path gk 16x32 and 16x16, a bias and a norm; its MLP
    // 3 times 48x32.
    const double mlp = 3 * 48 * 32, attention = 3072 + 64, path = 2 * 1024 + 2 * 512 + 1024 + 512 + 256 + 32;
    // Attention: 20 tokens see 10.5 others on average, 2 products over 32 channels; a path: 5 operations an element of 2 states of 16 x 16.
    const double attentionState = 20 * 10.5 * 2 * 2 * 32, pathState = 20 * 5 * 2 * 256;
    const double weights = 2.0 * 20 * ((attention + mlp) + 2 * (path + mlp) + path);
    EXPECT_NEAR(json["flops_per_step"].get<double>(), 2 * 3 * (weights + attentionState + 3 * pathState), 1e-6);
}

} // namespace
} // namespace postnas
