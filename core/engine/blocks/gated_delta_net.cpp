// Gated DeltaNet: short convolutions on q, k and v, the gated delta rule, and a gated output norm.
#include <cmath>

#include "core/engine/blocks/gated_delta_rule.h"
#include "kernels/include/operators.h"

namespace postnas::engine {
namespace {

class GatedDeltaNet final : public GatedDeltaRuleBlock {
public:
    GatedDeltaNet(const Architecture& architecture, int layer)
        : GatedDeltaRuleBlock(architecture, layer)
        , m_outputGate(m_spec.flag("use_gate"))
    {
    }

    std::unique_ptr<BlockState> makeState(std::int64_t batch, std::int64_t, const torch::TensorOptions& options) const override
    {
        const std::int64_t rows = m_taps - 1, key = m_heads * m_keyDim, value = m_heads * m_valueDim;
        return std::make_unique<RecurrentState>(
            batch, m_heads, m_keyDim, m_valueDim,
            std::vector<std::pair<std::int64_t, std::int64_t>>{{rows, key}, {rows, key}, {rows, value}}, options);
    }

    torch::Tensor forward(const torch::Tensor& hidden, const ForwardContext&, BlockState* state) const override
    {
        auto* held = static_cast<RecurrentState*>(state);
        const torch::Tensor q = convolved(hidden, "q", m_keyDim, held, 0);
        const torch::Tensor k = convolved(hidden, "k", m_keyDim, held, 1);
        const torch::Tensor v = convolved(hidden, "v", m_valueDim, held, 2);
        return output(deltaRule(hidden, unitLength(q, false), unitLength(k, false), v, held), "o_norm", m_outputGate ? projectHeads(hidden, "g_proj", m_valueDim) : torch::Tensor(), hidden.scalar_type());
    }

    void decode(torch::Tensor& hidden, const ops::TokenNorm& norm, const DecodeContext& context, BlockState& state) const override
    {
        auto& held = static_cast<RecurrentState&>(state);
        ops::RecurrentStep step = deltaStep(projectInputs(hidden, norm, outputAndNext(context)), held, m_outputGate);
        const auto convolution = [&](const char* name, std::size_t history) {
            return ops::StepConvolution{weight(std::string(name) + "_conv1d.weight").squeeze(1), held.histories[history]};
        };
        step.convolutionQ = convolution("q", 0);
        step.convolutionK = convolution("k", 1);
        step.convolutionV = convolution("v", 2);
        addOutput(hidden, ops::recurrentStep(step), context);
    }

    void initialise(torch::Generator& generator, const torch::TensorOptions& options) override
    {
        GatedDeltaRuleBlock::initialise(generator, options);
        for (const char* name : {"q_conv1d.weight", "k_conv1d.weight", "v_conv1d.weight"})
            initialiseUniform(name, 1.0 / std::sqrt(static_cast<double>(m_taps)), generator);
    }

protected:
    std::vector<std::string> inputProjections() const override
    {
        std::vector<std::string> names = {"q_proj", "k_proj", "v_proj", "a_proj", "b_proj"};
        if (m_outputGate)
            names.emplace_back("g_proj");
        return names;
    }

private:
    /// silu of the short convolution of the projection `which`_proj, in heads.
    torch::Tensor convolved(const torch::Tensor& hidden, const std::string& which, std::int64_t dim, RecurrentState* state,
                            std::size_t history) const
    {
        const torch::Tensor x = project(hidden, which + "_proj");
        const torch::Tensor y = siluConvolution(x, weight(which + "_conv1d.weight").squeeze(1),
                                                state ? std::optional(state->histories[history]) : std::nullopt);
        if (state)
            advanceHistory(state->histories[history], x);
        return y.unflatten(-1, {m_heads, dim});
    }

    bool m_outputGate;
};

} // namespace

std::unique_ptr<Block> make_gated_delta_net(const Architecture& architecture, int layer)
{
    return std::make_unique<GatedDeltaNet>(architecture, layer);
}

} // namespace postnas::engine
