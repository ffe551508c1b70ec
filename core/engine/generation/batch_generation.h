// Generates for many prompts at once on one device: prompts wait for a free row, rows of different lengths run together. Internal: torch.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "core/base/cancellation.h"
#include "core/engine/language_model.h"
#include "core/engine/model/hybrid_model.h"

namespace postnas {
class Tokenizer;
}

namespace postnas::engine {

/// The results in the order of the prompts. `batch`: rows that run together; `mixers`, when given, override the model's blocks. `onPiece` gets the
/// prompt's index; false ends that sequence. The host sees a token while the device already computes the next one. Throws as
/// LanguageModel::generate does.
std::vector<GenerationResult> generateTogether(const HybridModel& model, const std::vector<const Block*>* mixers, const Tokenizer* tokenizer,
                                               std::span<const PromptRequest> prompts, const GenerateOptions& options, std::int64_t batch,
                                               const std::function<bool(std::size_t, const StreamPiece&)>& onPiece,
                                               const CancellationToken& cancellation);

} // namespace postnas::engine
