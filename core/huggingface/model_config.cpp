// Reads config.json with the defaults of transformers' Qwen2Config and Qwen3Config and of the released jet_nemotron code.
#include "core/huggingface/model_config.h"

#include <algorithm>
#include <limits>

#include "core/architecture/block_description.h"
#include "core/base/checked.h"
#include "core/base/error.h"
#include "core/base/memory.h"
#include "core/base/text.h"
#include "core/huggingface/model_config_rope.h"

namespace postnas {
namespace fs = std::filesystem;
namespace {

// Far above every published model, low enough that no product of them leaves 64 bits before it is checked.
constexpr std::int64_t kMaxVocabulary = 1 << 24;
constexpr std::int64_t kMaxWidth = 1 << 20;
constexpr std::int64_t kMaxIntermediate = 1 << 22;
constexpr std::int64_t kMaxLayers = 4096;
constexpr std::int64_t kMaxHeads = 4096;
constexpr std::int64_t kMaxHeadDim = 8192;
constexpr std::int64_t kMaxPositions = std::int64_t{1} << 40;
constexpr std::int64_t kMaxTokenId = std::numeric_limits<std::int32_t>::max();

constexpr const char* kSupported = "Supported model types: qwen2 (also Qwen2.5), qwen3 (dense), jet_nemotron.";

void readSizes(const JsonReader& config, Architecture& a)
{
    a.vocabularySize = config.integer("vocab_size", 1, kMaxVocabulary);
    a.hiddenSize = config.integer("hidden_size", 1, kMaxWidth);
    a.intermediateSize = config.integer("intermediate_size", 1, kMaxIntermediate);
    a.attentionHeads = config.integer("num_attention_heads", 1, kMaxHeads);
    // A null means "one key-value head for each head" to transformers.
    config.value("num_key_value_heads");
    a.keyValueHeads = config.integer("num_key_value_heads", 1, kMaxHeads, a.attentionHeads);
    if (a.attentionHeads % a.keyValueHeads != 0)
        config.fail("num_key_value_heads", "is " + std::to_string(a.keyValueHeads) + ", which does not divide num_attention_heads ("
                                               + std::to_string(a.attentionHeads) + ")");
    if (config.has("head_dim")) {
        a.headDim = config.integer("head_dim", 1, kMaxHeadDim);
    } else if (a.modelType == "qwen3") {
        a.headDim = 128;
    } else {
        if (a.hiddenSize % a.attentionHeads != 0)
            config.fail("num_attention_heads", "is " + std::to_string(a.attentionHeads) + ", which does not divide hidden_size ("
                                                   + std::to_string(a.hiddenSize) + "), and there is no head_dim");
        a.headDim = a.hiddenSize / a.attentionHeads;
    }
    if (a.headDim % 2 != 0)
        config.fail("head_dim", "is " + std::to_string(a.headDim) + "; rotary embeddings need an even number");
    a.maxPositions = config.integer("max_position_embeddings", 1, kMaxPositions, 32768);
    a.rmsNormEpsilon = config.number("rms_norm_eps", 0, 1, 1e-6);
    a.initializerRange = config.number("initializer_range", 0, 100, 0.02);
    a.tieWordEmbeddings = config.boolean("tie_word_embeddings", false);
}

void readBiases(const JsonReader& config, Architecture& a)
{
    if (a.modelType == "qwen2") {
        a.attentionBias = true;
        a.attentionOutputBias = false;
        a.queryKeyNorm = false;
    } else if (a.modelType == "qwen3") {
        a.attentionBias = a.attentionOutputBias = config.boolean("attention_bias", false);
        a.queryKeyNorm = true;
    } else {
        a.attentionBias = config.boolean("attention_bias", true);
        a.attentionOutputBias = config.boolean("attention_output_bias", false);
        a.queryKeyNorm = config.boolean("qk_norm", false);
    }
}

/// What would change the computation and is not built.
void refuseUnsupported(const JsonReader& config)
{
    const std::string activation = config.string("hidden_act", "silu");
    if (activation != "silu")
        config.fail("hidden_act", "is \"" + activation + "\"; only silu is supported");
    if (config.has("quantization_config"))
        config.fail("quantization_config", "is there, but quantised checkpoints are not supported",
                    "Use the checkpoint in bfloat16, float16 or float32.");
    if (config.boolean("use_mrope", false))
        config.fail("use_mrope", "is true, but multimodal rotary embeddings are not supported");
}

std::string readDtype(const JsonReader& config)
{
    const std::string key = config.has("dtype") ? "dtype" : "torch_dtype";
    std::string name = config.string(key, "float32");
    if (name.starts_with("torch."))
        name.erase(0, 6);
    if (name != "float32" && name != "float16" && name != "bfloat16")
        config.fail(key, "is \"" + name + "\"; supported: float32, float16, bfloat16");
    return name;
}

/// An id, or nothing for null, an absent key, and the -1 by which some files say "none".
std::optional<std::int64_t> readTokenId(const JsonReader& config, const std::string& key)
{
    const std::int64_t id = config.integer(key, -1, kMaxTokenId, -1);
    return id < 0 ? std::nullopt : std::optional(id);
}

std::vector<std::int64_t> readEosTokenIds(const JsonReader& config)
{
    std::vector<std::int64_t> ids;
    if (!config.has("eos_token_id"))
        return ids;
    const Json& value = config.value("eos_token_id");
    if (!value.is_array()) {
        if (const auto id = readTokenId(config, "eos_token_id"))
            ids.push_back(*id);
        return ids;
    }
    if (value.size() > 1024)
        config.fail("eos_token_id", "lists more than 1024 tokens");
    for (const Json& item : value) {
        const Json single = {{"eos_token_id", item}};
        ids.push_back(JsonReader(single, config.source()).integer("eos_token_id", 0, kMaxTokenId));
    }
    return ids;
}

std::string knownLayerTypes()
{
    std::string known;
    for (const BlockDescription* block : allBlocks())
        for (const std::string& name : block->huggingFaceNames())
            known += (known.empty() ? "" : ", ") + name;
    return known;
}

/// The blocks that `layer_types` names, one a layer.
std::vector<const BlockDescription*> readLayerTypes(const JsonReader& config, std::int64_t layers)
{
    const std::vector<std::string> names = config.strings("layer_types");
    if (static_cast<std::int64_t>(names.size()) != layers)
        config.fail("layer_types", "has " + std::to_string(names.size()) + " entries, but num_hidden_layers is " + std::to_string(layers));
    std::vector<const BlockDescription*> blocks;
    for (std::size_t i = 0; i < names.size(); ++i) {
        const BlockDescription* block = findBlockByHuggingFaceName(names[i]);
        if (block == nullptr)
            config.fail("layer_types[" + std::to_string(i) + "]", "is the unknown kind \"" + names[i] + "\"", "Known kinds: " + knownLayerTypes() + ".");
        blocks.push_back(block);
    }
    return blocks;
}

/// Qwen2 and Qwen3: full attention, and one sliding window where `layer_types` or `max_window_layers` say so.
void readQwenLayers(const JsonReader& config, std::int64_t count, Architecture& a)
{
    const bool windowOn = config.boolean("use_sliding_window", false);
    std::optional<std::int64_t> window;
    // An absent key has transformers' default; a null switches the window off.
    if (windowOn && !(config.json().contains("sliding_window") && !config.has("sliding_window")))
        window = config.integer("sliding_window", 1, 1 << 24, 4096);
    std::vector<std::string> kinds(static_cast<std::size_t>(count), "attention");
    if (config.has("layer_types")) {
        const std::vector<const BlockDescription*> blocks = readLayerTypes(config, count);
        for (std::size_t i = 0; i < blocks.size(); ++i) {
            kinds[i] = blocks[i]->name();
            if (kinds[i] != "attention" && kinds[i] != "sliding_window")
                config.fail("layer_types[" + std::to_string(i) + "]", "is " + kinds[i] + ", which a " + a.modelType + " model cannot have",
                            "Hybrid models have model_type jet_nemotron.");
            if (kinds[i] == "sliding_window" && !window)
                config.fail("sliding_window", "must be set and use_sliding_window be true, because layer_types["
                                                  + std::to_string(i) + "] is a sliding window");
        }
    } else if (window) {
        const std::int64_t first = config.integer("max_window_layers", 0, kMaxLayers, 28);
        for (std::int64_t i = first; i < count; ++i)
            kinds[static_cast<std::size_t>(i)] = "sliding_window";
    }
    for (const std::string& kind : kinds) {
        LayerSpec layer;
        layer.block = kind;
        if (kind == "sliding_window")
            layer.parameters["window_size"] = *window;
        a.layers.push_back(std::move(layer));
    }
}

/// The object of a block in efficient_attention_config by any of the block's names, or null.
const Json* blockObject(const Json& efficient, const BlockDescription& block, std::string& name)
{
    for (const std::string& candidate : block.huggingFaceNames()) {
        const auto it = efficient.find(candidate);
        if (it != efficient.end() && !it->is_null()) {
            name = candidate;
            return &*it;
        }
    }
    name = block.huggingFaceNames().front();
    return nullptr;
}

/// `layers` of a block's object: keys must be layers of this block.
void checkOverrides(const JsonReader& object, const BlockDescription& block, const std::vector<const BlockDescription*>& blocks)
{
    const JsonReader layers = object.object("layers");
    for (const auto& [key, value] : layers.json().items()) {
        const bool number = !key.empty() && key.size() <= 5 && std::all_of(key.begin(), key.end(), [](char c) { return c >= '0' && c <= '9'; })
            && (key == "0" || key[0] != '0');
        if (!number || std::stoul(key) >= blocks.size() || blocks[std::stoul(key)] != &block)
            layers.fail(key, "is not the number of a " + block.name() + " layer");
    }
}

void readHybridLayers(const JsonReader& config, std::int64_t count, Architecture& a)
{
    const std::vector<const BlockDescription*> blocks = readLayerTypes(config, count);
    static const Json kNone = Json::object();
    const bool given = config.has("efficient_attention_config");
    const JsonReader efficient = given ? config.object("efficient_attention_config") : JsonReader(kNone, config.source(), "efficient_attention_config");
    std::vector<const BlockDescription*> checked;
    for (std::size_t i = 0; i < blocks.size(); ++i) {
        const BlockDescription& block = *blocks[i];
        if (block.hyperparameters(a).empty()) {
            a.layers.push_back(block.defaultLayer(a));
            continue;
        }
        std::string name;
        if (blockObject(efficient.json(), block, name) == nullptr)
            efficient.fail(name, "is missing, but layer_types[" + std::to_string(i) + "] is a " + block.name() + " layer");
        const JsonReader object = efficient.object(name);
        const bool overrides = object.has("layers");
        if (overrides && std::find(checked.begin(), checked.end(), &block) == checked.end()) {
            checkOverrides(object, block, blocks);
            checked.push_back(&block);
        }
        const std::string number = std::to_string(i);
        const bool own = overrides && object.object("layers").has(number);
        a.layers.push_back(block.readHuggingFace(a, own ? object.object("layers").object(number) : object));
    }
}

} // namespace

Architecture parseModelConfig(const Json& json, const std::string& source)
{
    const JsonReader config(json, source);
    Architecture a;
    a.modelType = config.string("model_type");
    if (a.modelType != "qwen2" && a.modelType != "qwen3" && a.modelType != "jet_nemotron")
        config.fail("model_type", "is \"" + a.modelType + "\", which is not supported", kSupported);
    refuseUnsupported(config);
    readSizes(config, a);
    readBiases(config, a);
    readRope(config, a);
    a.dtype = readDtype(config);
    a.bosTokenId = readTokenId(config, "bos_token_id");
    a.padTokenId = readTokenId(config, "pad_token_id");
    a.eosTokenIds = readEosTokenIds(config);
    const std::int64_t layers = config.integer("num_hidden_layers", 1, kMaxLayers);
    if (a.modelType == "jet_nemotron")
        readHybridLayers(config, layers, a);
    else
        readQwenLayers(config, layers, a);
    try {
        validate(a, source);
    } catch (const Error& e) {
        // What the architecture calls a wrong use is here a wrong file.
        throw inputError(e.what(), e.hint());
    }
    return a;
}

Architecture readModelConfig(const fs::path& configOrFolder)
{
    std::error_code ignored;
    const fs::path file = fs::is_directory(configOrFolder, ignored) ? configOrFolder / "config.json" : configOrFolder;
    if (!fs::exists(file, ignored))
        throw inputError(file.string() + ": does not exist", "A model is a folder with config.json and *.safetensors, or a config.json alone.");
    return parseModelConfig(readJsonFile(file, 1u << 20), file.string());
}

void requireModelMemory(const Architecture& a, int elementBytes, std::uint64_t extraBytes, const std::string& source)
{
    const auto parameters = static_cast<std::uint64_t>(parameterCount(a));
    const auto weights = checkedMultiply(parameters, static_cast<std::uint64_t>(elementBytes));
    const auto bytes = weights ? checkedAdd(*weights, extraBytes) : std::nullopt;
    requireMemory(bytes.value_or(std::numeric_limits<std::uint64_t>::max()),
                  source + ": a model of " + groupThousands(static_cast<std::int64_t>(parameters)) + " parameters (hidden_size "
                      + std::to_string(a.hiddenSize) + ", vocab_size " + std::to_string(a.vocabularySize) + ", "
                      + std::to_string(a.layerCount()) + " layers)",
                  "Check the sizes in the config, use a smaller dtype, or use a machine with more memory.");
}

} // namespace postnas
