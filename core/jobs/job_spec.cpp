// Reading and checking of job specs.
#include "core/jobs/job_spec.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/jobs/spec_reader.h"

namespace postnas {
namespace fs = std::filesystem;
namespace {

const std::vector<std::string_view> kCommonKeys {"stage", "seed", "dtype", "device", "threads", "checkpoint_every", "keep_checkpoints"};

const std::vector<std::string_view> kTrainingKeys {"steps",        "batch_size",    "sequence_length", "learning_rate", "min_learning_rate",
                                                   "warmup_steps", "weight_decay", "gradient_clip",   "packing",       "activation_checkpointing",
                                                   "log_every"};

std::vector<std::string_view> withCommon(std::initializer_list<std::string_view> own, const std::vector<std::string_view>& more = {})
{
    std::vector<std::string_view> keys = kCommonKeys;
    keys.insert(keys.end(), own);
    keys.insert(keys.end(), more.begin(), more.end());
    return keys;
}

void readCommon(const SpecReader& in, CommonSpec& out)
{
    in.integer("seed", out.seed, 0, kMaxSeed);
    in.choice<DtypeChoice>("dtype", out.dtype,
                           {{"auto", DtypeChoice::Auto}, {"bfloat16", DtypeChoice::BFloat16}, {"float32", DtypeChoice::Float32}});
    in.choice<DeviceChoice>("device", out.device,
                            {{"auto", DeviceChoice::Auto}, {"cpu", DeviceChoice::Cpu}, {"cuda", DeviceChoice::Cuda}});
    in.integer("threads", out.threads, 0, 4096);
    in.integer("checkpoint_every", out.checkpointEvery, 0, kMaxSteps);
    in.integer("keep_checkpoints", out.keepCheckpoints, 1, 1000);
}

void readRecompute(const JsonReader& json, TrainingSpec& out)
{
    if (!json.has("activation_checkpointing"))
        return;
    const Json& value = json.value("activation_checkpointing");
    if (value.is_boolean())
        out.recompute = value.get<bool>() ? RecomputeChoice::Always : RecomputeChoice::Never;
    else if (!value.is_string() || value.get<std::string>() != "auto")
        json.fail("activation_checkpointing", R"(must be true, false or "auto")");
}

/// All but `steps`, which must be read before.
void readTraining(const SpecReader& in, TrainingSpec& out)
{
    in.integer("batch_size", out.batchSize, 1, kMaxBatch);
    in.integer("sequence_length", out.sequenceLength, 2, kMaxLength);
    in.number("learning_rate", out.learningRate, 0, 100);
    in.number("min_learning_rate", out.minLearningRate, 0, out.learningRate);
    in.integer("warmup_steps", out.warmupSteps, 0, out.steps);
    in.number("weight_decay", out.weightDecay, 0, 100);
    in.number("gradient_clip", out.gradientClip, 0, 1e9);
    in.boolean("packing", out.packing);
    readRecompute(in.json(), out);
    in.integer("log_every", out.logEvery, 1, kMaxSteps);
}

PretrainSpec readPretrain(const JsonReader& json, const fs::path& base)
{
    const SpecReader in(json, base,
                        withCommon({"architecture", "tokenizer", "data", "accumulation", "betas", "evaluate_every", "tasks", "item_limit"},
                                   kTrainingKeys));
    PretrainSpec out;
    readCommon(in, out);
    out.architecture = json.object("architecture").json();
    out.tokenizer = in.path("tokenizer");
    out.data = in.dataSources();
    in.integer("accumulation", out.accumulation, 1, kMaxBatch);
    if (json.has("steps")) {
        out.steps = json.integer("steps", 1, kMaxSteps);
    } else {
        for (const DataSource& source : out.data)
            out.steps += source.steps.value_or(0);
        if (out.steps == 0)
            json.fail("steps", "is missing");
    }
    readTraining(in, out);
    if (in.has("betas")) {
        const Json& betas = json.value("betas");
        if (!betas.is_array() || betas.size() != 2 || !betas[0].is_number() || !betas[1].is_number())
            json.fail("betas", "must be a list of two numbers");
        out.beta1 = betas[0].get<double>();
        out.beta2 = betas[1].get<double>();
        for (const double beta : {out.beta1, out.beta2})
            if (!(beta >= 0 && beta < 1))
                json.fail("betas", "must be at least 0 and below 1");
    }
    in.integer("evaluate_every", out.evaluateEvery, 0, kMaxSteps);
    out.tasks = in.paths("tasks");
    in.integer("item_limit", out.itemLimit, 0, kMaxSteps);
    return out;
}

void readExhaustive(const JsonReader& json, PlacementSpec& out)
{
    if (!json.has("exhaustive"))
        return;
    const Json& value = json.value("exhaustive");
    if (value.is_boolean())
        out.exhaustive = value.get<bool>() ? ExhaustiveChoice::Always : ExhaustiveChoice::Never;
    else if (value.is_string() && value.get<std::string>() == "auto")
        out.exhaustive = ExhaustiveChoice::Auto;
    else
        json.fail("exhaustive", R"(must be true, false or "auto")");
}

PlacementSpec readPlacement(const JsonReader& json, const fs::path& base)
{
    const SpecReader in(json, base,
                        withCommon({"model", "data", "tasks", "item_limit", "linear_block", "linear_parameters",
                                    "initialise_from_teacher", "training", "full_layers", "beam_width", "objectives",
                                    "placement_task", "sliding_window", "uniform_baselines", "exhaustive", "exhaustive_limit",
                                    "report_items", "context"}));
    PlacementSpec out;
    readCommon(in, out);
    out.model = in.path("model");
    out.data = in.dataSources();
    out.tasks = in.paths("tasks");
    if (out.tasks.empty())
        json.fail("tasks", "must name at least one task file");
    in.integer("item_limit", out.itemLimit, 0, kMaxSteps);
    in.string("linear_block", out.linearBlock);
    if (out.linearBlock.empty())
        json.fail("linear_block", "must name a block");
    if (in.has("linear_parameters"))
        out.linearParameters = json.object("linear_parameters").json();
    in.boolean("initialise_from_teacher", out.initialiseFromTeacher);
    if (in.has("training")) {
        std::vector<std::string_view> keys = kTrainingKeys;
        keys.push_back("full_probability");
        const SpecReader training = in.object("training", std::move(keys));
        training.integer("steps", out.training.steps, 0, kMaxSteps);
        readTraining(training, out.training);
        training.number("full_probability", out.training.fullProbability, 0, 1);
    }
    in.integer("full_layers", out.fullLayers, 0, 4096);
    in.integer("beam_width", out.beamWidth, 1, 100'000);
    if (in.has("objectives")) {
        const JsonReader objectives = json.object("objectives");
        if (objectives.json().size() > kMaxEntries)
            json.fail("objectives", "has too many entries");
        for (const auto& [task, value] : objectives.json().items()) {
            const std::string objective = objectives.string(task);
            if (objective != "accuracy" && objective != "negative_loss")
                objectives.fail(task, R"(must be "accuracy" or "negative_loss")");
            out.objectives[task] = objective;
        }
    }
    in.string("placement_task", out.placementTask);
    if (in.has("sliding_window")) {
        const SpecReader window = in.object("sliding_window", {"layers", "window", "task"});
        SlidingWindowSpec value;
        value.layers = static_cast<int>(window.json().integer("layers", 0, 4096));
        value.window = window.json().integer("window", 1, kMaxLength);
        value.task = window.json().string("task");
        out.slidingWindow = std::move(value);
    }
    in.boolean("uniform_baselines", out.uniformBaselines);
    readExhaustive(json, out);
    in.integer("exhaustive_limit", out.exhaustiveLimit, 0, 10'000'000);
    in.integer("report_items", out.reportItems, 0, kMaxSteps);
    in.integer("context", out.context, 0, std::int64_t {1} << 32);
    return out;
}

JobSpec parse(const Json& json, const std::string& source, const fs::path& base)
{
    const JsonReader in(json, source);
    JobSpec out;
    out.stage = in.string("stage");
    const auto& stages = stageNames();
    if (std::find(stages.begin(), stages.end(), out.stage) == stages.end()) {
        std::string all;
        for (const std::string& name : stages)
            all += (all.empty() ? "" : ", ") + name;
        in.fail("stage", "is \"" + out.stage.substr(0, 64) + "\"", "The stages are: " + all + ".");
    }
    if (out.stage == "pretrain") {
        out.body = readPretrain(in, base);
    } else if (out.stage == "placement") {
        out.body = readPlacement(in, base);
    } else {
        OtherSpec other;
        std::vector<std::string_view> keys;
        for (const auto& item : json.items())
            keys.push_back(item.key());
        readCommon(SpecReader(in, base, std::move(keys)), other);
        other.json = json;
        out.body = std::move(other);
    }
    return out;
}

} // namespace

const char* dtypeChoiceName(DtypeChoice choice)
{
    switch (choice) {
    case DtypeChoice::Auto: return "auto";
    case DtypeChoice::BFloat16: return "bfloat16";
    case DtypeChoice::Float32: return "float32";
    }
    return "auto";
}

const char* deviceChoiceName(DeviceChoice choice)
{
    switch (choice) {
    case DeviceChoice::Auto: return "auto";
    case DeviceChoice::Cpu: return "cpu";
    case DeviceChoice::Cuda: return "cuda";
    }
    return "auto";
}

const CommonSpec& JobSpec::common() const
{
    return std::visit([](const auto& spec) -> const CommonSpec& { return spec; }, body);
}

const std::vector<std::string>& stageNames()
{
    static const std::vector<std::string> names {"placement", "block-selection", "block-design", "hardware-search", "distill",
                                                 "finetune",  "pretrain",        "evaluate",     "benchmark"};
    return names;
}

JobSpec parseJobSpec(const Json& json, const std::string& source, const fs::path& baseFolder)
{
    try {
        return parse(json, source, fs::absolute(baseFolder));
    } catch (const Error& error) {
        if (error.errorClass() == ErrorClass::Input)
            throw usageError(error.what(), error.hint());
        throw;
    }
}

JobSpec readJobSpec(const fs::path& file)
{
    return parseJobSpec(readJsonFile(file, 16u << 20), file.string(), fs::absolute(file).parent_path());
}

} // namespace postnas
