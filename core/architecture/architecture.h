// What a model is, without its weights: the values of a config.json plus one block per layer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"

namespace postnas {

/// How rotary frequencies are changed for long contexts (transformers' `rope_scaling` / `rope_parameters`).
struct RopeScaling {
    enum class Kind { Default, Linear, Dynamic, Yarn, Llama3 };
    Kind kind = Kind::Default;
    double factor = 1.0;
    std::int64_t originalMaxPositions = 0;        ///< 0: the model's own maxPositions
    std::optional<double> attentionFactor;        ///< yarn; default 0.1 ln(factor) + 1
    double betaFast = 32.0, betaSlow = 1.0;       ///< yarn
    std::optional<double> mscale, mscaleAllDim;   ///< yarn of DeepSeek form
    bool truncate = true;                         ///< yarn: round the correction range to whole dimensions
    double lowFrequencyFactor = 1.0, highFrequencyFactor = 4.0; ///< llama3

    bool operator==(const RopeScaling&) const = default;
};

/// One layer's sequence mixer: the block's name (the project's vocabulary) and its hyperparameters by name.
struct LayerSpec {
    std::string block = "attention";
    Json parameters = Json::object();

    std::int64_t integer(const std::string& name) const; ///< throws Error(Internal) when absent
    double real(const std::string& name) const;
    bool flag(const std::string& name) const;

    bool operator==(const LayerSpec&) const = default;
};

/// A decoder of the Qwen family or a hybrid made of one. All layers share hidden size, MLP form and head layout.
struct Architecture {
    std::string modelType = "qwen2"; ///< "qwen2", "qwen3" or "jet_nemotron"
    std::int64_t vocabularySize = 0;
    std::int64_t hiddenSize = 0;
    std::int64_t intermediateSize = 0;
    std::int64_t attentionHeads = 0;
    std::int64_t keyValueHeads = 0;
    std::int64_t headDim = 0;
    std::int64_t maxPositions = 32768;
    double rmsNormEpsilon = 1e-6;
    double ropeTheta = 10000.0;
    RopeScaling ropeScaling;
    bool tieWordEmbeddings = false;
    bool attentionBias = true;       ///< biases on q, k, v
    bool attentionOutputBias = false; ///< bias on o
    bool queryKeyNorm = false;       ///< Qwen3's RMSNorm on each head of q and k
    double initializerRange = 0.02;
    std::string dtype = "float32";   ///< the checkpoint's own: float32, float16 or bfloat16
    std::optional<std::int64_t> bosTokenId;
    std::vector<std::int64_t> eosTokenIds;
    std::optional<std::int64_t> padTokenId;
    std::vector<LayerSpec> layers;

    int layerCount() const { return static_cast<int>(layers.size()); }
};

/// One weight tensor of a model by its Hugging Face name.
struct WeightSpec {
    std::string name;                 ///< full name, or relative to `self_attn.` when it comes from a block
    std::vector<std::int64_t> shape;
};

/// Every weight of the model in checkpoint order; `lm_head.weight` only when it is not tied.
std::vector<WeightSpec> modelWeights(const Architecture& architecture);

/// Number of parameters; tied embeddings count once.
std::int64_t parameterCount(const Architecture& architecture);
std::int64_t elementCount(const WeightSpec& weight);

/// What decoding keeps for one sequence.
struct StateSize {
    double cacheBytes = 0;       ///< keys and values of attention layers
    double recurrentBytes = 0;   ///< recurrent states
    double convolutionBytes = 0; ///< the last inputs of short convolutions; not part of `total`, as in the paper
    double total() const { return cacheBytes + recurrentBytes; }
    StateSize& operator+=(const StateSize& other);
};

/// Bytes per element of caches (bfloat16) and of recurrent states (float32), unless the user chooses otherwise.
struct StateTypes {
    int cacheElementBytes = 2;
    int recurrentElementBytes = 4;
};

/// The state of all layers for one sequence of `context` tokens.
StateSize stateSize(const Architecture& architecture, std::int64_t context, const StateTypes& types = {});
StateSize layerStateSize(const Architecture& architecture, int layer, std::int64_t context, const StateTypes& types = {});

/// Floating-point operations of one decoded token at position `context` (a multiply-add counts as two), and the bytes
/// that one decoding step must move for a batch (weights once, states of every sequence read, recurrent ones also written).
double decodeFlops(const Architecture& architecture, std::int64_t context);
double decodeBytes(const Architecture& architecture, std::int64_t context, std::int64_t batch, int weightElementBytes = 2,
                   const StateTypes& types = {});

/// Floating-point operations of a prompt of `length` tokens from an empty state, with logits of the last token alone.
double prefillFlops(const Architecture& architecture, std::int64_t length);

/// Throws Error(Usage) naming the layer and the value when sizes do not fit together (heads that do not divide, a
/// hyperparameter outside its block's range, an unknown block).
void validate(const Architecture& architecture, const std::string& source);

} // namespace postnas
