// The result of a generation as `postnas generate --json` and the worker give it.
#pragma once

#include "core/base/json.h"
#include "core/engine/language_model.h"

namespace postnas {

inline Json toJson(const engine::GenerationResult& result)
{
    return {{"text", result.text},
            {"finish_reason", result.finishReason},
            {"prompt_tokens", result.promptTokens},
            {"new_tokens", result.tokens.size()},
            {"prefill_seconds", result.prefillSeconds},
            {"decode_seconds", result.decodeSeconds},
            {"tokens_per_second", result.tokensPerSecond},
            {"state_bytes", result.stateBytes}};
}

} // namespace postnas
