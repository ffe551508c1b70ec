// Writing of job specs, with every default.
#include "core/jobs/job_spec.h"

namespace postnas {
namespace fs = std::filesystem;
namespace {

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

void writeTraining(const TrainingSpec& spec, Json& out)
{
    out["steps"] = spec.steps;
    out["batch_size"] = spec.batchSize;
    out["sequence_length"] = spec.sequenceLength;
    out["learning_rate"] = spec.learningRate;
    out["min_learning_rate"] = spec.minLearningRate;
    out["warmup_steps"] = spec.warmupSteps;
    out["weight_decay"] = spec.weightDecay;
    out["gradient_clip"] = spec.gradientClip;
    out["packing"] = spec.packing;
    out["activation_checkpointing"] = spec.recompute == RecomputeChoice::Auto ? Json("auto") : Json(spec.recompute == RecomputeChoice::Always);
    out["log_every"] = spec.logEvery;
}

void write(const PretrainSpec& spec, Json& out)
{
    writeCommon(spec, out);
    out["architecture"] = spec.architecture;
    out["tokenizer"] = spec.tokenizer.string();
    out["data"] = toJson(spec.data);
    writeTraining(spec, out);
    out["accumulation"] = spec.accumulation;
    out["betas"] = Json::array({spec.beta1, spec.beta2});
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
    Json& training = out["training"] = Json::object();
    writeTraining(spec.training, training);
    training["full_probability"] = spec.training.fullProbability;
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

} // namespace

Json toJson(const JobSpec& spec)
{
    Json out = Json::object();
    out["stage"] = spec.stage;
    std::visit([&](const auto& body) { write(body, out); }, spec.body);
    return out;
}

} // namespace postnas
