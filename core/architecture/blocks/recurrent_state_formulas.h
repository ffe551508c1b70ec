// What blocks with one key x value matrix of state per head share: the hyperparameters of that matrix and its size.
#pragma once

#include "core/architecture/block_description.h"

namespace postnas {

inline Hyperparameter headsParameter(const Architecture& a)
{
    return {"num_heads", "Heads", "Number of independent states.", Hyperparameter::Kind::Integer, 1, 1024, double(a.attentionHeads)};
}

inline Hyperparameter keyDimParameter(const Architecture& a)
{
    return {"head_dim", "Key dim", "Key channels of a head: the rows of its state.", Hyperparameter::Kind::Integer, 1, 1024, double(a.headDim)};
}

inline Hyperparameter valueDimParameter(double fallback)
{
    return {"value_dim", "Value dim", "Value channels of a head: the columns of its state.", Hyperparameter::Kind::Integer, 1, 4096, fallback};
}

/// heads * key * value.
inline double stateElements(const LayerSpec& l)
{
    return double(l.integer("num_heads") * l.integer("head_dim")) * double(l.integer("value_dim"));
}

/// The matrices, and the last conv_size - 1 inputs of `convolvedChannels` channels.
inline StateSize recurrentState(const LayerSpec& l, const StateTypes& types, double convolvedChannels = 0)
{
    StateSize state;
    state.recurrentBytes = stateElements(l) * types.recurrentElementBytes;
    if (convolvedChannels > 0)
        state.convolutionBytes = convolvedChannels * double(l.integer("conv_size") - 1) * types.cacheElementBytes;
    return state;
}

/// The gated delta rule for one token: decay, prediction, rank-one correction and read-out of every state element.
inline double gatedDeltaRuleFlops(const LayerSpec& l) { return 7.0 * stateElements(l); }

/// The projections and decay parameters that every block around the gated delta rule has.
inline std::vector<WeightSpec> gatedDeltaRuleWeights(const Architecture& a, const LayerSpec& l)
{
    const std::int64_t heads = l.integer("num_heads");
    const std::int64_t key = heads * l.integer("head_dim"), value = heads * l.integer("value_dim");
    return {
        {"q_proj.weight", {key, a.hiddenSize}},
        {"k_proj.weight", {key, a.hiddenSize}},
        {"v_proj.weight", {value, a.hiddenSize}},
        {"a_proj.weight", {heads, a.hiddenSize}},
        {"b_proj.weight", {heads, a.hiddenSize}},
        {"A_log", {heads}},
        {"dt_bias", {heads}},
    };
}

} // namespace postnas
