// Collects tokenised documents and writes them as shards and, last, index.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "core/base/json.h"
#include "core/data/token_dataset.h"

namespace postnas {

/// One document ready to be stored; `weights` is empty when every token counts 1, else 0..255 for 0..1.
struct EncodedDocument {
    std::vector<std::int32_t> ids;
    std::vector<std::uint8_t> weights;
};

/// The folder must be empty or missing. Without `finish` everything that was written is removed again.
class ShardWriter {
public:
    /// `info` gives vocabularySize, tokenizerHash, endOfText and provenance; counts are filled in.
    ShardWriter(std::filesystem::path folder, DatasetInfo info, std::int64_t shardTokens);
    ~ShardWriter();
    ShardWriter(const ShardWriter&) = delete;
    ShardWriter& operator=(const ShardWriter&) = delete;

    void add(const EncodedDocument& document);
    DatasetInfo finish();

    std::int64_t documents() const { return m_info.documents; }
    std::int64_t tokens() const { return m_info.tokens; }

private:
    void flush();

    std::filesystem::path m_folder;
    DatasetInfo m_info;
    std::int64_t m_shardTokens;
    bool m_madeFolder = false;
    bool m_finished = false;
    std::vector<std::filesystem::path> m_files;
    Json m_shards = Json::array();
    std::vector<std::int32_t> m_ids;
    std::vector<std::uint8_t> m_weights; ///< empty as long as every weight of the shard is 1
    std::vector<std::int64_t> m_offsets {0};
};

} // namespace postnas
