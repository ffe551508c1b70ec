// Gated linear attention: projections, low-rank gate, recurrence and gated output norm.
#include <cmath>

#include "core/engine/blocks/recurrent.h"
#include "kernels/include/operators.h"

namespace postnas::engine {
namespace {

class GatedLinearAttention final : public RecurrentBlock {
public:
    GatedLinearAttention(const Architecture& architecture, int layer)
        : RecurrentBlock(architecture, layer)
        , m_heads(m_spec.integer("num_heads"))
        , m_groups(m_spec.integer("num_kv_heads"))
        , m_keyDim(m_spec.integer("head_dim"))
        , m_valueDim(m_spec.integer("value_dim"))
        , m_outputGate(m_spec.flag("use_output_gate"))
    {
    }

    std::unique_ptr<BlockState> makeState(std::int64_t batch, std::int64_t, const torch::TensorOptions& options) const override
    {
        return std::make_unique<RecurrentState>(batch, m_heads, m_keyDim, m_valueDim,
                                                std::vector<std::pair<std::int64_t, std::int64_t>>{}, options);
    }

    torch::Tensor forward(const torch::Tensor& hidden, const ForwardContext&, BlockState* state) const override
    {
        const std::vector<torch::Tensor> inputs = projected(hidden);
        const torch::Tensor q = inputs[0].unflatten(-1, {-1, m_keyDim});
        const torch::Tensor k = shared(inputs[1].unflatten(-1, {-1, m_keyDim}));
        const torch::Tensor v = shared(inputs[2].unflatten(-1, {-1, m_valueDim}));
        const torch::Tensor gate = project(inputs[3], "gk_proj.1").unflatten(-1, {-1, m_keyDim});
        const torch::Tensor logGate = at::log_sigmoid(gate.to(torch::promoteTypes(gate.scalar_type(), torch::kFloat32)));
        const torch::Tensor g = shared(logGate / m_spec.real("gate_logit_normalizer"));

        auto* held = static_cast<RecurrentState*>(state);
        const auto [o, final] = ops::gatedLinearAttention(q, k, v, g, held ? std::optional(held->recurrent) : std::nullopt,
                                                          1.0 / std::sqrt(static_cast<double>(m_keyDim)));
        if (held)
            held->keep(final);
        if (!m_outputGate)
            return output(o, "g_norm", {}, hidden.scalar_type());
        return output(o, "g_norm_swish_gate", inputs[4].unflatten(-1, {-1, m_valueDim}), hidden.scalar_type());
    }

    void decode(torch::Tensor& hidden, const ops::TokenNorm& norm, const DecodeContext& context, BlockState& state) const override
    {
        auto& held = static_cast<RecurrentState&>(state);
        const std::vector<torch::Tensor> projected = projectInputs(hidden, norm, outputAndNext(context));
        ops::RecurrentStep step = stepOf(held, m_outputGate ? "g_norm_swish_gate" : "g_norm", m_outputGate ? projected[4] : torch::Tensor());
        step.groups = m_groups;
        step.q = projected[0];
        step.k = projected[1];
        step.v = projected[2];
        step.decay = ops::StepDecay::PerChannelFromLogits;
        step.g = ops::tokenProducts(projected[3], {}, {product("gk_proj.1")})[0];
        step.gateNormalizer = m_spec.real("gate_logit_normalizer");
        addOutput(hidden, ops::recurrentStep(step), context);
    }

protected:
    std::vector<std::string> inputProjections() const override
    {
        std::vector<std::string> names = {"q_proj", "k_proj", "v_proj", "gk_proj.0"};
        if (m_outputGate)
            names.emplace_back("g_proj");
        return names;
    }

private:
    /// [batch, length, groups, dim] -> [batch, length, heads, dim]: each group serves heads / groups neighbouring heads.
    torch::Tensor shared(const torch::Tensor& x) const
    {
        if (m_groups == m_heads)
            return x;
        return x.unsqueeze(3).expand({-1, -1, -1, m_heads / m_groups, -1}).flatten(2, 3);
    }

    std::int64_t m_heads, m_groups, m_keyDim, m_valueDim;
    bool m_outputGate;
};

} // namespace

std::unique_ptr<Block> make_gla(const Architecture& architecture, int layer)
{
    return std::make_unique<GatedLinearAttention>(architecture, layer);
}

} // namespace postnas::engine
