// Gated DeltaNet: the delta rule with a scalar decay per head, after short convolutions on q, k and v.
#include "core/architecture/blocks/recurrent_state_formulas.h"

namespace postnas {
namespace {

class GatedDeltaNet final : public BlockDescription {
public:
    std::string name() const override { return "gated_delta_net"; }
    std::string displayName() const override { return "Gated DeltaNet"; }
    std::string summary() const override { return "Writes each value by the delta rule into a state that decays by one gate per head."; }
    std::string source() const override { return "Yang, Kautz, Hatamizadeh 2024, arXiv 2412.06464"; }
    std::vector<std::string> huggingFaceNames() const override { return {"gated_delta_net", "gdn"}; }

    std::vector<Hyperparameter> hyperparameters(const Architecture& a) const override
    {
        using K = Hyperparameter::Kind;
        return {
            headsParameter(a),
            keyDimParameter(a),
            valueDimParameter(2.0 * double(a.headDim)),
            {"conv_size", "Convolution", "Taps of the short causal convolutions.", K::Integer, 1, 64, 4},
            {"use_gate", "Output gate", "Whether the output norm is gated by silu(g_proj(x)).", K::Flag, 0, 1, 1},
            {"norm_eps", "Norm epsilon", "Epsilon of the norm on each head's output.", K::Real, 0, 1, 1e-5},
        };
    }

    std::vector<WeightSpec> weights(const Architecture& a, const LayerSpec& l) const override
    {
        const std::int64_t heads = l.integer("num_heads"), taps = l.integer("conv_size");
        const std::int64_t key = heads * l.integer("head_dim"), value = heads * l.integer("value_dim");
        std::vector<WeightSpec> out = gatedDeltaRuleWeights(a, l);
        out.push_back({"q_conv1d.weight", {key, 1, taps}});
        out.push_back({"k_conv1d.weight", {key, 1, taps}});
        out.push_back({"v_conv1d.weight", {value, 1, taps}});
        if (l.flag("use_gate"))
            out.push_back({"g_proj.weight", {value, a.hiddenSize}});
        out.push_back({"o_norm.weight", {l.integer("value_dim")}});
        out.push_back({"o_proj.weight", {a.hiddenSize, value}});
        return out;
    }

    StateSize state(const Architecture&, const LayerSpec& l, std::int64_t, const StateTypes& types) const override
    {
        const std::int64_t channels = l.integer("num_heads") * (2 * l.integer("head_dim") + l.integer("value_dim"));
        return recurrentState(l, types, double(channels));
    }

    double stateFlops(const Architecture&, const LayerSpec& l, std::int64_t) const override { return gatedDeltaRuleFlops(l); }
};

} // namespace

const BlockDescription& describe_gated_delta_net()
{
    static const GatedDeltaNet block;
    return block;
}

} // namespace postnas
