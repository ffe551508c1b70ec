// Opens a model folder and holds it against what its config promises.
#include "core/huggingface/checkpoint.h"

#include <algorithm>
#include <set>

#include "core/base/error.h"
#include "core/huggingface/checkpoint_index.h"
#include "core/huggingface/model_config.h"

namespace postnas {
namespace fs = std::filesystem;
namespace {

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";
constexpr std::size_t kMaxShards = 4096;
constexpr std::size_t kMaxWarnings = 20;

bool present(const fs::path& file)
{
    std::error_code ignored;
    return fs::exists(fs::symlink_status(file, ignored));
}

/// A weight file of a form that can run code when it is read, or that this program does not know; empty when there is none.
std::string otherWeightFile(const fs::path& folder)
{
    std::error_code failed;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder, failed)) {
        const std::string extension = entry.path().extension().string();
        for (const char* known : {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".gguf", ".h5", ".msgpack"})
            if (extension == known)
                return entry.path().filename().string();
    }
    return {};
}

bool isKnownHarmless(const std::string& name, const Architecture& architecture)
{
    return name.ends_with("rotary_emb.inv_freq") || (name == "lm_head.weight" && architecture.tieWordEmbeddings);
}

std::vector<std::uint64_t> toUnsigned(const std::vector<std::int64_t>& shape) { return {shape.begin(), shape.end()}; }

} // namespace

bool hasSafetensorsWeights(const fs::path& folder) { return present(folder / kSingle) || present(folder / kIndex); }

Checkpoint Checkpoint::open(const fs::path& folder)
{
    std::error_code ignored;
    if (!fs::is_directory(folder, ignored))
        throw inputError(folder.string() + ": is not a folder", "A model is a folder with config.json and model.safetensors.");
    Checkpoint out;
    out.m_folder = folder;
    out.m_architecture = readModelConfig(folder / "config.json");
    out.m_generationConfig = readGenerationConfig(folder, out.m_architecture);
    out.openFiles();
    out.checkMemory();
    out.checkWeights();
    return out;
}

void Checkpoint::openFiles()
{
    const auto add = [&](const SafetensorsFile& file, const fs::path& path) {
        m_shards.push_back(file);
        m_files.push_back(path);
        for (const auto& [name, view] : file.tensors())
            m_tensors.emplace(name, &view);
    };
    if (present(m_folder / kSingle)) {
        add(SafetensorsFile::open(m_folder / kSingle), m_folder / kSingle);
        return;
    }
    const fs::path indexFile = m_folder / kIndex;
    if (!present(indexFile)) {
        const std::string other = otherWeightFile(m_folder);
        if (!other.empty())
            throw inputError((m_folder / other).string() + ": weights of this form are never read, since such files can run code",
                             "Save the model as safetensors, for example with save_pretrained(..., safe_serialization=True).");
        throw inputError((m_folder / kSingle).string() + ": does not exist", "The folder has no weights; copy or download them.");
    }
    const std::map<std::string, std::string> index = readShardIndex(indexFile);
    std::set<std::string> names;
    for (const auto& [tensor, shard] : index)
        names.insert(shard);
    if (names.size() > kMaxShards)
        throw inputError(indexFile.string() + ": key \"weight_map\" names more than " + std::to_string(kMaxShards) + " shards");
    for (const std::string& name : names) {
        if (!present(m_folder / name))
            throw inputError((m_folder / name).string() + ": is missing, but " + kIndex + " names it", "Copy or download the shard.");
        const SafetensorsFile shard = SafetensorsFile::open(m_folder / name);
        for (const auto& [tensor, view] : shard.tensors()) {
            const auto it = index.find(tensor);
            if (it == index.end() || it->second != name)
                throw inputError(shard.source() + ": tensor \"" + tensor + "\" is in this shard, but " + kIndex + " "
                                     + (it == index.end() ? "does not name it" : "places it in \"" + it->second + "\""),
                                 "The index belongs to other shards; copy or download all files again.");
        }
        add(shard, m_folder / name);
    }
    for (const auto& [tensor, shard] : index)
        if (m_tensors.count(tensor) == 0)
            throw inputError(indexFile.string() + ": key \"weight_map." + tensor + "\" names \"" + shard + "\", which has no such tensor",
                             "The index belongs to other shards; copy or download all files again.");
}

/// A config that asks for more than the files hold is wrong in any case; one that asks for more than the machine has is told
/// so, since the first shape that differs would not say why. Weights that are all there may be mapped, so they pass.
void Checkpoint::checkMemory() const
{
    constexpr std::uint64_t kSmallestElement = 2;
    std::uint64_t held = 0;
    for (const auto& [name, view] : m_tensors)
        held += view->data.size();
    if (static_cast<std::uint64_t>(parameterCount(m_architecture)) > held / kSmallestElement)
        requireModelMemory(m_architecture, kSmallestElement, 0, (m_folder / "config.json").string());
}

void Checkpoint::checkWeights()
{
    const auto fileOf = [&](const std::string& name) {
        for (std::size_t i = 0; i < m_shards.size(); ++i)
            if (m_shards[i].find(name) != nullptr)
                return m_files[i].string();
        return m_folder.string();
    };
    std::map<std::string, const TensorView*> used;
    std::map<DType, std::uint64_t> bytesOf;
    for (const WeightSpec& weight : modelWeights(m_architecture)) {
        const auto it = m_tensors.find(weight.name);
        if (it == m_tensors.end()) {
            const std::string where = m_files.size() == 1 ? m_files.front().string() : (m_folder / kIndex).string();
            throw inputError(where + ": tensor \"" + weight.name + "\" is missing; config.json asks for it",
                             weight.name == "lm_head.weight" ? "If the output layer shares the embedding, set tie_word_embeddings to true."
                                                             : "config.json does not describe these weights, or they are incomplete.");
        }
        const TensorView& view = *it->second;
        const std::vector<std::uint64_t> wanted = toUnsigned(weight.shape);
        if (view.shape != wanted) {
            const bool rows = weight.name == "model.embed_tokens.weight" && view.shape.size() == 2 && view.shape[0] != wanted[0];
            throw inputError(fileOf(weight.name) + ": tensor \"" + weight.name + "\" has the shape " + shapeText(view.shape) + ", but config.json asks for "
                                 + shapeText(wanted),
                             rows ? "vocab_size in config.json must be the number of rows of the embedding." : "config.json does not describe these weights.");
        }
        if (view.dtype != DType::F32 && view.dtype != DType::F16 && view.dtype != DType::BF16)
            throw inputError(fileOf(weight.name) + ": tensor \"" + weight.name + "\" has the dtype " + dtypeName(view.dtype) + "; weights must be F32, F16 or BF16",
                             "Quantised checkpoints are not supported.");
        used.emplace(weight.name, &view);
        m_names.push_back(weight.name);
        m_weightBytes += view.data.size();
        bytesOf[view.dtype] += view.data.size();
    }
    std::uint64_t most = 0;
    for (const auto& [dtype, bytes] : bytesOf)
        if (bytes > most) {
            most = bytes;
            m_dtype = dtype;
        }
    std::size_t unused = 0;
    for (const auto& [name, view] : m_tensors) {
        if (used.count(name) != 0 || isKnownHarmless(name, m_architecture))
            continue;
        if (++unused <= kMaxWarnings)
            m_warnings.push_back(fileOf(name) + ": tensor \"" + name + "\" " + shapeText(view->shape) + " is no part of the model and is ignored");
    }
    if (unused > kMaxWarnings)
        m_warnings.push_back(m_folder.string() + ": " + std::to_string(unused - kMaxWarnings) + " more tensors are no part of the model and are ignored");
    m_tensors = std::move(used);
}

const TensorView& Checkpoint::tensor(const std::string& name) const
{
    const auto it = m_tensors.find(name);
    if (it == m_tensors.end())
        throw inputError(m_folder.string() + ": the model has no tensor \"" + name + "\"");
    return *it->second;
}

std::vector<std::shared_ptr<const void>> Checkpoint::mappings() const
{
    std::vector<std::shared_ptr<const void>> out;
    for (const SafetensorsFile& shard : m_shards)
        out.push_back(shard.mapping());
    return out;
}

void checkVocabulary(std::uint64_t tokenizerVocabularySize, const Architecture& architecture, const fs::path& folder)
{
    if (tokenizerVocabularySize > static_cast<std::uint64_t>(architecture.vocabularySize))
        throw inputError((folder / "tokenizer.json").string() + ": has token ids up to " + std::to_string(tokenizerVocabularySize - 1)
                             + ", but vocab_size in config.json is " + std::to_string(architecture.vocabularySize),
                         "The tokenizer belongs to another model.");
}

} // namespace postnas
