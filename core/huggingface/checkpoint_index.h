// model.safetensors.index.json: which shard holds which tensor.
#pragma once

#include <filesystem>
#include <map>
#include <string>

namespace postnas {

/// Shard file name of each tensor. Throws Error(Input) that names file and key: broken JSON, a key twice, a shard that is no
/// base name ending in .safetensors, no weight_map, or more than 16 MiB.
std::map<std::string, std::string> readShardIndex(const std::filesystem::path& file);
std::map<std::string, std::string> parseShardIndex(std::string_view json, const std::string& source);

} // namespace postnas
