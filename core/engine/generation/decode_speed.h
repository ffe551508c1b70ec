// Measures decoding speed of a model with any mixers. Internal: torch.
#pragma once

#include "core/engine/model/hybrid_model.h"

namespace postnas::engine {

/// Tokens per second of decoding one token for each of `batch` sequences whose states hold `context` tokens: batch over the
/// median time of `steps` steps, after two that are not counted.
double measureDecodeSpeed(const HybridModel& model, const std::vector<const Block*>* mixers, std::int64_t context, std::int64_t batch, int steps);

} // namespace postnas::engine
