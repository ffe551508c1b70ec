// Saves and restores a training run: parameters, optimizer state, and where it stands. Internal: torch.
#pragma once

#include <optional>

#include "core/engine/training/optimizer.h"
#include "core/engine/training/run_context.h"

namespace postnas::engine {

/// Writes checkpoints/step-N (model.safetensors, optimizer.safetensors, state.json, MANIFEST.json last), announces it and
/// prunes old ones. Throws Error(Resource) when the disk is full; earlier checkpoints stay intact then.
void saveTrainingCheckpoint(const RunContext& run, const Optimizer& optimizer, std::int64_t step, int keep, const Json& state);

/// Restores the newest complete checkpoint into the optimizer and its weights. Returns its state.json, which has `step`;
/// nothing when there is none. Broken checkpoints are skipped with a warning event.
std::optional<Json> restoreTrainingCheckpoint(const RunContext& run, Optimizer& optimizer);

/// Throws Error(Resource) unless the number is finite: training must stop before a checkpoint keeps what is broken.
void requireFinite(double value, const std::string& what, std::int64_t step);

} // namespace postnas::engine
