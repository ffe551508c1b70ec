// Writes a model in memory as a Hugging Face folder. Internal: torch.
#pragma once

#include <filesystem>
#include <optional>

#include "core/engine/model/hybrid_model.h"

namespace postnas::engine {

/// config.json, generation_config.json and safetensors weights of `weights` (names of modelWeights(architecture)) in `dtype`.
/// Throws Error(Resource) when the disk is full; nothing half-written remains under its final name.
std::uint64_t saveModel(const Architecture& architecture, const std::vector<std::pair<std::string, torch::Tensor>>& weights,
                        std::optional<torch::ScalarType> dtype, const std::filesystem::path& folder);

} // namespace postnas::engine
