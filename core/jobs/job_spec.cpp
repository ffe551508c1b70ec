// Reading, checking and writing of job specs.
#include "core/jobs/job_spec.h"

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <numeric>
#include <string_view>

#include "core/base/error.h"

namespace postnas {
namespace fs = std::filesystem;
namespace {

constexpr std::int64_t kMaxSteps = 1'000'000'000;
constexpr std::int64_t kMaxSeed = std::int64_t {1} << 53;
constexpr std::int64_t kMaxLength = 1 << 24;
constexpr std::int64_t kMaxBatch = 1 << 20;
constexpr std::size_t kMaxEntries = 4096;

std::size_t editDistance(std::string_view a, std::string_view b)
{
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t {0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            diagonal = row[j];
            row[j] = std::min({row[j] + 1, row[j - 1] + 1, change});
        }
    }
    return row.back();
}

/// One object of the spec: typed access that knows which keys there are and where relative paths start.
class SpecReader {
public:
    SpecReader(const JsonReader& in, const fs::path& base, std::vector<std::string_view> known)
        : m_in(in)
        , m_base(base)
    {
        for (const auto& [key, value] : in.json().items()) {
            if (std::find(known.begin(), known.end(), key) != known.end())
                continue;
            if (key.size() > 64)
                in.fail(key.substr(0, 64) + "...", "is not known");
            const auto nearest = std::min_element(known.begin(), known.end(), [&](std::string_view a, std::string_view b) {
                return editDistance(key, a) < editDistance(key, b);
            });
            in.fail(key, "is not known", nearest == known.end() ? "" : "Did you mean \"" + std::string(*nearest) + "\"?");
        }
    }

    const JsonReader& json() const { return m_in; }
    bool has(const std::string& key) const { return m_in.has(key); }

    template <typename Integer>
    void integer(const std::string& key, Integer& value, std::int64_t min, std::int64_t max) const
    {
        value = static_cast<Integer>(m_in.integer(key, min, max, static_cast<std::int64_t>(value)));
    }
    void number(const std::string& key, double& value, double min, double max) const { value = m_in.number(key, min, max, value); }
    void boolean(const std::string& key, bool& value) const { value = m_in.boolean(key, value); }
    void string(const std::string& key, std::string& value) const { value = m_in.string(key, value); }

    template <typename Enum>
    void choice(const std::string& key, Enum& value, std::initializer_list<std::pair<std::string_view, Enum>> choices) const
    {
        if (!m_in.has(key))
            return;
        const std::string name = m_in.string(key);
        std::string all;
        for (const auto& [text, meaning] : choices) {
            if (text == name) {
                value = meaning;
                return;
            }
            all += (all.empty() ? "\"" : ", \"") + std::string(text) + "\"";
        }
        m_in.fail(key, "is \"" + name.substr(0, 64) + "\"; it must be one of " + all);
    }

    fs::path resolve(const std::string& key, const std::string& text) const
    {
        if (text.empty() || text.find('\0') != std::string::npos)
            m_in.fail(key, "must be a path");
        return (m_base / fs::path(text)).lexically_normal();
    }
    fs::path path(const std::string& key) const { return resolve(key, m_in.string(key)); }
    std::vector<fs::path> paths(const std::string& key) const
    {
        std::vector<fs::path> out;
        if (!m_in.has(key))
            return out;
        for (const std::string& text : m_in.strings(key))
            out.push_back(resolve(key, text));
        if (out.size() > kMaxEntries)
            m_in.fail(key, "has too many entries");
        return out;
    }
    SpecReader object(const std::string& key, std::vector<std::string_view> known) const
    {
        return {m_in.object(key), m_base, std::move(known)};
    }

    std::vector<DataSource> dataSources() const
    {
        const Json& list = m_in.value("data");
        if (!list.is_array() || list.empty())
            m_in.fail("data", "must be a list with at least one entry", R"(For example [{"path": "shards"}].)");
        if (list.size() > kMaxEntries)
            m_in.fail("data", "has too many entries");
        std::vector<DataSource> out;
        for (std::size_t i = 0; i < list.size(); ++i) {
            const SpecReader in({list[i], m_in.source(), "data[" + std::to_string(i) + "]"}, m_base, {"path", "steps", "weight"});
            DataSource source {in.path("path"), std::nullopt, 1};
            if (in.has("steps"))
                source.steps = in.json().integer("steps", 1, kMaxSteps);
            in.number("weight", source.weight, 1e-6, 1e6);
            if (source.steps.has_value() != (i == 0 ? source : out.front()).steps.has_value())
                m_in.fail("data", "mixes entries with and without \"steps\"",
                          "Give all entries steps (phases one after the other) or none (a mixture by weight).");
            out.push_back(std::move(source));
        }
        return out;
    }

private:
    JsonReader m_in;
    fs::path m_base;
};

const std::vector<std::string_view> kCommonKeys {"stage", "seed", "dtype", "device", "threads", "checkpoint_every", "keep_checkpoints"};

std::vector<std::string_view> withCommon(std::initializer_list<std::string_view> own)
{
    std::vector<std::string_view> keys = kCommonKeys;
    keys.insert(keys.end(), own);
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

PretrainSpec readPretrain(const JsonReader& json, const fs::path& base)
{
    const SpecReader in(json, base,
                        withCommon({"architecture", "tokenizer", "data", "sequence_length", "batch_size", "accumulation", "steps",
                                    "learning_rate", "min_learning_rate", "warmup_steps", "weight_decay", "betas", "gradient_clip",
                                    "packing", "log_every", "evaluate_every", "tasks", "item_limit"}));
    PretrainSpec out;
    readCommon(in, out);
    out.architecture = json.object("architecture").json();
    out.tokenizer = in.path("tokenizer");
    out.data = in.dataSources();
    in.integer("sequence_length", out.sequenceLength, 2, kMaxLength);
    in.integer("batch_size", out.batchSize, 1, kMaxBatch);
    in.integer("accumulation", out.accumulation, 1, kMaxBatch);
    if (json.has("steps")) {
        out.steps = json.integer("steps", 1, kMaxSteps);
    } else {
        for (const DataSource& source : out.data)
            out.steps += source.steps.value_or(0);
        if (out.steps == 0)
            json.fail("steps", "is missing");
    }
    in.number("learning_rate", out.learningRate, 0, 100);
    in.number("min_learning_rate", out.minLearningRate, 0, out.learningRate);
    in.integer("warmup_steps", out.warmupSteps, 0, out.steps);
    in.number("weight_decay", out.weightDecay, 0, 100);
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
    in.number("gradient_clip", out.gradientClip, 0, 1e9);
    in.boolean("packing", out.packing);
    in.integer("log_every", out.logEvery, 1, kMaxSteps);
    in.integer("evaluate_every", out.evaluateEvery, 0, kMaxSteps);
    out.tasks = in.paths("tasks");
    in.integer("item_limit", out.itemLimit, 0, kMaxSteps);
    return out;
}

SupernetTrainingSpec readTraining(const SpecReader& in)
{
    SupernetTrainingSpec out;
    in.integer("steps", out.steps, 0, kMaxSteps);
    in.integer("batch_size", out.batchSize, 1, kMaxBatch);
    in.integer("sequence_length", out.sequenceLength, 2, kMaxLength);
    in.number("learning_rate", out.learningRate, 0, 100);
    in.number("min_learning_rate", out.minLearningRate, 0, out.learningRate);
    in.integer("warmup_steps", out.warmupSteps, 0, out.steps);
    in.number("weight_decay", out.weightDecay, 0, 100);
    in.number("gradient_clip", out.gradientClip, 0, 1e9);
    in.number("full_probability", out.fullProbability, 0, 1);
    in.boolean("packing", out.packing);
    in.integer("log_every", out.logEvery, 1, kMaxSteps);
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
    if (in.has("training"))
        out.training = readTraining(in.object("training", {"steps", "batch_size", "sequence_length", "learning_rate",
                                                           "min_learning_rate", "warmup_steps", "weight_decay", "gradient_clip",
                                                           "full_probability", "packing", "log_every"}));
    in.integer("full_layers", out.fullLayers, 0, 4096);
    in.integer("beam_width", out.beamWidth, 1, 100'000);
    if (in.has("objectives")) {
        const JsonReader objectives = json.object("objectives");
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

Json toJson(const std::vector<DataSource>& sources)
{
    Json out = Json::array();
    for (const DataSource& source : sources) {
        Json entry {{"path", source.path.string()}};
        if (source.steps)
            entry["steps"] = *source.steps;
        if (source.weight != 1)
            entry["weight"] = source.weight;
        out.push_back(std::move(entry));
    }
    return out;
}

Json toJson(const std::vector<fs::path>& paths)
{
    Json out = Json::array();
    for (const fs::path& path : paths)
        out.push_back(path.string());
    return out;
}

void writeCommon(const CommonSpec& spec, Json& out)
{
    out["seed"] = spec.seed;
    out["dtype"] = dtypeChoiceName(spec.dtype);
    out["device"] = deviceChoiceName(spec.device);
    out["threads"] = spec.threads;
    out["checkpoint_every"] = spec.checkpointEvery;
    out["keep_checkpoints"] = spec.keepCheckpoints;
}

void write(const PretrainSpec& spec, Json& out)
{
    writeCommon(spec, out);
    out["architecture"] = spec.architecture;
    out["tokenizer"] = spec.tokenizer.string();
    out["data"] = toJson(spec.data);
    out["sequence_length"] = spec.sequenceLength;
    out["batch_size"] = spec.batchSize;
    out["accumulation"] = spec.accumulation;
    out["steps"] = spec.steps;
    out["learning_rate"] = spec.learningRate;
    out["min_learning_rate"] = spec.minLearningRate;
    out["warmup_steps"] = spec.warmupSteps;
    out["weight_decay"] = spec.weightDecay;
    out["betas"] = Json::array({spec.beta1, spec.beta2});
    out["gradient_clip"] = spec.gradientClip;
    out["packing"] = spec.packing;
    out["log_every"] = spec.logEvery;
    out["evaluate_every"] = spec.evaluateEvery;
    out["tasks"] = toJson(spec.tasks);
    out["item_limit"] = spec.itemLimit;
}

void write(const PlacementSpec& spec, Json& out)
{
    writeCommon(spec, out);
    out["model"] = spec.model.string();
    out["data"] = toJson(spec.data);
    out["tasks"] = toJson(spec.tasks);
    out["item_limit"] = spec.itemLimit;
    out["linear_block"] = spec.linearBlock;
    out["linear_parameters"] = spec.linearParameters;
    out["initialise_from_teacher"] = spec.initialiseFromTeacher;
    const SupernetTrainingSpec& training = spec.training;
    out["training"] = {{"steps", training.steps},
                       {"batch_size", training.batchSize},
                       {"sequence_length", training.sequenceLength},
                       {"learning_rate", training.learningRate},
                       {"min_learning_rate", training.minLearningRate},
                       {"warmup_steps", training.warmupSteps},
                       {"weight_decay", training.weightDecay},
                       {"gradient_clip", training.gradientClip},
                       {"full_probability", training.fullProbability},
                       {"packing", training.packing},
                       {"log_every", training.logEvery}};
    out["full_layers"] = spec.fullLayers;
    out["beam_width"] = spec.beamWidth;
    Json objectives = Json::object();
    for (const auto& [task, objective] : spec.objectives)
        objectives[task] = objective;
    out["objectives"] = std::move(objectives);
    out["placement_task"] = spec.placementTask;
    if (spec.slidingWindow)
        out["sliding_window"] = {{"layers", spec.slidingWindow->layers},
                                 {"window", spec.slidingWindow->window},
                                 {"task", spec.slidingWindow->task}};
    else
        out["sliding_window"] = nullptr;
    out["uniform_baselines"] = spec.uniformBaselines;
    if (spec.exhaustive == ExhaustiveChoice::Auto)
        out["exhaustive"] = "auto";
    else
        out["exhaustive"] = spec.exhaustive == ExhaustiveChoice::Always;
    out["exhaustive_limit"] = spec.exhaustiveLimit;
    out["report_items"] = spec.reportItems;
    out["context"] = spec.context;
}

void write(const OtherSpec& spec, Json& out)
{
    for (const auto& [key, value] : spec.json.items())
        out[key] = value;
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

Json toJson(const JobSpec& spec)
{
    Json out = Json::object();
    out["stage"] = spec.stage;
    std::visit([&](const auto& body) { write(body, out); }, spec.body);
    return out;
}

} // namespace postnas
