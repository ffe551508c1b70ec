// What holds of a prompt before it is read. Internal: torch.
#pragma once

#include <span>

#include "core/engine/language_model.h"
#include "core/engine/model/hybrid_model.h"

namespace postnas::engine {

/// Throws Error(Input) for an id that the vocabulary does not have.
void checkIds(std::span<const std::int64_t> ids, const Architecture& architecture);

/// Throws Error(Usage) for an empty prompt, a negative number of new tokens or sampling out of range, and as checkIds.
void checkPrompt(const PromptRequest& prompt, const Architecture& architecture);

/// Prompt tokens of one forward pass where nobody asked for a number (`asked` 0): as many as keep the device busy, and bound the memory. Throws
/// Error(Usage) for a negative one.
std::int64_t promptChunk(std::int64_t asked, const torch::Device& device);

} // namespace postnas::engine
