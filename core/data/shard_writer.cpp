// Writing of token shards; the format is described in docs/data-format.md.
#include "core/data/shard_writer.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/huggingface/safetensors.h"

namespace postnas {
namespace fs = std::filesystem;

ShardWriter::ShardWriter(fs::path folder, DatasetInfo info, std::int64_t shardTokens)
    : m_folder(std::move(folder))
    , m_info(std::move(info))
    , m_shardTokens(std::max<std::int64_t>(1, shardTokens))
{
    std::error_code code;
    m_madeFolder = fs::create_directories(m_folder, code);
    if (code)
        throw resourceError(m_folder.string() + ": cannot be created: " + code.message());
    if (!m_madeFolder && !fs::is_empty(m_folder))
        throw usageError(m_folder.string() + ": is not empty", "Choose an empty or new folder for the shards.");
}

ShardWriter::~ShardWriter()
{
    if (m_finished)
        return;
    std::error_code code;
    for (const fs::path& file : m_files)
        fs::remove(file, code);
    if (m_madeFolder)
        fs::remove(m_folder, code);
}

void ShardWriter::add(const EncodedDocument& document)
{
    for (const std::int32_t id : document.ids)
        if (id < 0 || id >= m_info.vocabularySize)
            throw inputError("the tokenizer gave the id " + std::to_string(id) + ", but its vocabulary has " + std::to_string(m_info.vocabularySize));
    if (!document.weights.empty() && m_weights.empty())
        m_weights.assign(m_ids.size(), 255);
    m_ids.insert(m_ids.end(), document.ids.begin(), document.ids.end());
    if (!document.weights.empty())
        m_weights.insert(m_weights.end(), document.weights.begin(), document.weights.end());
    else if (!m_weights.empty())
        m_weights.resize(m_ids.size(), 255);
    // A shard of empty documents only, then a weighted one: m_weights stays in step because both are empty until then.
    m_offsets.push_back(static_cast<std::int64_t>(m_ids.size()));
    ++m_info.documents;
    m_info.tokens += static_cast<std::int64_t>(document.ids.size());
    if (static_cast<std::int64_t>(m_ids.size()) >= m_shardTokens)
        flush();
}

void ShardWriter::flush()
{
    if (m_offsets.size() == 1)
        return;
    char name[40];
    std::snprintf(name, sizeof name, "shard-%05lld.safetensors", static_cast<long long>(m_info.shards));
    const fs::path file = m_folder / name;
    const bool narrow = m_info.vocabularySize <= 65536;
    std::vector<std::uint16_t> small;
    if (narrow)
        small.assign(m_ids.begin(), m_ids.end());
    SafetensorsWriter writer;
    writer.add("offsets", DType::I64, {m_offsets.size()}, std::as_bytes(std::span(m_offsets)));
    if (narrow)
        writer.add("tokens", DType::U16, {small.size()}, std::as_bytes(std::span(small)));
    else
        writer.add("tokens", DType::U32, {m_ids.size()}, std::as_bytes(std::span(m_ids)));
    if (!m_weights.empty())
        writer.add("weights", DType::U8, {m_weights.size()}, std::as_bytes(std::span(m_weights)));
    m_files.push_back(file);
    writer.write(file, {{"format", "postnas-tokens-1"}});
    m_shards.push_back({{"file", name},
                        {"documents", m_offsets.size() - 1},
                        {"tokens", m_ids.size()},
                        {"bytes", fs::file_size(file)},
                        {"xxh3", hashFile(file)}});
    ++m_info.shards;
    m_info.weighted = m_info.weighted || !m_weights.empty();
    m_ids.clear();
    m_weights.clear();
    m_offsets.assign(1, 0);
}

DatasetInfo ShardWriter::finish()
{
    flush();
    const Json index {{"format", 1},
                      {"documents", m_info.documents},
                      {"tokens", m_info.tokens},
                      {"vocabulary_size", m_info.vocabularySize},
                      {"tokenizer", m_info.tokenizerHash},
                      {"end_of_text", m_info.endOfText},
                      {"weighted", m_info.weighted},
                      {"shards", m_shards},
                      {"provenance", m_info.provenance}};
    writeFileAtomically(m_folder / "index.json", dumpJson(index, 2) + "\n");
    m_finished = true;
    return m_info;
}

} // namespace postnas
