// Real runs of the real program: they learn, stop, are killed at many points, and end with the numbers of an undisturbed run.
#include <chrono>
#include <csignal>
#include <cstring>
#include <cmath>
#include <fstream>
#include <random>
#include <thread>

#include <sys/wait.h>
#include <unistd.h>

#include <gmock/gmock.h>

#include "core/architecture/architecture.h"
#include "core/base/files.h"
#include "core/base/json.h"
#include "core/huggingface/safetensors.h"
#include "core/jobs/event_reader.h"
#include "core/jobs/run_folder.h"
#include "tests/support/support.h"

namespace postnas {
namespace {

namespace fs = std::filesystem;
using test::runProcess;
using testing::HasSubstr;

std::string program() { return (test::programFolder() / "postnas").string(); }
fs::path quickstart() { return test::sourceFolder() / "projects" / "quickstart"; }

/// A corpus that a tiny model learns quickly: few words in a fixed order.
void writeCorpus(const fs::path& file)
{
    std::string lines;
    for (int i = 0; i < 64; ++i)
        lines += "{\"text\": \"" + std::to_string(i % 10) + " + 1 = " + std::to_string((i + 1) % 10) + ". We call the gate amber. 2 + 2 = 4.\"}\n";
    test::writeFile(file, lines);
}

/// Everything that runs share: token shards, and the spec of a small pretraining.
class Runs : public testing::Test {
protected:
    static void SetUpTestSuite()
    {
        s_folder = std::make_unique<test::TemporaryFolder>();
        writeCorpus(*s_folder / "corpus.jsonl");
        std::vector<std::pair<std::string, std::string>> sums;
        for (int i = 0; i < 10; ++i)
            sums.emplace_back(std::to_string(i) + " + 1", std::to_string(i + 1));
        test::writeGenerationTask(s_folder->path(), "sums", "{{problem}} =", 5, sums);
        const auto built = runProcess({program(), "data", "build", "--tokenizer", (quickstart() / "tokenizer").string(), "--output",
                                       (*s_folder / "shards").string(), (*s_folder / "corpus.jsonl").string()});
        ASSERT_EQ(built.exitCode, 0) << built.errors;
        const auto done = pretrain(pretrainSpec(), *s_folder / "reference");
        ASSERT_EQ(done.exitCode, 0) << done.errors;
    }
    static void TearDownTestSuite() { s_folder.reset(); }

    static Json pretrainSpec()
    {
        return {{"stage", "pretrain"},
                {"seed", 7},
                {"architecture",
                 {{"model_type", "qwen2"}, {"vocab_size", 1184}, {"hidden_size", 32}, {"intermediate_size", 48}, {"num_hidden_layers", 3},
                  {"num_attention_heads", 2}, {"num_key_value_heads", 1}, {"max_position_embeddings", 128}, {"hidden_act", "silu"},
                  {"rms_norm_eps", 1e-6}, {"rope_theta", 10000.0}, {"tie_word_embeddings", true}, {"eos_token_id", 1175}, {"pad_token_id", 1173}}},
                {"tokenizer", (quickstart() / "tokenizer").string()},
                {"data", Json::array({{{"path", (*s_folder / "shards").string()}}})},
                {"sequence_length", 48},
                {"batch_size", 8},
                {"accumulation", 2},
                {"steps", 90},
                {"learning_rate", 1e-2},
                {"warmup_steps", 5},
                {"log_every", 1},
                {"checkpoint_every", 7},
                {"device", "cpu"},
                {"threads", 1}};
    }

    static Json placementSpec()
    {
        const fs::path tasks = quickstart() / "tasks";
        return {{"stage", "placement"},
                {"seed", 3},
                {"model", (*s_folder / "reference" / "artifacts" / "model").string()},
                {"data", Json::array({{{"path", (quickstart() / "placement-data.jsonl.gz").string()}}})},
                {"tasks", {(tasks / "retrieval.yaml").string(), (tasks / "knowledge.yaml").string(), (*s_folder / "sums.yaml").string()}},
                {"item_limit", 6},
                {"report_items", 4},
                {"training", {{"steps", 24}, {"batch_size", 2}, {"sequence_length", 64}, {"learning_rate", 2e-3}, {"log_every", 1}}},
                {"full_layers", 1},
                {"beam_width", 2},
                {"sliding_window", {{"layers", 1}, {"window", 16}, {"task", "knowledge"}}},
                {"context", 64},
                {"checkpoint_every", 5},
                {"device", "cpu"},
                {"threads", 1}};
    }

    static std::vector<std::string> command(const std::string& stage, const fs::path& folder, const std::string& spec, bool resume)
    {
        std::vector<std::string> out = {program(), "run", stage, "--run-dir", folder.string(), "--quiet"};
        if (!spec.empty())
            out.insert(out.end(), {"--spec", spec});
        if (resume)
            out.emplace_back("--resume");
        return out;
    }

    static test::ProcessResult pretrain(const Json& spec, const fs::path& folder)
    {
        const fs::path file = folder.string() + ".json";
        test::writeFile(file, dumpJson(spec));
        return runProcess(command("pretrain", folder, file.string(), false));
    }

    /// Starts the stage again and again and sends it `signal`, `kills` times, then lets it come to its end. Returns how often it hit.
    /// The n-th signal comes when the log has as many events as the n-th part of an undisturbed run's, so that the hits are spread over
    /// the whole run however fast the machine is; a random delay moves them off the writing of the event itself.
    static int disturb(const std::string& stage, const Json& spec, const fs::path& folder, int signal, int kills, const fs::path& undisturbed)
    {
        const fs::path file = folder.string() + ".json";
        test::writeFile(file, dumpJson(spec));
        std::mt19937 random(static_cast<unsigned>(signal));
        const auto uniform = [&](double longest) { return std::uniform_real_distribution<double>(0, longest)(random); };
        const double part = static_cast<double>(eventCount(undisturbed)) / kills;
        int hit = 0;
        for (int attempt = 0; attempt <= kills + 1; ++attempt) {
            const std::vector<std::string> arguments = command(stage, folder, attempt == 0 ? file.string() : "", attempt > 0);
            const pid_t child = ::fork();
            if (child == 0) {
                std::vector<char*> argv;
                for (const std::string& a : arguments)
                    argv.push_back(const_cast<char*>(a.c_str()));
                argv.push_back(nullptr);
                ::freopen("/dev/null", "w", stderr);
                ::execv(argv[0], argv.data());
                ::_exit(127);
            }
            int status = 0;
            bool ended = false;
            if (hit < kills) {
                const auto enough = static_cast<std::int64_t>((hit + uniform(1)) * part);
                const std::int64_t before = eventCount(folder);
                while (!ended && eventCount(folder) < std::max(enough, before + 1)) {
                    std::this_thread::sleep_for(std::chrono::milliseconds(1));
                    ended = ::waitpid(child, &status, WNOHANG) == child;
                }
                std::this_thread::sleep_for(std::chrono::duration<double>(uniform(0.015)));
                if (!ended)
                    ::kill(child, signal);
            }
            if (!ended)
                ::waitpid(child, &status, 0);
            if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
                return hit;
            EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 130) << "exit " << WEXITSTATUS(status);
            ++hit;
        }
        ADD_FAILURE() << "the run never ended";
        return hit;
    }

    /// Lines of the run's log; 0 where there is none yet.
    static std::int64_t eventCount(const fs::path& folder)
    {
        std::ifstream in(folder / "events.jsonl", std::ios::binary);
        return std::count(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>(), '\n');
    }

    /// Until the run says something (or for a minute).
    static void waitForEvents(const fs::path& folder, std::int64_t atLeast = 1)
    {
        for (int i = 0; i < 60000 && eventCount(folder) < atLeast; ++i)
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }

    static std::vector<double> losses(const fs::path& folder)
    {
        std::map<std::int64_t, double> byStep;
        EventReader reader(folder / "events.jsonl");
        for (auto events = reader.readNew(); !events.empty(); events = reader.readNew())
            for (const Event& e : events)
                if (const auto* metric = std::get_if<event::Metric>(&e.body); metric != nullptr && metric->name == "loss")
                    byStep[metric->step] = metric->value;
        std::vector<double> out;
        for (const auto& [step, value] : byStep)
            out.push_back(value);
        return out;
    }

    static std::string modelHash(const fs::path& folder) { return hashFile(folder / "artifacts" / "model" / "model.safetensors"); }

    static std::unique_ptr<test::TemporaryFolder> s_folder;
};

std::unique_ptr<test::TemporaryFolder> Runs::s_folder;

TEST_F(Runs, PretrainingLearnsAndLeavesAModelThatOpens)
{
    const std::vector<double> loss = losses(*s_folder / "reference");
    ASSERT_EQ(loss.size(), 90u);
    EXPECT_GT(loss.front(), 6.5); // ln 1184 is 7.08
    EXPECT_LT(loss.back(), 1.5);
    const auto inspect = runProcess({program(), "inspect", (*s_folder / "reference" / "artifacts" / "model").string(), "--json"});
    ASSERT_EQ(inspect.exitCode, 0) << inspect.errors;
    EXPECT_EQ(parseJson(inspect.output, "inspect")["layers"].size(), 3u);
    const auto text = runProcess({program(), "generate", (*s_folder / "reference" / "artifacts" / "model").string(), "--prompt", "We call the gate",
                                  "--max-new-tokens", "1", "--device", "cpu"});
    EXPECT_EQ(text.output, " amber\n") << text.errors;
    const auto record = RunFolder::open(*s_folder / "reference").readExit();
    ASSERT_TRUE(record.has_value());
    EXPECT_EQ(record->code, 0);
}

TEST_F(Runs, PretrainingKilledAtManyPointsEndsWithTheSameWeights)
{
    const int kills = disturb("pretrain", pretrainSpec(), *s_folder / "killed", SIGKILL, 8, *s_folder / "reference");
    EXPECT_GE(kills, 7);
    EXPECT_EQ(modelHash(*s_folder / "killed"), modelHash(*s_folder / "reference"));
    EXPECT_EQ(losses(*s_folder / "killed"), losses(*s_folder / "reference"));
}

TEST_F(Runs, PretrainingStoppedByTermLosesNothing)
{
    const int stops = disturb("pretrain", pretrainSpec(), *s_folder / "stopped", SIGTERM, 3, *s_folder / "reference");
    EXPECT_GE(stops, 2);
    EXPECT_EQ(modelHash(*s_folder / "stopped"), modelHash(*s_folder / "reference"));
}

TEST_F(Runs, AStoppedRunSaysThatItCanBeResumed)
{
    Json spec = pretrainSpec();
    spec["steps"] = 100000;
    const fs::path folder = *s_folder / "term", file = *s_folder / "term.json";
    test::writeFile(file, dumpJson(spec));
    const pid_t child = ::fork();
    if (child == 0) {
        ::freopen("/dev/null", "w", stderr);
        ::execl(program().c_str(), program().c_str(), "run", "pretrain", "--spec", file.c_str(), "--run-dir", folder.c_str(), "--quiet", nullptr);
        ::_exit(127);
    }
    waitForEvents(folder, 20);
    ::kill(child, SIGTERM);
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(WEXITSTATUS(status), 130);
    const auto record = RunFolder::open(folder).readExit();
    ASSERT_TRUE(record.has_value());
    EXPECT_EQ(record->code, 130);
    EXPECT_TRUE(record->resumable);
    EXPECT_TRUE(RunFolder::open(folder).newestCheckpoint().has_value());
    const auto again = runProcess(command("pretrain", folder, file.string(), false));
    EXPECT_EQ(again.exitCode, 2);
    EXPECT_THAT(again.errors, HasSubstr("--resume"));
}

TEST_F(Runs, ALossThatIsNoNumberStopsTheRunWithTheLastGoodCheckpoint)
{
    Json spec = pretrainSpec();
    // A decay larger than the weights themselves: good at first, then each step multiplies them until they overflow.
    spec["learning_rate"] = 100;
    spec["weight_decay"] = 1.0;
    spec["warmup_steps"] = 60;
    spec["checkpoint_every"] = 1;
    const auto run = pretrain(spec, *s_folder / "nan");
    EXPECT_EQ(run.exitCode, 4) << run.errors;
    EXPECT_THAT(run.errors, testing::ContainsRegex("became (NaN|infinite) at step"));
    const auto checkpoint = RunFolder::open(*s_folder / "nan").newestCheckpoint();
    ASSERT_TRUE(checkpoint.has_value());
    EXPECT_GE(checkpoint->step, 1);
    const SafetensorsFile weights = SafetensorsFile::open(checkpoint->folder / "model.safetensors");
    for (const auto& [name, view] : weights.tensors())
        for (std::size_t i = 0; i < view.data.size(); i += sizeof(float)) {
            float value = 0;
            std::memcpy(&value, view.data.data() + i, sizeof value);
            ASSERT_TRUE(std::isfinite(value)) << name;
        }
    EXPECT_FALSE(fs::exists(*s_folder / "nan" / "artifacts" / "model"));
}

TEST_F(Runs, AFullDiskStopsTheRunAndKeepsTheLastCheckpoint)
{
    // The file size limit stands in for the disk: the checkpoint of this model is larger than 64 KiB, events are smaller.
    const fs::path folder = *s_folder / "full", file = *s_folder / "full.json";
    Json spec = pretrainSpec();
    spec["steps"] = 40;
    test::writeFile(file, dumpJson(spec));
    ASSERT_EQ(runProcess({"/bin/bash", "-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\"", program(), "run", "pretrain", "--spec", file.string(),
                          "--run-dir", folder.string(), "--quiet"})
                  .exitCode,
              4);
    const auto record = RunFolder::open(folder).readExit();
    ASSERT_TRUE(record.has_value());
    EXPECT_EQ(record->code, 4);
    EXPECT_TRUE(record->resumable);
    EXPECT_FALSE(RunFolder::open(folder).newestCheckpoint().has_value());
    const auto resumed = runProcess(command("pretrain", folder, "", true));
    EXPECT_EQ(resumed.exitCode, 0) << resumed.errors;
    EXPECT_TRUE(fs::exists(folder / "artifacts" / "model" / "model.safetensors"));
}

TEST_F(Runs, PlacementFindsScoresAndExportsAHybridThatChats)
{
    const fs::path folder = *s_folder / "placement", file = *s_folder / "placement.json";
    test::writeFile(file, dumpJson(placementSpec()));
    const auto run = runProcess(command("placement", folder, file.string(), false));
    ASSERT_EQ(run.exitCode, 0) << run.errors;

    const Json heatmap = readJsonFile(folder / "artifacts" / "heatmap.json");
    ASSERT_EQ(heatmap["tasks"].size(), 3u);
    EXPECT_EQ(heatmap["tasks"][0]["cells"].size(), 3u);
    EXPECT_TRUE(heatmap["tasks"][0]["all"].contains("negative_loss"));
    EXPECT_TRUE(heatmap["tasks"][2]["all"].contains("accuracy"));
    EXPECT_FALSE(heatmap["tasks"][2]["all"].contains("negative_loss")) << "generated text has no loss";
    const Json search = readJsonFile(folder / "artifacts" / "search.json");
    // Teacher, linear, three single layers, and full x sliding pairs: each stored once.
    std::set<std::string> seen;
    for (const Json& placement : search["placements"])
        EXPECT_TRUE(seen.insert(placement["full"].dump() + placement["sliding"].dump()).second);
    EXPECT_GE(seen.size(), 7u);

    const Architecture hybrid = [&] {
        const auto inspect = runProcess({program(), "inspect", (folder / "artifacts" / "hybrid").string(), "--json"});
        EXPECT_EQ(inspect.exitCode, 0) << inspect.errors;
        Architecture a;
        const Json json = parseJson(inspect.output, "inspect");
        for (const Json& layer : json["layers"])
            a.layers.push_back({layer["block"].get<std::string>(), Json::object()});
        return a;
    }();
    int full = 0, sliding = 0, linear = 0;
    for (const LayerSpec& layer : hybrid.layers) {
        full += layer.block == "attention";
        sliding += layer.block == "sliding_window";
        linear += layer.block == "gla";
    }
    EXPECT_EQ(full, 1);
    EXPECT_EQ(sliding, 1);
    EXPECT_EQ(linear, 1);
    const auto chat = runProcess({program(), "chat", (folder / "artifacts" / "hybrid").string(), "--max-new-tokens", "4", "--device", "cpu"}, "What is 1 + 1?\n");
    EXPECT_EQ(chat.exitCode, 0) << chat.errors;
}

TEST_F(Runs, PlacementKilledAtManyPointsEndsWithTheSameNumbersAndScoresNothingTwice)
{
    const fs::path folder = *s_folder / "placement-killed";
    const int kills = disturb("placement", placementSpec(), folder, SIGKILL, 8, *s_folder / "placement");
    EXPECT_GE(kills, 7);
    for (const char* artifact : {"heatmap.json", "results.json"})
        EXPECT_EQ(readJsonFile(folder / "artifacts" / artifact), readJsonFile(*s_folder / "placement" / "artifacts" / artifact)) << artifact;
    EXPECT_EQ(hashFile(folder / "artifacts" / "hybrid" / "model.safetensors"), hashFile(*s_folder / "placement" / "artifacts" / "hybrid" / "model.safetensors"));

    // A task's score of a placement appears anew only once in the log.
    std::map<std::string, std::set<std::string>> scored;
    EventReader reader(folder / "events.jsonl");
    for (auto events = reader.readNew(); !events.empty(); events = reader.readNew())
        for (const Event& e : events)
            if (const auto* candidate = std::get_if<event::Candidate>(&e.body))
                for (const auto& [task, metrics] : candidate->scores)
                    scored[candidate->id].insert(task + " " + std::to_string(metrics.at("objective")));
    for (const auto& [id, scores] : scored)
        EXPECT_LE(scores.size(), 3u) << id << " was scored with different results";
}

TEST_F(Runs, BadSpecsAreUsageErrorsThatNameTheKey)
{
    Json spec = placementSpec();
    spec["beam_widht"] = 3;
    test::writeFile(*s_folder / "bad.json", dumpJson(spec));
    auto run = runProcess(command("placement", *s_folder / "bad", (*s_folder / "bad.json").string(), false));
    EXPECT_EQ(run.exitCode, 2);
    EXPECT_THAT(run.errors, testing::AllOf(HasSubstr("beam_widht"), HasSubstr("beam_width")));

    spec = placementSpec();
    spec["full_layers"] = 3;
    test::writeFile(*s_folder / "bad2.json", dumpJson(spec));
    run = runProcess(command("placement", *s_folder / "bad2", (*s_folder / "bad2.json").string(), false));
    EXPECT_EQ(run.exitCode, 2);
    EXPECT_THAT(run.errors, HasSubstr("full_layers is 3"));
}

} // namespace
} // namespace postnas
