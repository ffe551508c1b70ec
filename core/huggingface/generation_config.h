// generation_config.json: how a checkpoint wants its text to be sampled.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/architecture/architecture.h"
#include "core/base/json.h"

namespace postnas {

/// Values as transformers' `generate` would use them; defaults are those of transformers.
struct GenerationConfig {
    bool doSample = false;          ///< false: greedy, whatever the other values say
    double temperature = 1.0;       ///< > 0 when sampling
    std::int64_t topK = 50;         ///< 0: off
    double topP = 1.0;              ///< 1: off
    double minP = 0.0;              ///< 0: off
    double repetitionPenalty = 1.0; ///< 1: off
    std::optional<std::int64_t> maxNewTokens;
    std::vector<std::int64_t> eosTokenIds; ///< any of them ends the text; the config's own when the file names none
    std::optional<std::int64_t> bosTokenId;
    std::optional<std::int64_t> padTokenId;
};

/// From `folder`/generation_config.json; without that file defaults with the architecture's special ids. Throws
/// Error(Input) naming file and key when a value is out of range.
GenerationConfig readGenerationConfig(const std::filesystem::path& folder, const Architecture& architecture);
GenerationConfig parseGenerationConfig(const Json& json, const std::string& source, const Architecture& architecture);
Json writeGenerationConfig(const GenerationConfig& config);

} // namespace postnas
