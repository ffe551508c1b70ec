// config.json of Qwen2, Qwen3 and jet_nemotron models, as old and new transformers write it, to Architecture and back.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "core/architecture/architecture.h"
#include "core/base/json.h"

namespace postnas {

/// Reads a config.json, or the config.json of a folder. Throws Error(Input) that names file and key.
Architecture readModelConfig(const std::filesystem::path& configOrFolder);

/// The checked content of a config: `source` is what errors call it. Keys that transformers defaults may be absent; sizes
/// and, for jet_nemotron, `layer_types` must be there. Errors: see readModelConfig.
///
/// Extensions over the released jet_nemotron form, all optional: `head_dim` (hidden / heads), `qk_norm` (false),
/// `attention_bias` (true: q, k, v), `attention_output_bias` (false), other blocks by their Hugging Face names with their
/// object in `efficient_attention_config`, and in such an object `layers: {"3": {...}}`, which replaces it for layer 3.
Architecture parseModelConfig(const Json& config, const std::string& source);

/// The config.json of a model. Keeps `modelType` where that form can say everything (Qwen forms know attention and one
/// sliding window, and their own biases and norms); anything else becomes jet_nemotron.
Json writeModelConfig(const Architecture& architecture);

/// The `model_type` that writeModelConfig writes.
std::string writtenModelType(const Architecture& architecture);

/// Throws Error(Input) when weights of `elementBytes` each, plus `extraBytes`, do not fit into the memory that is free:
/// to be asked before anything of the model's size is allocated. `source` is the config's file name.
void requireModelMemory(const Architecture& architecture, int elementBytes, std::uint64_t extraBytes, const std::string& source);

} // namespace postnas
