// Softmax attention over the last W tokens, decoded through a ring of W slots.
#include <algorithm>

#include "core/engine/blocks/softmax_projections.h"

namespace postnas::engine {
namespace {

/// [length, keys]: query i stands at position `firstQuery + i`, key j at `firstKey + j`; seen when 0 <= distance < window.
torch::Tensor bandMask(std::int64_t firstQuery, std::int64_t queries, std::int64_t firstKey, std::int64_t keys, std::int64_t window,
                       const torch::Device& device)
{
    const auto options = torch::TensorOptions().dtype(torch::kInt64).device(device);
    const torch::Tensor distance = torch::arange(firstQuery, firstQuery + queries, options).unsqueeze(1)
        - torch::arange(firstKey, firstKey + keys, options).unsqueeze(0);
    return distance.ge(0).logical_and(distance.lt(window));
}

/// Its state is a ring: the slot of position p is p modulo the number of slots.
class SlidingWindow final : public SoftmaxBlock {
public:
    SlidingWindow(const Architecture& architecture, int layer)
        : SoftmaxBlock(architecture, layer)
        , m_window(m_spec.integer("window_size"))
    {
    }

    std::unique_ptr<BlockState> makeState(std::int64_t batch, std::int64_t capacity, const torch::TensorOptions& options) const override
    {
        return std::make_unique<KeyValueState>(batch, m_architecture->keyValueHeads, std::min(m_window, std::max<std::int64_t>(capacity, 1)),
                                           m_architecture->headDim, options);
    }

    torch::Tensor forward(const torch::Tensor& hidden, const ForwardContext& context, BlockState* state) const override
    {
        const Projected p = projections(hidden, context);
        if (state == nullptr)
            return output(attended(p.query, p.key, p.value));
        auto& ring = static_cast<KeyValueState&>(*state);
        return output(hidden.size(1) == 1 ? decode(p, ring) : prefill(p, ring));
    }

private:
    /// Queries that stand at the end of the keys, in blocks against the keys that they can see, so that memory stays at length * window.
    torch::Tensor attended(const torch::Tensor& query, const torch::Tensor& key, const torch::Tensor& value) const
    {
        const std::int64_t length = query.size(2), before = key.size(2) - length;
        if (before == 0 && length <= m_window)
            return causalAttention(query, key, value);
        if (flashAttentionTakes(query))
            return windowAttention(query, key, value, m_window);
        const std::int64_t block = std::max<std::int64_t>(m_window, 256);
        std::vector<torch::Tensor> parts;
        for (std::int64_t begin = 0; begin < length; begin += block) {
            const std::int64_t end = std::min(length, begin + block), lastKey = before + end;
            const std::int64_t firstKey = std::max<std::int64_t>(0, before + begin - m_window + 1);
            const torch::Tensor mask = bandMask(before + begin, end - begin, firstKey, lastKey - firstKey, m_window, query.device());
            parts.push_back(groupedAttention(query.slice(2, begin, end), key.slice(2, firstKey, lastKey), value.slice(2, firstKey, lastKey), mask));
        }
        return torch::cat(parts, 2);
    }

    torch::Tensor decode(const Projected& p, KeyValueState& ring) const
    {
        const std::int64_t slots = ring.keys.size(2);
        const std::int64_t slot = ring.length % slots;
        ring.keys.select(2, slot).copy_(p.key.select(2, 0));
        ring.values.select(2, slot).copy_(p.value.select(2, 0));
        ring.length += 1;
        // Softmax does not care in which order the slots stand.
        const std::int64_t held = std::min(ring.length, slots);
        return groupedAttention(p.query, ring.keys.narrow(2, 0, held), ring.values.narrow(2, 0, held), {});
    }

    torch::Tensor prefill(const Projected& p, KeyValueState& ring) const
    {
        const std::int64_t slots = ring.keys.size(2), before = ring.length, length = p.query.size(2);
        const std::int64_t history = std::min(before, slots - 1);
        torch::Tensor keys = p.key, values = p.value;
        const auto indexOptions = torch::TensorOptions().dtype(torch::kInt64).device(p.key.device());
        if (history > 0) {
            const torch::Tensor index = torch::arange(before - history, before, indexOptions).remainder(slots);
            keys = torch::cat({ring.keys.index_select(2, index), keys}, 2);
            values = torch::cat({ring.values.index_select(2, index), values}, 2);
        }
        const torch::Tensor out = attended(p.query, keys, values);

        const std::int64_t kept = std::min(length, slots);
        const torch::Tensor index = torch::arange(before + length - kept, before + length, indexOptions).remainder(slots);
        ring.keys.index_copy_(2, index, p.key.slice(2, length - kept, length));
        ring.values.index_copy_(2, index, p.value.slice(2, length - kept, length));
        ring.length = before + length;
        return out;
    }

    std::int64_t m_window;
};

} // namespace

std::unique_ptr<Block> make_sliding_window(const Architecture& architecture, int layer)
{
    return std::make_unique<SlidingWindow>(architecture, layer);
}

} // namespace postnas::engine
