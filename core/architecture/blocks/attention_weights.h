// What full and sliding-window attention share.
#pragma once

#include "core/architecture/block_description.h"

namespace postnas {

/// q, k, v, o projections, biases and head norms by the architecture's flags.
inline std::vector<WeightSpec> attentionWeights(const Architecture& a)
{
    const std::int64_t query = a.attentionHeads * a.headDim;
    const std::int64_t keyValue = a.keyValueHeads * a.headDim;
    std::vector<WeightSpec> out;
    const auto projection = [&](const std::string& name, std::int64_t rows, std::int64_t columns, bool bias) {
        out.push_back({name + ".weight", {rows, columns}});
        if (bias)
            out.push_back({name + ".bias", {rows}});
    };
    projection("q_proj", query, a.hiddenSize, a.attentionBias);
    projection("k_proj", keyValue, a.hiddenSize, a.attentionBias);
    projection("v_proj", keyValue, a.hiddenSize, a.attentionBias);
    projection("o_proj", a.hiddenSize, query, a.attentionOutputBias);
    if (a.queryKeyNorm) {
        out.push_back({"q_norm.weight", {a.headDim}});
        out.push_back({"k_norm.weight", {a.headDim}});
    }
    return out;
}

/// Keys and values of `tokens` positions: 2 * kv heads * head dim * tokens elements.
inline StateSize attentionState(const Architecture& a, std::int64_t tokens, const StateTypes& types)
{
    StateSize state;
    state.cacheBytes = 2.0 * static_cast<double>(a.keyValueHeads * a.headDim) * static_cast<double>(tokens) * types.cacheElementBytes;
    return state;
}

/// Scores and the weighted sum over `tokens` positions: 4 * heads * head dim * tokens operations.
inline double attentionFlops(const Architecture& a, std::int64_t tokens)
{
    return 4.0 * static_cast<double>(a.attentionHeads * a.headDim) * static_cast<double>(tokens);
}

} // namespace postnas
