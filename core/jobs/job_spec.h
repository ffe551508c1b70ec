// The job specs: what a run is asked to do (spec.json), read and checked in one place for the worker and the window.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/base/json.h"

namespace postnas {

enum class DtypeChoice { Auto, BFloat16, Float32 };
enum class DeviceChoice { Auto, Cpu, Cuda };
const char* dtypeChoiceName(DtypeChoice choice);   ///< "auto", "bfloat16", "float32"
const char* deviceChoiceName(DeviceChoice choice); ///< "auto", "cpu", "cuda"

/// Where training tokens come from. Entries that all have `steps` are phases, one after the other; entries that all lack
/// it are mixed by `weight`.
struct DataSource {
    std::filesystem::path path; ///< a folder of token shards; for placement also a .jsonl/.txt file, optionally .gz or .zst
    std::optional<std::int64_t> steps;
    double weight = 1;
};

/// What every stage's spec has.
struct CommonSpec {
    std::uint64_t seed = 0; ///< at most 2^53, so that every JSON reader keeps it
    DtypeChoice dtype = DtypeChoice::Auto;
    DeviceChoice device = DeviceChoice::Auto;
    int threads = 0;                   ///< 0: as many as the machine has
    std::int64_t checkpointEvery = 0;  ///< steps between checkpoints; 0: by time only, about once a minute
    int keepCheckpoints = 2;
};

/// A training loop; what a stage's own defaults are, its spec says.
/// Whether layers run a second time in the backward pass instead of keeping what lies between their input and output.
enum class RecomputeChoice {
    Auto,   ///< on a GPU as many as the memory demands, on a CPU none
    Always,
    Never
};

struct TrainingSpec {
    std::int64_t steps = 1000;
    std::int64_t batchSize = 16;
    std::int64_t sequenceLength = 256;
    double learningRate = 1e-3;
    double minLearningRate = 0;
    std::int64_t warmupSteps = 0;
    double weightDecay = 0;
    double gradientClip = 1.0; ///< 0: none
    bool packing = false;
    RecomputeChoice recompute = RecomputeChoice::Auto; ///< "activation_checkpointing"
    std::int64_t logEvery = 10;
};

/// `postnas run pretrain`: a model from scratch on token shards.
struct PretrainSpec : CommonSpec, TrainingSpec {
    PretrainSpec()
    {
        steps = 0; // must be given
        batchSize = 64;
        weightDecay = 0.1;
    }

    Json architecture;               ///< a Hugging Face config object (model_type qwen2, ...)
    std::filesystem::path tokenizer; ///< folder whose tokenizer files are copied beside the model
    std::vector<DataSource> data;
    std::int64_t accumulation = 1;
    double beta1 = 0.9;
    double beta2 = 0.95;
    std::int64_t evaluateEvery = 0;           ///< 0: never
    std::vector<std::filesystem::path> tasks; ///< scored every `evaluateEvery` steps and at the end
    std::int64_t itemLimit = 0;               ///< items per task then; 0: all
};

struct SlidingWindowSpec {
    int layers = 0;
    std::int64_t window = 0;
    std::string task; ///< the task whose objective chooses them
};

struct SupernetTrainingSpec : TrainingSpec {
    double fullProbability = 0.25; ///< with which a layer takes its full path in a step
};

enum class ExhaustiveChoice { Auto, Always, Never };

/// `postnas run placement`: which layers keep full attention.
struct PlacementSpec : CommonSpec {
    std::filesystem::path model;
    std::vector<DataSource> data;
    std::vector<std::filesystem::path> tasks; ///< task files
    std::int64_t itemLimit = 0;               ///< items per task; 0: all
    std::string linearBlock = "gla";
    Json linearParameters = Json::object();
    bool initialiseFromTeacher = true;
    SupernetTrainingSpec training;
    int fullLayers = 2; ///< K
    int beamWidth = 4;
    std::map<std::string, std::string> objectives; ///< task name -> "accuracy" | "negative_loss"; default: the task's own
    std::string placementTask = "mean";            ///< whose best placement is exported, or "mean" of all objectives
    std::optional<SlidingWindowSpec> slidingWindow;
    bool uniformBaselines = true;
    ExhaustiveChoice exhaustive = ExhaustiveChoice::Auto; ///< Auto: when the number of placements is within the limit
    std::int64_t exhaustiveLimit = 60;
    std::int64_t reportItems = 0;             ///< items per task that no search sees, for the comparison at the end; 0: none
    std::int64_t context = 0; ///< tokens for which state_bytes is given; 0: the model's max_position_embeddings
};

/// A stage that this version has no struct for: checked only for the common keys by whoever runs it.
struct OtherSpec : CommonSpec {
    Json json;
};

/// One spec.json.
struct JobSpec {
    std::string stage; ///< "pretrain", "placement", ...
    std::variant<PretrainSpec, PlacementSpec, OtherSpec> body;
    const CommonSpec& common() const;
};

/// The stages of `postnas run`.
const std::vector<std::string>& stageNames();

/// Reads a spec object. Relative paths are resolved against `baseFolder`. Throws Error(Usage) naming `source` and the key
/// for an unknown key (with the nearest known one as hint), a missing or ill-typed one, or a value out of range. Whether
/// files exist is not looked at here.
JobSpec parseJobSpec(const Json& json, const std::string& source, const std::filesystem::path& baseFolder);

/// parseJobSpec of a file; Error(Input) when it cannot be read or is no JSON.
JobSpec readJobSpec(const std::filesystem::path& file);

/// The complete object with every default written out and absolute paths: what spec.json of a run folder holds.
Json toJson(const JobSpec& spec);

} // namespace postnas
