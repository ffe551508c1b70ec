// Log-likelihoods of continuations, batched: what every scored task comes down to. Internal: torch.
#pragma once

#include <cstdint>
#include <vector>

#include "core/base/cancellation.h"
#include "core/engine/model/hybrid_model.h"

namespace postnas::engine {

struct LikelihoodRequest {
    std::vector<std::int32_t> context;      ///< at least one token
    std::vector<std::int32_t> continuation; ///< at least one token
};

struct Likelihood {
    double logProbability = 0; ///< natural log, summed over the continuation
    bool greedy = false;       ///< whether each token of it is the most likely one after those before it
};

/// Requests that have the same inputs (the choices of one question that differ in their last token) share a forward pass.
/// At most about `tokensPerBatch` padded tokens go through the model at once. `mixers` as in HybridModel::forward.
std::vector<Likelihood> likelihoods(const HybridModel& model, const std::vector<const Block*>* mixers,
                                    const std::vector<LikelihoodRequest>& requests, std::int64_t tokensPerBatch = 8192,
                                    const CancellationToken& cancellation = {});

} // namespace postnas::engine
