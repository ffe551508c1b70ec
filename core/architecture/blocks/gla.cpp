// Gated Linear Attention: a linear recurrence whose state decays by a low-rank, per-channel gate.
#include "core/architecture/blocks/recurrent_state_formulas.h"

#include "core/base/error.h"

namespace postnas {
namespace {

class GatedLinearAttention final : public BlockDescription {
public:
    std::string name() const override { return "gla"; }
    std::string displayName() const override { return "GLA"; }
    std::string summary() const override { return "Linear attention whose state forgets by a data-dependent gate per key channel."; }
    std::string source() const override { return "Yang et al. 2024, arXiv 2312.06635"; }
    std::vector<std::string> huggingFaceNames() const override { return {"gla"}; }

    std::vector<Hyperparameter> hyperparameters(const Architecture& a) const override
    {
        using K = Hyperparameter::Kind;
        return {
            headsParameter(a),
            {"num_kv_heads", "KV heads", "Heads of keys, values and gates; each serves a group of query heads.", K::Integer, 1, 1024,
             double(a.keyValueHeads)},
            keyDimParameter(a),
            valueDimParameter(double(a.headDim)),
            {"gate_low_rank_dim", "Gate rank", "Width of the bottleneck that makes the gates.", K::Integer, 1, 4096, 16},
            {"gate_logit_normalizer", "Gate normalizer", "Divides the log of the gate: larger forgets more slowly.", K::Real, 1e-3, 1e6, 16},
            {"use_output_gate", "Output gate", "Whether the output is gated by silu(g_proj(x)).", K::Flag, 0, 1, 1},
            {"norm_eps", "Norm epsilon", "Epsilon of the norm on each head's output.", K::Real, 0, 1, 1e-5},
        };
    }

    std::vector<WeightSpec> weights(const Architecture& a, const LayerSpec& l) const override
    {
        const std::int64_t heads = l.integer("num_heads"), groups = l.integer("num_kv_heads");
        const std::int64_t key = l.integer("head_dim"), value = l.integer("value_dim"), rank = l.integer("gate_low_rank_dim");
        std::vector<WeightSpec> out = {
            {"q_proj.weight", {heads * key, a.hiddenSize}},
            {"k_proj.weight", {groups * key, a.hiddenSize}},
            {"v_proj.weight", {groups * value, a.hiddenSize}},
        };
        if (l.flag("use_output_gate"))
            out.push_back({"g_proj.weight", {heads * value, a.hiddenSize}});
        out.push_back({"gk_proj.0.weight", {rank, a.hiddenSize}});
        out.push_back({"gk_proj.1.weight", {groups * key, rank}});
        out.push_back({"gk_proj.1.bias", {groups * key}});
        out.push_back({"o_proj.weight", {a.hiddenSize, heads * value}});
        out.push_back({l.flag("use_output_gate") ? "g_norm_swish_gate.weight" : "g_norm.weight", {value}});
        return out;
    }

    StateSize state(const Architecture&, const LayerSpec& l, std::int64_t, const StateTypes& types) const override
    {
        return recurrentState(l, types);
    }

    double stateFlops(const Architecture&, const LayerSpec& l, std::int64_t) const override
    {
        // Decay, rank-one update and read-out of every state element.
        return 5.0 * stateElements(l);
    }

    void check(const Architecture&, const LayerSpec& l, const std::string& where) const override
    {
        if (l.integer("num_heads") % l.integer("num_kv_heads") != 0)
            throw usageError(where + " (gla): num_heads must be a multiple of num_kv_heads");
    }
};

} // namespace

const BlockDescription& describe_gla()
{
    static const GatedLinearAttention block;
    return block;
}

} // namespace postnas
