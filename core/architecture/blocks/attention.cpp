// Full softmax attention with grouped key and value heads and rotary positions, as in Qwen2 and Qwen3.
#include "core/architecture/blocks/attention_weights.h"

namespace postnas {
namespace {

class Attention final : public BlockDescription {
public:
    std::string name() const override { return "attention"; }
    std::string displayName() const override { return "Full attention"; }
    std::string summary() const override { return "Every token attends to all tokens before it; the KV cache grows with the context."; }
    std::string source() const override { return "Vaswani et al. 2017; grouped heads: Ainslie et al. 2023"; }
    bool growsWithContext() const override { return true; }
    std::vector<std::string> huggingFaceNames() const override { return {"attn", "full_attention", "attention"}; }
    std::vector<Hyperparameter> hyperparameters(const Architecture&) const override { return {}; }

    std::vector<WeightSpec> weights(const Architecture& a, const LayerSpec&) const override { return attentionWeights(a); }

    StateSize state(const Architecture& a, const LayerSpec&, std::int64_t context, const StateTypes& types) const override
    {
        return attentionState(a, context, types);
    }

    double stateFlops(const Architecture& a, const LayerSpec&, std::int64_t context) const override
    {
        return attentionFlops(a, context);
    }
};

} // namespace

const BlockDescription& describe_attention()
{
    static const Attention block;
    return block;
}

} // namespace postnas
