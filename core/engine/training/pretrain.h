// The pretrain stage: a Qwen2-format model from random weights on token shards. No torch.
#pragma once

#include "core/engine/training/run_context.h"

namespace postnas::engine {

/// Artifacts: artifacts/model (Hugging Face folder with the tokenizer's files), artifacts/results.json when tasks are given.
/// Throws Error(Interrupted) after saving a checkpoint when the run is cancelled.
void runPretrain(const PretrainSpec& spec, const RunContext& run);

} // namespace postnas::engine
