// Checks of prompts.
#include "core/engine/generation/prompt.h"

#include "core/base/error.h"

namespace postnas::engine {

void checkIds(std::span<const std::int64_t> ids, const Architecture& architecture)
{
    for (std::size_t i = 0; i < ids.size(); ++i)
        if (ids[i] < 0 || ids[i] >= architecture.vocabularySize)
            throw inputError("input id " + std::to_string(ids[i]) + " at position " + std::to_string(i) + " is outside the vocabulary of "
                                 + std::to_string(architecture.vocabularySize) + " ids",
                             "Was the text tokenized with another model's tokenizer?");
}

void checkPrompt(const PromptRequest& prompt, const Architecture& architecture)
{
    if (prompt.ids.empty())
        throw usageError("the prompt is empty", "Give at least one token; a beginning-of-text token serves when there is no text.");
    if (prompt.maxNewTokens < 0)
        throw usageError("the number of new tokens must be at least 0");
    prompt.sampling.check();
    checkIds(prompt.ids, architecture);
}

std::int64_t promptChunk(std::int64_t asked, const torch::Device& device)
{
    if (asked < 0)
        throw usageError("the prefill chunk must be at least 1, or 0 for the device's own");
    return asked > 0 ? asked : device.is_cuda() ? 8192 : 512;
}

} // namespace postnas::engine
