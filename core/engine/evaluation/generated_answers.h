// Greedy answers of a model with any mixers to the prompts of a task. Internal: torch.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/base/cancellation.h"
#include "core/engine/model/hybrid_model.h"

namespace postnas {
class Tokenizer;
}

namespace postnas::engine {

struct AnswerLimits {
    std::int64_t maxTokens = 256;
    std::vector<std::string> stop; ///< an answer ends before the first of them, or at an end-of-sequence id of the architecture
};

/// The answers in the order of the prompts: one after the other, or with `together` many at once (see decodesInBatches). `mixers`, when given,
/// override the model's blocks. Throws Error(Interrupted) on a stop.
std::vector<std::string> generatedAnswers(const HybridModel& model, const std::vector<const Block*>* mixers, const Tokenizer& tokenizer,
                                          std::span<const std::vector<std::int32_t>> prompts, const AnswerLimits& limits, bool together,
                                          const CancellationToken& cancellation);

} // namespace postnas::engine
