// Softmax attention over the last `window` tokens only.
#include <algorithm>

#include "core/architecture/blocks/attention_weights.h"

namespace postnas {
namespace {

class SlidingWindow final : public BlockDescription {
public:
    std::string name() const override { return "sliding_window"; }
    std::string displayName() const override { return "Sliding-window attention"; }
    std::string summary() const override { return "Every token attends to itself and the window - 1 tokens before it."; }
    std::string source() const override { return "Beltagy et al. 2020 (Longformer)"; }
    std::vector<std::string> huggingFaceNames() const override { return {"swa", "sliding_attention", "sliding_window"}; }

    std::vector<Hyperparameter> hyperparameters(const Architecture& a) const override
    {
        const double fallback = static_cast<double>(std::min<std::int64_t>(1152, std::max<std::int64_t>(16, a.maxPositions / 8)));
        return {{"window_size", "Window", "How many tokens, itself included, a token can see.", Hyperparameter::Kind::Integer, 1,
                 1 << 24, fallback}};
    }

    std::vector<WeightSpec> weights(const Architecture& a, const LayerSpec&) const override { return attentionWeights(a); }

    StateSize state(const Architecture& a, const LayerSpec& layer, std::int64_t context, const StateTypes& types) const override
    {
        return attentionState(a, std::min(context, layer.integer("window_size")), types);
    }

    double stateFlops(const Architecture& a, const LayerSpec& layer, std::int64_t context) const override
    {
        return attentionFlops(a, std::min(context, layer.integer("window_size")));
    }
};

} // namespace

const BlockDescription& describe_sliding_window()
{
    static const SlidingWindow block;
    return block;
}

} // namespace postnas
