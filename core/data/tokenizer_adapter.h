// Makes a checkpoint's own tokenizer and chat template usable by the dataset builder.
#pragma once

#include <filesystem>

#include "core/data/dataset_builder.h"

namespace postnas {

/// Loads tokenizer.json (and the chat template, when there is one) of a model folder. The result shares the loaded
/// tokenizer and may be copied. Throws Error(Input) as the loaders do.
BuilderTokenizer loadBuilderTokenizer(const std::filesystem::path& folder);

} // namespace postnas
