// The small parts of tokenizer.json: normaliser, pre-tokeniser, post-processor, decoder, and single added tokens.
#pragma once

#include "core/base/json.h"
#include "core/huggingface/tokenizer_file.h"

namespace postnas {

/// Each reads its key of the file's top level and throws Error(Input) that names it when it is not supported.
void readNormalizer(const JsonReader& root, TokenizerFile& out);
void readPreTokenizer(const JsonReader& root, TokenizerFile& out);
void readPostProcessor(const JsonReader& root, TokenizerFile& out);
void readDecoder(const JsonReader& root);

/// An object with `content` and the flags.
AddedToken readAddedToken(const JsonReader& item, std::int32_t id);

} // namespace postnas
