// Hugging Face model folders written by the engine. No torch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace postnas::engine {

/// Copies a checkpoint into the new or empty folder `output`: config, weights (converted to `dtype` unless "auto"),
/// generation config and the tokenizer's files. Returns the bytes of weights. Throws Error(Usage) when `output` holds files.
std::uint64_t exportModel(const std::filesystem::path& model, const std::filesystem::path& output, const std::string& dtype);

/// Copies tokenizer.json, tokenizer_config.json, chat_template.jinja and their like from one folder to another.
void copyTokenizerFiles(const std::filesystem::path& from, const std::filesystem::path& to);

} // namespace postnas::engine
