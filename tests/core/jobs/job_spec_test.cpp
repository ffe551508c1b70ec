// Job specs: defaults, round trips, and what a mistake is answered with.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/jobs/job_spec.h"
#include "tests/support/support.h"

namespace postnas {
namespace {

Json pretrain()
{
    return parseJson(R"({"stage": "pretrain", "seed": 3, "architecture": {"model_type": "qwen2", "hidden_size": 64},
        "tokenizer": "tok", "data": [{"path": "a", "steps": 10}, {"path": "b", "steps": 30}], "sequence_length": 128,
        "learning_rate": 0.002, "min_learning_rate": 0.0002, "warmup_steps": 5, "betas": [0.9, 0.99], "dtype": "bfloat16"})",
                     "test");
}

Json placement()
{
    return parseJson(R"({"stage": "placement", "model": "/models/m", "data": [{"path": "text.jsonl.zst"}],
        "tasks": ["tasks/retrieval.yaml"], "full_layers": 2, "objectives": {"retrieval": "accuracy"},
        "training": {"steps": 100, "batch_size": 8}, "sliding_window": {"layers": 2, "window": 32, "task": "knowledge"}})",
                     "test");
}

TEST(JobSpec, PretrainIsReadWithDefaultsAndPathsOfItsFolder)
{
    const JobSpec spec = parseJobSpec(pretrain(), "spec.json", "/work/specs");
    const auto& p = std::get<PretrainSpec>(spec.body);
    EXPECT_EQ(p.seed, 3u);
    EXPECT_EQ(p.tokenizer, "/work/specs/tok");
    ASSERT_EQ(p.data.size(), 2u);
    EXPECT_EQ(p.data[1].path, "/work/specs/b");
    EXPECT_EQ(p.steps, 40) << "the sum of the phases";
    EXPECT_EQ(p.dtype, DtypeChoice::BFloat16);
    EXPECT_EQ(p.beta2, 0.99);
    EXPECT_EQ(p.batchSize, 64);
    EXPECT_EQ(p.architecture["hidden_size"], 64);
    EXPECT_EQ(spec.common().keepCheckpoints, 2);
}

TEST(JobSpec, PlacementIsRead)
{
    const JobSpec spec = parseJobSpec(placement(), "spec.json", "/x");
    const auto& p = std::get<PlacementSpec>(spec.body);
    EXPECT_EQ(p.model, "/models/m");
    EXPECT_EQ(p.tasks.at(0), "/x/tasks/retrieval.yaml");
    EXPECT_EQ(p.training.steps, 100);
    EXPECT_EQ(p.training.fullProbability, 0.25);
    ASSERT_TRUE(p.slidingWindow);
    EXPECT_EQ(p.slidingWindow->window, 32);
    EXPECT_EQ(p.exhaustive, ExhaustiveChoice::Auto);
    EXPECT_EQ(p.placementTask, "mean");
}

TEST(JobSpec, WritingAndReadingGivesTheSame)
{
    for (const Json& json : {pretrain(), placement()}) {
        const Json once = toJson(parseJobSpec(json, "s", "/x"));
        EXPECT_EQ(toJson(parseJobSpec(once, "s", "/elsewhere")), once);
    }
    Json exhaustive = placement();
    exhaustive["exhaustive"] = true;
    exhaustive["sliding_window"] = nullptr;
    exhaustive["training"]["activation_checkpointing"] = false;
    const Json once = toJson(parseJobSpec(exhaustive, "s", "/x"));
    EXPECT_EQ(once["exhaustive"], true);
    EXPECT_EQ(once["training"]["activation_checkpointing"], false);
    EXPECT_EQ(toJson(parseJobSpec(once, "s", "/y")), once);
}

TEST(JobSpec, OtherStagesKeepTheirKeys)
{
    const Json json = parseJson(R"({"stage": "evaluate", "threads": 3, "anything": [1]})", "t");
    const JobSpec spec = parseJobSpec(json, "s", "/");
    EXPECT_EQ(spec.common().threads, 3);
    EXPECT_EQ(toJson(spec)["anything"], Json::array({1}));
}

struct Mistake {
    const char* change;  ///< JSON merge patch
    const char* message; ///< part of what is said
    const char* hint;
};

class JobSpecMistake : public testing::TestWithParam<Mistake> {};

TEST_P(JobSpecMistake, IsNamed)
{
    const Mistake& mistake = GetParam();
    const Json patch = parseJson(mistake.change, "patch");
    Json json = patch.contains("model") || patch.contains("beam_widht") || patch.contains("training") || patch.contains("sliding_window")
                        || patch.contains("objectives") || patch.contains("exhaustive") || patch.contains("tasks")
                    ? placement()
                    : pretrain();
    json.merge_patch(patch);
    try {
        parseJobSpec(json, "spec.json", "/x");
        FAIL() << mistake.change;
    } catch (const Error& error) {
        EXPECT_EQ(error.errorClass(), ErrorClass::Usage);
        EXPECT_THAT(error.what(), testing::HasSubstr("spec.json"));
        EXPECT_THAT(error.what(), testing::HasSubstr(mistake.message));
        EXPECT_THAT(error.hint(), testing::HasSubstr(mistake.hint));
    }
}

INSTANTIATE_TEST_SUITE_P(
    All, JobSpecMistake,
    testing::Values(Mistake {R"({"learning_rat": 1})", "\"learning_rat\"", "learning_rate"}, Mistake {R"({"beam_widht": 1})", "beam_widht", "beam_width"},
                    Mistake {R"({"training": {"step": 1}})", "training.step", "steps"}, Mistake {R"({"stage": "dance"})", "stage", "placement"},
                    Mistake {R"({"stage": null})", "stage", ""}, Mistake {R"({"batch_size": 0})", "batch_size", ""},
                    Mistake {R"({"batch_size": "8"})", "batch_size", ""}, Mistake {R"({"seed": -1})", "seed", ""},
                    Mistake {R"({"seed": 18446744073709551615})", "seed", ""}, Mistake {R"({"min_learning_rate": 1})", "min_learning_rate", ""},
                    Mistake {R"({"betas": [0.9]})", "betas", ""}, Mistake {R"({"betas": [0.9, 1.0]})", "betas", ""},
                    Mistake {R"({"dtype": "float8"})", "dtype", ""}, Mistake {R"({"device": "tpu"})", "device", ""},
                    Mistake {R"({"data": []})", "data", ""}, Mistake {R"({"data": [{"path": "a", "steps": 1}, {"path": "b"}]})", "data", "phases"},
                    Mistake {R"({"data": [{"pth": "a"}]})", "data[0].pth", "path"}, Mistake {R"({"data": [{"path": ""}]})", "data[0].path", ""},
                    Mistake {R"({"tokenizer": null})", "tokenizer", ""}, Mistake {R"({"architecture": 3})", "architecture", ""},
                    Mistake {R"({"warmup_steps": 41})", "warmup_steps", ""}, Mistake {R"({"model": null})", "model", ""},
                    Mistake {R"({"tasks": []})", "tasks", ""}, Mistake {R"({"objectives": {"retrieval": "speed"}})", "objectives.retrieval", ""},
                    Mistake {R"({"exhaustive": "maybe"})", "exhaustive", ""}, Mistake {R"({"sliding_window": {"task": null}})", "sliding_window.task", ""},
                    Mistake {R"({"activation_checkpointing": "some"})", "activation_checkpointing", ""},
                    Mistake {R"({"training": {"full_probability": 1.5}})", "training.full_probability", ""}));

TEST(JobSpec, FilesAreReadAgainstTheirFolder)
{
    const test::TemporaryFolder folder;
    test::writeFile(folder / "spec.json", dumpJson(pretrain()));
    EXPECT_EQ(std::get<PretrainSpec>(readJobSpec(folder / "spec.json").body).tokenizer, folder / "tok");
    test::writeFile(folder / "broken.json", "{");
    try {
        readJobSpec(folder / "broken.json");
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.errorClass(), ErrorClass::Input);
    }
}

TEST(JobSpec, HasNoEndlessListOfObjectives)
{
    Json json = placement();
    for (int i = 0; i < 5000; ++i)
        json["objectives"]["task" + std::to_string(i)] = "accuracy";
    try {
        parseJobSpec(json, "spec.json", "/x");
        FAIL();
    } catch (const Error& error) {
        EXPECT_THAT(error.what(), testing::HasSubstr("\"objectives\" has too many entries"));
    }
}

} // namespace
} // namespace postnas
