// What full and sliding-window attention share: the cache, projections, head norms and rotary positions. Internal: torch.
#pragma once

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/engine/blocks/block.h"
#include "core/engine/model/functional.h"
#include "core/engine/model/trained_layer.h"
#include "kernels/include/decode_operators.h"
#include "kernels/include/prefill_operators.h"

namespace postnas::engine {

/// Preallocated keys and values; which slot holds which position is the block's affair.
class KeyValueState final : public BlockState {
public:
    KeyValueState(std::int64_t batch, std::int64_t heads, std::int64_t slots, std::int64_t dim, const torch::TensorOptions& options)
        : keys(torch::empty({batch, heads, slots, dim}, options))
        , values(torch::empty({batch, heads, slots, dim}, options))
    {
    }
    void reset() override { length = 0; }
    void fillRandomly(std::int64_t position) override
    {
        keys.normal_();
        values.normal_();
        length = position;
    }
    void assignRow(std::int64_t row, const BlockState& single) override
    {
        const auto& from = static_cast<const KeyValueState&>(single);
        const std::int64_t slots = std::min(keys.size(2), from.keys.size(2));
        // Slots of a ring mean positions modulo their number, so both rings must have the same.
        if (from.length > slots && keys.size(2) != from.keys.size(2))
            throw internalError("a window of " + std::to_string(from.keys.size(2)) + " slots cannot become a row of one of " + std::to_string(keys.size(2)));
        keys.select(0, row).narrow(1, 0, slots).copy_(from.keys.select(0, 0).narrow(1, 0, slots));
        values.select(0, row).narrow(1, 0, slots).copy_(from.values.select(0, 0).narrow(1, 0, slots));
    }
    std::int64_t bytes() const override { return static_cast<std::int64_t>(keys.nbytes() + values.nbytes()); }

    torch::Tensor keys;   ///< [batch, kvHeads, slots, dim]
    torch::Tensor values; ///< [batch, kvHeads, slots, dim]
    std::int64_t length = 0; ///< tokens seen
};

class SoftmaxBlock : public Block {
public:
    using Block::Block;

    /// The same for the whole cache and for a ring: a token's slot is its position modulo the slots.
    void decode(torch::Tensor& hidden, const ops::TokenNorm& before, const DecodeContext& context, BlockState& state) const override
    {
        auto& held = static_cast<KeyValueState&>(state);
        const Architecture& a = *m_architecture;
        const std::vector<torch::Tensor> projected = projectInputs(hidden, before, outputAndNext(context));
        const auto heads = [&](std::size_t which, std::int64_t count) { return projected[which].view({hidden.size(0), count, a.headDim}); };
        const auto norm = [&](const char* name) { return a.queryKeyNorm ? std::optional(weight(name)) : std::nullopt; };
        const torch::Tensor query =
            ops::ropeAppend(heads(0, a.attentionHeads), heads(1, a.keyValueHeads), heads(2, a.keyValueHeads), norm("q_norm.weight"), norm("k_norm.weight"),
                            a.rmsNormEpsilon, context.cosine, context.sine, context.lengths, held.keys, held.values);
        const double scale = 1.0 / std::sqrt(static_cast<double>(a.headDim));
        addOutput(hidden, ops::decodeAttention(query, held.keys, held.values, context.lengths, scale).flatten(1), context);
    }

protected:
    std::vector<std::string> inputProjections() const override { return {"q_proj", "k_proj", "v_proj"}; }

    struct Projected {
        torch::Tensor query; ///< [batch, heads, length, dim]
        torch::Tensor key;   ///< [batch, kvHeads, length, dim], rotated
        torch::Tensor value; ///< [batch, kvHeads, length, dim]
    };

    torch::Tensor project(const torch::Tensor& hidden, const std::string& name) const
    {
        const auto bias = m_weights.find(name + ".bias");
        return at::linear(hidden, weight(name + ".weight"), bias == m_weights.end() ? torch::Tensor() : bias->second);
    }

    std::optional<torch::Tensor> headNorm(const std::string& name) const
    {
        return m_architecture->queryKeyNorm ? std::optional(weight(name)) : std::nullopt;
    }

    Projected projections(const torch::Tensor& hidden, const ForwardContext& context) const
    {
        const Architecture& a = *m_architecture;
        const std::vector<torch::Tensor> inputs = projected(hidden);
        torch::Tensor q = inputs[0].unflatten(-1, {-1, a.headDim}), k = inputs[1].unflatten(-1, {-1, a.headDim});
        const torch::Tensor v = inputs[2].unflatten(-1, {-1, a.headDim});
        if (!at::GradMode::is_enabled()) {
            std::tie(q, k) = ops::rotate(q, k, headNorm("q_norm.weight"), headNorm("k_norm.weight"), a.rmsNormEpsilon, context.cosine, context.sine);
            return {q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)};
        }
        if (a.queryKeyNorm) {
            q = rmsNorm(q, weight("q_norm.weight"), a.rmsNormEpsilon);
            k = rmsNorm(k, weight("k_norm.weight"), a.rmsNormEpsilon);
        }
        if (q.is_cuda()) {
            std::tie(q, k) = rotated(q, k, context.cosine, context.sine);
        } else {
            q = applyRotary(q, context.cosine, context.sine);
            k = applyRotary(k, context.cosine, context.sine);
        }
        return {q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)};
    }

    /// The same with the new keys and values in the slots from `first` on; not differentiable. Returns the query.
    torch::Tensor projectInto(KeyValueState& state, std::int64_t first, const torch::Tensor& hidden, const ForwardContext& context) const
    {
        const std::vector<torch::Tensor> inputs = projected(hidden);
        const auto heads = [&](std::size_t which) { return inputs[which].unflatten(-1, {-1, m_architecture->headDim}); };
        return ops::rotateInto(heads(0), heads(1), heads(2), headNorm("q_norm.weight"), headNorm("k_norm.weight"), m_architecture->rmsNormEpsilon,
                               context.cosine, context.sine, first, state.keys, state.values)
            .transpose(1, 2);
    }

    /// [batch, heads, length, dim] -> [batch, length, hidden]
    torch::Tensor output(const torch::Tensor& attended) const
    {
        return project(attended.transpose(1, 2).flatten(2), "o_proj");
    }
};

} // namespace postnas::engine
