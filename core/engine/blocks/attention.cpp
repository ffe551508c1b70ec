// Full softmax attention over a preallocated cache of keys and values.
#include "core/base/error.h"
#include "core/engine/blocks/softmax_projections.h"

namespace postnas::engine {
namespace {

class Attention final : public SoftmaxBlock {
public:
    using SoftmaxBlock::SoftmaxBlock;

    std::unique_ptr<BlockState> makeState(std::int64_t batch, std::int64_t capacity, const torch::TensorOptions& options) const override
    {
        return std::make_unique<KeyValueState>(batch, m_architecture->keyValueHeads, capacity, m_architecture->headDim, options);
    }

    torch::Tensor forward(const torch::Tensor& hidden, const ForwardContext& context, BlockState* state) const override
    {
        if (state == nullptr) {
            const Projected p = projections(hidden, context);
            return output(causalAttention(p.query, p.key, p.value));
        }
        auto& cache = static_cast<KeyValueState&>(*state);
        const std::int64_t before = cache.length, length = hidden.size(1), after = before + length;
        if (after > cache.keys.size(2))
            throw resourceError("the sequence of " + std::to_string(after) + " tokens is longer than the state was made for ("
                                + std::to_string(cache.keys.size(2)) + ")");
        const torch::Tensor query = projectInto(cache, before, hidden, context);
        cache.length = after;
        return output(continuedAttention(query, cache.keys.narrow(2, 0, after), cache.values.narrow(2, 0, after)));
    }
};

} // namespace

std::unique_ptr<Block> make_attention(const Architecture& architecture, int layer)
{
    return std::make_unique<Attention>(architecture, layer);
}

} // namespace postnas::engine
