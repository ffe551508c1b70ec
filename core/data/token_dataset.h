// Token shards on disk: memory-mapped, strictly checked when opened, read without copies.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/base/json.h"

namespace postnas {

/// index.json of a dataset folder; see docs/data-format.md.
struct DatasetInfo {
    std::int64_t documents = 0;
    std::int64_t tokens = 0;
    std::int64_t vocabularySize = 0; ///< every id is below it
    std::string tokenizerHash;       ///< of tokenizer.json; empty when the tokenizer had none
    std::int32_t endOfText = -1;     ///< id that separates packed documents; -1: unknown
    bool weighted = false;           ///< whether shards carry weights; else every token counts 1
    std::int64_t shards = 0;
    Json provenance = Json::object();
};

/// A folder of token shards. Thread-safe for reading.
class TokenDataset {
public:
    /// Maps all shards and checks index, sizes, offsets and that ids are in range (one pass over the data). With
    /// `verifyHashes` also the hash of each shard. Throws Error(Input) naming the file.
    static std::shared_ptr<const TokenDataset> open(const std::filesystem::path& folder, bool verifyHashes = false);
    ~TokenDataset();

    const DatasetInfo& info() const;
    const std::filesystem::path& path() const;

    std::int64_t documentCount() const;
    std::int64_t tokenCount() const;
    /// Tokens in front of document `index`; index may be documentCount().
    std::int64_t documentStart(std::int64_t index) const;
    std::int64_t documentLength(std::int64_t index) const;

    /// Copies tokens [from, from + tokens.size()) of a document, and their weights in [0, 1] unless that span is empty.
    void read(std::int64_t document, std::int64_t from, std::span<std::int32_t> tokens, std::span<float> weights) const;

private:
    TokenDataset();
    struct State;
    std::unique_ptr<State> m_state;
};

} // namespace postnas
