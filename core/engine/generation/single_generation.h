// Generates for one prompt without a batch: on a CPU, and for dynamic RoPE. Internal: torch.
#pragma once

#include <functional>

#include "core/base/cancellation.h"
#include "core/engine/language_model.h"
#include "core/engine/model/hybrid_model.h"

namespace postnas {
class Tokenizer;
}

namespace postnas::engine {

/// `mixers`, when given, override the model's blocks. `onPiece` may be empty; false ends the sequence. Throws as LanguageModel::generate does.
GenerationResult generateAlone(const HybridModel& model, const std::vector<const Block*>* mixers, const Tokenizer* tokenizer, const PromptRequest& prompt,
                               const GenerateOptions& options, const std::function<bool(const StreamPiece&)>& onPiece,
                               const CancellationToken& cancellation);

} // namespace postnas::engine
