// Mapped reading of token shards; the format is described in docs/data-format.md.
#include "core/data/token_dataset.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/huggingface/safetensors.h"

namespace postnas {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kMaxShards = 1'000'000;
constexpr std::int64_t kMaxTokens = std::int64_t {1} << 48;

template <typename T>
T load(const std::byte* data, std::size_t index)
{
    T value;
    std::memcpy(&value, data + index * sizeof(T), sizeof(T));
    return value;
}

struct Shard {
    std::optional<SafetensorsFile> file;
    const std::byte* tokens = nullptr;
    const std::byte* offsets = nullptr;
    const std::byte* weights = nullptr; ///< null: every weight is 1
    bool wide = false;                  ///< U32 instead of U16
    std::int64_t firstDocument = 0;
    std::int64_t firstToken = 0;
    std::int64_t documents = 0;
    std::int64_t count = 0;

    std::int64_t offset(std::int64_t document) const { return load<std::int64_t>(offsets, static_cast<std::size_t>(document)); }
};

std::uint64_t length(const TensorView& tensor, const SafetensorsFile& file)
{
    if (tensor.shape.size() != 1)
        throw inputError(file.source() + ": tensor \"" + tensor.name + "\" has shape " + shapeText(tensor.shape) + "; it must have one dimension");
    return tensor.shape[0];
}

void requireDtype(const TensorView& tensor, const SafetensorsFile& file, bool good, const char* expected)
{
    if (!good)
        throw inputError(file.source() + ": tensor \"" + tensor.name + "\" is " + dtypeName(tensor.dtype) + "; it must be " + expected);
}

template <typename T>
std::uint64_t largest(const std::byte* data, std::uint64_t count)
{
    T out = 0;
    for (std::uint64_t i = 0; i < count; ++i)
        out = std::max(out, load<T>(data, i));
    return out;
}

Shard openShard(const fs::path& path, std::int64_t documents, std::int64_t count, std::int64_t vocabularySize)
{
    Shard shard;
    shard.file = SafetensorsFile::open(path);
    const SafetensorsFile& file = *shard.file;
    const TensorView& tokens = file.at("tokens");
    const TensorView& offsets = file.at("offsets");
    requireDtype(tokens, file, tokens.dtype == DType::U16 || tokens.dtype == DType::U32, "U16 or U32");
    requireDtype(offsets, file, offsets.dtype == DType::I64, "I64");
    if (length(tokens, file) != static_cast<std::uint64_t>(count))
        throw inputError(file.source() + ": holds " + std::to_string(length(tokens, file)) + " tokens where index.json says " + std::to_string(count));
    if (length(offsets, file) != static_cast<std::uint64_t>(documents) + 1)
        throw inputError(file.source() + ": tensor \"offsets\" has " + std::to_string(length(offsets, file)) + " entries where index.json asks for "
                         + std::to_string(documents + 1));
    shard.documents = documents;
    shard.count = count;
    shard.tokens = tokens.data.data();
    shard.offsets = offsets.data.data();
    shard.wide = tokens.dtype == DType::U32;
    if (const TensorView* weights = file.find("weights"); weights != nullptr) {
        requireDtype(*weights, file, weights->dtype == DType::U8, "U8");
        if (length(*weights, file) != static_cast<std::uint64_t>(count))
            throw inputError(file.source() + ": tensor \"weights\" has another length than \"tokens\"");
        shard.weights = weights->data.data();
    }
    std::int64_t before = 0;
    for (std::int64_t d = 0; d <= documents; ++d) {
        const std::int64_t offset = shard.offset(d);
        if (offset < before || offset > count || (d == 0 && offset != 0) || (d == documents && offset != count))
            throw inputError(file.source() + ": tensor \"offsets\" entry " + std::to_string(d) + " is " + std::to_string(offset)
                             + "; offsets must rise from 0 to the number of tokens");
        before = offset;
    }
    if (count > 0) {
        const std::uint64_t top = shard.wide ? largest<std::uint32_t>(shard.tokens, static_cast<std::uint64_t>(count))
                                             : largest<std::uint16_t>(shard.tokens, static_cast<std::uint64_t>(count));
        if (top >= static_cast<std::uint64_t>(vocabularySize))
            throw inputError(file.source() + ": tensor \"tokens\" has the id " + std::to_string(top) + ", but the vocabulary has "
                             + std::to_string(vocabularySize));
    }
    return shard;
}

} // namespace

struct TokenDataset::State {
    fs::path path;
    DatasetInfo info;
    std::vector<Shard> shards;

    const Shard& shardOf(std::int64_t document) const
    {
        const auto after = std::upper_bound(shards.begin(), shards.end(), document,
                                            [](std::int64_t d, const Shard& shard) { return d < shard.firstDocument; });
        return *(after - 1);
    }
};

TokenDataset::TokenDataset()
    : m_state(std::make_unique<State>())
{
}
TokenDataset::~TokenDataset() = default;

std::shared_ptr<const TokenDataset> TokenDataset::open(const fs::path& folder, bool verifyHashes)
{
    const fs::path indexFile = folder / "index.json";
    std::error_code ignored; // of a path that cannot be looked at
    if (!fs::exists(indexFile, ignored))
        throw inputError(folder.string() + ": holds no index.json", "Build token shards with: postnas data build --tokenizer MODEL --output DIR FILES");
    const Json json = readJsonFile(indexFile);
    const JsonReader in(json, indexFile.string());
    in.integer("format", 1, 1);
    std::shared_ptr<TokenDataset> dataset(new TokenDataset);
    State& state = *dataset->m_state;
    state.path = folder;
    DatasetInfo& info = state.info;
    info.documents = in.integer("documents", 0, kMaxTokens);
    info.tokens = in.integer("tokens", 0, kMaxTokens);
    info.vocabularySize = in.integer("vocabulary_size", 1, INT32_MAX);
    info.tokenizerHash = in.string("tokenizer", "");
    info.endOfText = static_cast<std::int32_t>(in.integer("end_of_text", -1, info.vocabularySize - 1, -1));
    if (in.has("provenance"))
        info.provenance = in.object("provenance").json();
    const Json& shards = in.value("shards");
    if (!shards.is_array() || shards.size() > kMaxShards)
        in.fail("shards", "must be a list of at most " + std::to_string(kMaxShards) + " shards");
    std::int64_t documents = 0;
    std::int64_t tokens = 0;
    for (std::size_t i = 0; i < shards.size(); ++i) {
        const JsonReader entry(shards[i], indexFile.string(), "shards[" + std::to_string(i) + "]");
        const std::string name = entry.string("file");
        requireBaseName(name, indexFile.string(), "shards[" + std::to_string(i) + "].file");
        const fs::path file = folder / name;
        if (verifyHashes && hashFile(file) != entry.string("xxh3"))
            throw inputError(file.string() + ": has changed: its hash is not the one in index.json", "Build the dataset again.");
        Shard shard = openShard(file, entry.integer("documents", 0, kMaxTokens), entry.integer("tokens", 0, kMaxTokens), info.vocabularySize);
        shard.firstDocument = documents;
        shard.firstToken = tokens;
        documents += shard.documents;
        tokens += shard.count;
        info.weighted = info.weighted || shard.weights != nullptr;
        // An empty shard would break the search for a document's shard.
        if (shard.documents > 0)
            state.shards.push_back(std::move(shard));
    }
    if (documents != info.documents || tokens != info.tokens)
        in.fail("tokens", "does not agree with the sums over the shards");
    info.shards = static_cast<std::int64_t>(shards.size());
    return dataset;
}

const DatasetInfo& TokenDataset::info() const { return m_state->info; }
const fs::path& TokenDataset::path() const { return m_state->path; }
std::int64_t TokenDataset::documentCount() const { return m_state->info.documents; }
std::int64_t TokenDataset::tokenCount() const { return m_state->info.tokens; }

std::int64_t TokenDataset::documentStart(std::int64_t index) const
{
    if (index < 0 || index > documentCount())
        throw internalError("a document outside of the dataset was asked for");
    if (index == documentCount())
        return tokenCount();
    const Shard& shard = m_state->shardOf(index);
    return shard.firstToken + shard.offset(index - shard.firstDocument);
}

std::int64_t TokenDataset::documentLength(std::int64_t index) const
{
    if (index < 0 || index >= documentCount())
        throw internalError("a document outside of the dataset was asked for");
    const Shard& shard = m_state->shardOf(index);
    return shard.offset(index - shard.firstDocument + 1) - shard.offset(index - shard.firstDocument);
}

void TokenDataset::read(std::int64_t document, std::int64_t from, std::span<std::int32_t> tokens, std::span<float> weights) const
{
    const std::int64_t size = documentLength(document);
    const auto count = static_cast<std::int64_t>(tokens.size());
    if (from < 0 || from > size || count > size - from || (!weights.empty() && weights.size() != tokens.size()))
        throw internalError("tokens outside of a document were asked for");
    const Shard& shard = m_state->shardOf(document);
    const auto base = static_cast<std::size_t>(shard.offset(document - shard.firstDocument) + from);
    for (std::size_t i = 0; i < tokens.size(); ++i)
        tokens[i] = shard.wide ? static_cast<std::int32_t>(load<std::uint32_t>(shard.tokens, base + i))
                               : static_cast<std::int32_t>(load<std::uint16_t>(shard.tokens, base + i));
    for (std::size_t i = 0; i < weights.size(); ++i)
        weights[i] = shard.weights == nullptr ? 1.0f : static_cast<float>(load<std::uint8_t>(shard.weights, base + i)) / 255.0f;
}

} // namespace postnas
