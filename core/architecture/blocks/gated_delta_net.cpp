// Gated DeltaNet: the delta rule with a scalar decay per head, after short convolutions on q, k and v.
#include "core/architecture/block_description.h"

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
            {"num_heads", "Heads", "Number of independent states.", K::Integer, 1, 1024, double(a.attentionHeads)},
            {"head_dim", "Key dim", "Key channels of a head: the rows of its state.", K::Integer, 1, 1024, double(a.headDim)},
            {"value_dim", "Value dim", "Value channels of a head: the columns of its state.", K::Integer, 1, 4096, 2.0 * double(a.headDim)},
            {"conv_size", "Convolution", "Taps of the short causal convolutions.", K::Integer, 1, 64, 4},
            {"use_gate", "Output gate", "Whether the output norm is gated by silu(g_proj(x)).", K::Flag, 0, 1, 1},
            {"norm_eps", "Norm epsilon", "Epsilon of the norm on each head's output.", K::Real, 0, 1, 1e-5},
        };
    }

    std::vector<WeightSpec> weights(const Architecture& a, const LayerSpec& l) const override
    {
        const std::int64_t heads = l.integer("num_heads"), taps = l.integer("conv_size");
        const std::int64_t key = heads * l.integer("head_dim"), value = heads * l.integer("value_dim");
        std::vector<WeightSpec> out = {
            {"q_proj.weight", {key, a.hiddenSize}},
            {"k_proj.weight", {key, a.hiddenSize}},
            {"v_proj.weight", {value, a.hiddenSize}},
            {"a_proj.weight", {heads, a.hiddenSize}},
            {"b_proj.weight", {heads, a.hiddenSize}},
            {"A_log", {heads}},
            {"dt_bias", {heads}},
            {"q_conv1d.weight", {key, 1, taps}},
            {"k_conv1d.weight", {key, 1, taps}},
            {"v_conv1d.weight", {value, 1, taps}},
        };
        if (l.flag("use_gate"))
            out.push_back({"g_proj.weight", {value, a.hiddenSize}});
        out.push_back({"o_norm.weight", {l.integer("value_dim")}});
        out.push_back({"o_proj.weight", {a.hiddenSize, value}});
        return out;
    }

    StateSize state(const Architecture&, const LayerSpec& l, std::int64_t, const StateTypes& types) const override
    {
        const double heads = double(l.integer("num_heads"));
        const double key = double(l.integer("head_dim")), value = double(l.integer("value_dim"));
        StateSize state;
        state.recurrentBytes = heads * key * value * types.recurrentElementBytes;
        state.convolutionBytes = heads * (2 * key + value) * double(l.integer("conv_size") - 1) * types.cacheElementBytes;
        return state;
    }

    double stateFlops(const Architecture&, const LayerSpec& l, std::int64_t) const override
    {
        // Decay, prediction, rank-one correction and read-out of every state element.
        return 7.0 * double(l.integer("num_heads") * l.integer("head_dim")) * double(l.integer("value_dim"));
    }
};

} // namespace

const BlockDescription& describe_gated_delta_net()
{
    static const GatedDeltaNet block;
    return block;
}

} // namespace postnas
