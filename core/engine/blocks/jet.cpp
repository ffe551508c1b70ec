// JetBlock: the gated delta rule with a convolution on the values whose kernels are made from each token.
#include <cmath>

#include "core/engine/blocks/gated_delta_rule.h"
#include "kernels/include/prefill_operators.h"

namespace postnas::engine {
namespace {

const std::string kGenerator = "dynamic_conv1d.kernel_generator.";

class JetBlock final : public GatedDeltaRuleBlock {
public:
    using GatedDeltaRuleBlock::GatedDeltaRuleBlock;

    std::unique_ptr<BlockState> makeState(std::int64_t batch, std::int64_t, const torch::TensorOptions& options) const override
    {
        return std::make_unique<RecurrentState>(
            batch, m_heads, m_keyDim, m_valueDim,
            std::vector<std::pair<std::int64_t, std::int64_t>>{{m_taps - 1, m_heads * m_valueDim}}, options);
    }

    torch::Tensor forward(const torch::Tensor& hidden, const ForwardContext&, BlockState* state) const override
    {
        auto* held = static_cast<RecurrentState*>(state);
        const torch::Tensor q = unitLength(projectHeads(hidden, "q_proj", m_keyDim), true);
        const torch::Tensor k = unitLength(projectHeads(hidden, "k_proj", m_keyDim), true);
        const torch::Tensor v = values(hidden, held).unflatten(-1, {m_heads, m_valueDim});
        return output(deltaRule(hidden, q, k, v, held), "o_norm", projectHeads(hidden, "g_proj", m_valueDim), hidden.scalar_type());
    }

    void decode(torch::Tensor& hidden, const ops::TokenNorm& norm, const DecodeContext& context, BlockState& state) const override
    {
        auto& held = static_cast<RecurrentState&>(state);
        const std::vector<torch::Tensor> projected = projectInputs(hidden, norm, {weight(kGenerator + "w2.weight")}, kGenerator + "w1");
        const torch::Tensor kernels = ops::tokenProducts(projected[6], {}, {product(kGenerator + "w2")}, outputAndNext(context))[0];
        ops::RecurrentStep step = deltaStep(projected, held, true);
        step.convolutionV = {kernels.unflatten(-1, {m_heads * m_valueDim, m_taps}), held.histories[0]};
        addOutput(hidden, ops::recurrentStep(step), context);
    }

    void initialise(torch::Generator& generator, const torch::TensorOptions& options) override
    {
        GatedDeltaRuleBlock::initialise(generator, options);
        // The bias is the part of the kernels that does not depend on the token: a short convolution's usual start.
        initialiseUniform("dynamic_conv1d.kernel_generator.w2.bias", 1.0 / std::sqrt(static_cast<double>(m_taps)), generator);
    }

protected:
    std::vector<std::string> inputProjections() const override
    {
        return {"q_proj", "k_proj", "v_proj", "a_proj", "b_proj", "g_proj", kGenerator + "w1"};
    }

private:
    /// The kernels that each token makes for itself: [..., heads * value, taps].
    torch::Tensor kernels(const torch::Tensor& hidden) const
    {
        return project(at::silu(project(hidden, kGenerator + "w1")), kGenerator + "w2").unflatten(-1, {m_heads * m_valueDim, m_taps});
    }

    /// silu of the dynamic convolution of v_proj(hidden): [batch, length, heads * value].
    torch::Tensor values(const torch::Tensor& hidden, RecurrentState* state) const
    {
        const torch::Tensor x = project(hidden, "v_proj");
        const auto history = state ? std::optional(state->histories[0]) : std::nullopt;
        const std::string last = kGenerator + "w2";
        const torch::Tensor y = at::GradMode::is_enabled()
            ? siluConvolution(x, kernels(hidden), history)
            : ops::generatedConvolution(x, at::silu(project(hidden, kGenerator + "w1")), weight(last + ".weight"), weight(last + ".bias"), history);
        if (state)
            advanceHistory(state->histories[0], x);
        return y;
    }
};

} // namespace

std::unique_ptr<Block> make_jet(const Architecture& architecture, int layer)
{
    return std::make_unique<JetBlock>(architecture, layer);
}

} // namespace postnas::engine
