// What the blocks around the gated delta rule share: its sizes, the rule itself with its gates, and their start. Internal: torch.
#pragma once

#include <cmath>

#include "core/engine/blocks/recurrent.h"
#include "kernels/include/operators.h"
#include "kernels/include/prefill_operators.h"

namespace postnas::engine {

class GatedDeltaRuleBlock : public RecurrentBlock {
public:
    GatedDeltaRuleBlock(const Architecture& architecture, int layer)
        : RecurrentBlock(architecture, layer)
        , m_heads(m_spec.integer("num_heads"))
        , m_keyDim(m_spec.integer("head_dim"))
        , m_valueDim(m_spec.integer("value_dim"))
        , m_taps(m_spec.integer("conv_size"))
    {
    }

    void initialise(torch::Generator& generator, const torch::TensorOptions& options) override
    {
        RecurrentBlock::initialise(generator, options);
        initialiseDecay(generator);
    }

protected:
    /// q, k [batch, length, heads, key] of unit length, v [batch, length, heads, value] -> [batch, length, heads, value]; decay and beta are
    /// made from `hidden`, and the state `held`, when there is one, moves on by `length` tokens.
    torch::Tensor deltaRule(const torch::Tensor& hidden, const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                            RecurrentState* held) const
    {
        torch::Tensor g, beta;
        if (at::GradMode::is_enabled()) {
            const torch::Tensor b = project(hidden, "b_proj");
            g = logDecay(hidden);
            beta = b.to(torch::promoteTypes(b.scalar_type(), torch::kFloat32)).sigmoid();
        } else { // products with so few columns are slow on their own
            const torch::Tensor ab = at::linear(hidden, at::cat({weight("a_proj.weight"), weight("b_proj.weight")}));
            std::tie(g, beta) = ops::deltaGates(ab, weight("A_log"), weight("dt_bias"));
        }
        const auto [o, final] = ops::gatedDeltaRule(q, k, v, g, beta, held ? std::optional(held->recurrent) : std::nullopt,
                                                    1.0 / std::sqrt(static_cast<double>(m_keyDim)));
        if (held)
            held->keep(final);
        return o;
    }

    /// A decoding step up to its convolutions, from the projections q, k, v, a, b and, where there is an output gate, g.
    ops::RecurrentStep deltaStep(const std::vector<torch::Tensor>& projected, RecurrentState& held, bool gated) const
    {
        ops::RecurrentStep step = stepOf(held, "o_norm", gated ? projected[5] : torch::Tensor());
        step.q = projected[0];
        step.k = projected[1];
        step.v = projected[2];
        step.siluKeys = step.siluValues = step.unitLength = true;
        step.decay = ops::StepDecay::PerHeadFromRaw;
        step.g = projected[3];
        step.aLog = weight("A_log");
        step.dtBias = weight("dt_bias");
        step.b = projected[4];
        return step;
    }

    std::int64_t m_heads, m_keyDim, m_valueDim, m_taps;
};

} // namespace postnas::engine
