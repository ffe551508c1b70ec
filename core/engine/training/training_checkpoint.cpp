// Checkpoints of training runs in the run folder's crash-safe form.
#include "core/engine/training/training_checkpoint.h"

#include <cmath>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/engine/model/tensor_io.h"

namespace postnas::engine {

void saveTrainingCheckpoint(const RunContext& run, const Optimizer& optimizer, std::int64_t step, int keep, const Json& state)
{
    CheckpointWriter writer = run.folder.beginCheckpoint(step);
    SafetensorsWriter model;
    for (const TrainedWeight& weight : optimizer.weights())
        addTensor(model, weight.name, weight.master);
    model.write(writer.folder() / "model.safetensors");
    SafetensorsWriter moments;
    optimizer.save(moments);
    moments.write(writer.folder() / "optimizer.safetensors");
    Json json = state;
    json["step"] = step;
    writeFileAtomically(writer.folder() / "state.json", dumpJson(json, 2) + "\n");
    const CheckpointInfo info = writer.commit();
    run.folder.pruneCheckpoints(keep);
    run.events.write(event::Checkpoint {step, "checkpoints/" + info.folder.filename().string()});
}

std::optional<Json> restoreTrainingCheckpoint(const RunContext& run, Optimizer& optimizer)
{
    std::vector<std::string> problems;
    const auto info = run.folder.newestCheckpoint(&problems);
    for (const std::string& problem : problems)
        run.warn(problem, "An older checkpoint is used.");
    if (!info)
        return std::nullopt;
    optimizer.load(SafetensorsFile::open(info->folder / "model.safetensors"), SafetensorsFile::open(info->folder / "optimizer.safetensors"));
    return readJsonFile(info->folder / "state.json");
}

void requireFinite(double value, const std::string& what, std::int64_t step)
{
    if (!std::isfinite(value))
        throw resourceError(what + " became " + (std::isnan(value) ? "NaN" : "infinite") + " at step " + std::to_string(step)
                                + "; the run stopped before it was saved",
                            "Resume from the last checkpoint with a lower learning rate, a longer warm-up or stronger clipping.");
}

} // namespace postnas::engine
