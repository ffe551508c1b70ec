// Writes config.json: the native Qwen form where it can say everything, else jet_nemotron with its extensions.
#include <map>

#include "core/architecture/block_description.h"
#include "core/base/error.h"
#include "core/huggingface/model_config.h"
#include "core/huggingface/model_config_rope.h"

namespace postnas {
namespace {

/// The window that all sliding layers share: 0 when there are none, nothing when a Qwen form cannot say these layers.
std::optional<std::int64_t> commonWindow(const Architecture& a)
{
    std::int64_t window = 0;
    for (const LayerSpec& layer : a.layers) {
        if (layer.block == "attention")
            continue;
        if (layer.block != "sliding_window")
            return std::nullopt;
        const std::int64_t own = layer.integer("window_size");
        if (window != 0 && own != window)
            return std::nullopt;
        window = own;
    }
    return window;
}

const char* architectureName(const std::string& modelType)
{
    if (modelType == "qwen2")
        return "Qwen2ForCausalLM";
    return modelType == "qwen3" ? "Qwen3ForCausalLM" : "JetNemotronForCausalLM";
}

Json idOrNull(const std::optional<std::int64_t>& id) { return id ? Json(*id) : Json(nullptr); }

void writeQwenLayers(const Architecture& a, Json& config)
{
    const std::int64_t window = commonWindow(a).value();
    Json types = Json::array();
    std::int64_t firstSliding = a.layerCount();
    for (int i = 0; i < a.layerCount(); ++i) {
        const bool sliding = a.layers[static_cast<std::size_t>(i)].block == "sliding_window";
        types.push_back(sliding ? "sliding_attention" : "full_attention");
        if (sliding)
            firstSliding = std::min<std::int64_t>(firstSliding, i);
    }
    config["layer_types"] = types;
    config["use_sliding_window"] = window != 0;
    config["sliding_window"] = window != 0 ? Json(window) : Json(nullptr);
    config["max_window_layers"] = firstSliding;
}

void writeHybridLayers(const Architecture& a, Json& config)
{
    Json types = Json::array();
    Json efficient = Json::object();
    for (int i = 0; i < a.layerCount(); ++i) {
        const LayerSpec& layer = a.layers[static_cast<std::size_t>(i)];
        const BlockDescription& block = blockNamed(layer.block);
        const std::string name = block.huggingFaceNames().front();
        types.push_back(name);
        if (block.hyperparameters(a).empty())
            continue;
        const Json own = block.writeHuggingFace(a, layer);
        if (!efficient.contains(name)) {
            efficient[name] = own;
            continue;
        }
        Json shared = efficient[name];
        shared.erase("layers");
        if (own != shared)
            efficient[name]["layers"][std::to_string(i)] = own;
    }
    config["layer_types"] = types;
    config["efficient_attention_config"] = efficient;
    config["max_window_layers"] = a.layerCount();
    config["use_sliding_window"] = false;
    // Extensions: only where the model is not what the released code assumes.
    if (a.headDim * a.attentionHeads != a.hiddenSize)
        config["head_dim"] = a.headDim;
    if (a.queryKeyNorm)
        config["qk_norm"] = true;
    if (!a.attentionBias)
        config["attention_bias"] = false;
    if (a.attentionOutputBias)
        config["attention_output_bias"] = true;
}

} // namespace

std::string writtenModelType(const Architecture& a)
{
    const bool plain = commonWindow(a).has_value();
    if (a.modelType == "qwen2" && plain && a.attentionBias && !a.attentionOutputBias && !a.queryKeyNorm)
        return "qwen2";
    if (a.modelType == "qwen3" && plain && a.attentionBias == a.attentionOutputBias && a.queryKeyNorm)
        return "qwen3";
    return "jet_nemotron";
}

Json writeModelConfig(const Architecture& a)
{
    const std::string type = writtenModelType(a);
    Json config = {
        {"architectures", Json::array({architectureName(type)})},
        {"model_type", type},
        {"attention_dropout", 0.0},
        {"hidden_act", "silu"},
        {"vocab_size", a.vocabularySize},
        {"hidden_size", a.hiddenSize},
        {"intermediate_size", a.intermediateSize},
        {"num_hidden_layers", a.layerCount()},
        {"num_attention_heads", a.attentionHeads},
        {"num_key_value_heads", a.keyValueHeads},
    };
    if (type == "qwen3" || (type == "qwen2" && a.headDim * a.attentionHeads != a.hiddenSize))
        config["head_dim"] = a.headDim;
    if (type == "qwen3")
        config["attention_bias"] = a.attentionBias;
    if (type == "jet_nemotron")
        writeHybridLayers(a, config);
    else
        writeQwenLayers(a, config);
    config["max_position_embeddings"] = a.maxPositions;
    config["rms_norm_eps"] = a.rmsNormEpsilon;
    writeRope(a, config);
    config["initializer_range"] = a.initializerRange;
    config["tie_word_embeddings"] = a.tieWordEmbeddings;
    config["bos_token_id"] = idOrNull(a.bosTokenId);
    if (a.eosTokenIds.size() == 1)
        config["eos_token_id"] = a.eosTokenIds.front();
    else
        config["eos_token_id"] = a.eosTokenIds.empty() ? Json(nullptr) : Json(a.eosTokenIds);
    if (a.padTokenId)
        config["pad_token_id"] = *a.padTokenId;
    config["torch_dtype"] = a.dtype;
    config["use_cache"] = true;
    return config;
}

} // namespace postnas
