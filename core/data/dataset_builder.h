// Builds token shards from JSONL and text files, with several threads and bounded memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/cancellation.h"
#include "core/data/corpus_reader.h"
#include "core/data/token_dataset.h"

namespace postnas {

/// A text as ids; `begins[i]` is the byte offset in the text at which token i begins.
struct TokenizedDocument {
    std::vector<std::int32_t> ids;
    std::vector<std::int64_t> begins;
};

/// What the builder needs to know of a tokenizer. `encode` is called from several threads at once. `special` says whether
/// control tokens written in the text become control tokens (chat rendering) or stay plain text.
struct BuilderTokenizer {
    std::function<TokenizedDocument(const std::string& text, bool special)> encode;
    std::int64_t vocabularySize = 0; ///< every id is below it
    std::int32_t endOfText = -1;     ///< -1: unknown
    std::string hash;                ///< of tokenizer.json
    /// Renders messages as (text, weight) parts; empty when the tokenizer has no chat template.
    std::function<std::vector<DocumentPart>(const std::vector<ChatMessage>& messages, double promptWeight)> renderChat;
};

struct BuildOptions {
    int threads = 0;                            ///< 0: all cores
    double promptWeight = 0;                    ///< of prompts and of what is not an assistant's turn
    std::int64_t shardTokens = 32 << 20;        ///< a shard is closed at the first document that passes this
    bool appendEndOfText = false;               ///< end each document with the end-of-text id, with the weight of its last token
    std::int64_t maxDocuments = 0;              ///< 0: all
    CancellationToken cancellation;
    /// Called now and then from the building thread.
    std::function<void(std::int64_t documents, std::int64_t tokens, std::int64_t bytesRead, std::int64_t bytesTotal)> progress;
};

/// Reads `files` in order and writes the dataset folder `output` (must not exist or be empty). The result does not depend
/// on the number of threads. Files are put in place only when complete: index.json comes last. Throws Error(Input) naming
/// file and line for a broken line, Error(Resource) when the disk is full; nothing usable is left behind then.
DatasetInfo buildDataset(const std::vector<std::filesystem::path>& files, const std::filesystem::path& output,
                         const BuilderTokenizer& tokenizer, const BuildOptions& options = {});

} // namespace postnas
