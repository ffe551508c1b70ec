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
#include "core/huggingface/text_segment.h"

namespace postnas {

/// A text as ids; `begins[i]` is the byte offset in the joined text at which token i begins.
struct TokenizedDocument {
    std::vector<std::int32_t> ids;
    std::vector<std::int64_t> begins;
};

/// What the builder needs to know of a tokenizer. The functions are called from several threads at once.
struct BuilderTokenizer {
    /// Ids of the joined text of the segments; control tokens are recognised in trusted segments only.
    std::function<TokenizedDocument(const std::vector<TextSegment>& segments)> encode;
    std::int64_t vocabularySize = 0; ///< every id is below it
    std::int32_t endOfText = -1;     ///< -1: unknown
    std::string hash;                ///< of tokenizer.json
    /// The chat template's text for the messages, with `generationPrompt` up to where the assistant's answer begins.
    /// Empty when the tokenizer has none.
    std::function<std::vector<TextSegment>(const std::vector<ChatMessage>& messages, bool generationPrompt)> renderChat;
};

/// Renders a conversation: assistant turns (what comes after the generation prompt) weigh 1, the rest `promptWeight`.
/// Throws Error(Input) when the template does not render a conversation's beginning the same as the whole.
std::vector<DocumentPart> renderConversation(const BuilderTokenizer& tokenizer, const std::vector<ChatMessage>& messages,
                                             double promptWeight, const std::string& source);

struct BuildOptions {
    int threads = 0;                            ///< 0: all cores
    double promptWeight = 0;                    ///< of prompts and of what is not an assistant's turn
    /// Recognise control tokens such as <|im_start|> where the files' text spells them. Off: they are ordinary text.
    bool controlTokens = false;
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
