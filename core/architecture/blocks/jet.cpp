// JetBlock of Jet-Nemotron: the gated delta rule with a dynamic convolution on the values.
#include "core/architecture/blocks/recurrent_state_formulas.h"

#include <cmath>
#include <cstdlib>

#include "core/base/error.h"

namespace postnas {
namespace {

class JetBlock final : public BlockDescription {
public:
    std::string name() const override { return "jet"; }
    std::string displayName() const override { return "JetBlock"; }
    std::string summary() const override
    {
        return "The gated delta rule with per-token convolution kernels on the values and none on queries and keys.";
    }
    std::string source() const override { return "Gu et al. 2025, arXiv 2508.15884"; }
    std::vector<std::string> huggingFaceNames() const override { return {"jet"}; }

    std::vector<Hyperparameter> hyperparameters(const Architecture& a) const override
    {
        using K = Hyperparameter::Kind;
        return {
            headsParameter(a),
            keyDimParameter(a),
            valueDimParameter(2.0 * double(a.headDim)),
            {"conv_size", "Convolution", "Taps of the dynamic causal convolution.", K::Integer, 1, 64, 4},
            {"dconv_generator_reduction", "Generator reduction", "The kernel generator is this many times narrower than the values.",
             K::Integer, 1, 4096, 8},
            {"norm_eps", "Norm epsilon", "Epsilon of the gated norm on each head's output.", K::Real, 0, 1, 1e-5},
        };
    }

    std::vector<WeightSpec> weights(const Architecture& a, const LayerSpec& l) const override
    {
        const std::int64_t value = l.integer("num_heads") * l.integer("value_dim");
        const std::int64_t generator = value / l.integer("dconv_generator_reduction");
        const std::int64_t taps = l.integer("conv_size");
        std::vector<WeightSpec> out = gatedDeltaRuleWeights(a, l);
        out.push_back({"dynamic_conv1d.kernel_generator.w1.weight", {generator, a.hiddenSize}});
        out.push_back({"dynamic_conv1d.kernel_generator.w2.weight", {value * taps, generator}});
        out.push_back({"dynamic_conv1d.kernel_generator.w2.bias", {value * taps}});
        out.push_back({"g_proj.weight", {value, a.hiddenSize}});
        out.push_back({"o_norm.weight", {l.integer("value_dim")}});
        out.push_back({"o_proj.weight", {a.hiddenSize, value}});
        return out;
    }

    StateSize state(const Architecture&, const LayerSpec& l, std::int64_t, const StateTypes& types) const override
    {
        return recurrentState(l, types, double(l.integer("num_heads") * l.integer("value_dim")));
    }

    double stateFlops(const Architecture&, const LayerSpec& l, std::int64_t) const override
    {
        return gatedDeltaRuleFlops(l) + 2.0 * double(l.integer("num_heads") * l.integer("value_dim") * l.integer("conv_size"));
    }

    /// The released configs give `expand_v` instead of a value dim, and numbers as strings ("1e-5"); what they leave out has
    /// the defaults of the released code's JetBlockConfig.
    LayerSpec readHuggingFace(const Architecture& a, const JsonReader& config) const override
    {
        Json plain = config.json();
        if (config.has("norm_eps") && plain["norm_eps"].is_string()) {
            const std::string text = plain["norm_eps"].get<std::string>();
            char* end = nullptr;
            const double value = std::strtod(text.c_str(), &end);
            if (end == text.c_str() || *end != '\0')
                config.fail("norm_eps", "is \"" + text + "\", which is no number");
            plain["norm_eps"] = value;
        }
        for (const auto& [key, value] : {std::pair{"num_heads", 6}, {"head_dim", 256}, {"conv_size", 4}, {"dconv_generator_reduction", 8}})
            if (!config.has(key))
                plain[key] = value;
        const JsonReader reader(plain, config.source(), config.path());
        if (!config.has("value_dim")) {
            const double exact = double(reader.integer("head_dim", 1, 1024)) * reader.number("expand_v", 1e-3, 4096, 2.0);
            const std::int64_t rounded = std::llround(exact);
            if (std::abs(exact - double(rounded)) > 1e-3)
                config.fail("expand_v", "times head_dim is " + std::to_string(exact) + ", which is no whole number");
            plain["value_dim"] = rounded;
        }
        return BlockDescription::readHuggingFace(a, reader);
    }

    Json writeHuggingFace(const Architecture&, const LayerSpec& l) const override
    {
        const double key = double(l.integer("head_dim")), value = double(l.integer("value_dim"));
        const double heads = double(l.integer("num_heads"));
        // The released code truncates key * expand_v, so the ratio must not round to just below.
        double expand = value / key;
        while (key * expand < value || heads * key * expand < heads * value)
            expand = std::nextafter(expand, HUGE_VAL);
        return {{"mode", "chunk"},
                {"head_dim", l.integer("head_dim")},
                {"expand_v", expand},
                {"num_heads", l.integer("num_heads")},
                {"conv_size", l.integer("conv_size")},
                {"dconv_generator_reduction", l.integer("dconv_generator_reduction")},
                {"dconv_implementation", "triton"},
                {"norm_eps", l.real("norm_eps")}};
    }

    void check(const Architecture&, const LayerSpec& l, const std::string& where) const override
    {
        if (l.integer("num_heads") * l.integer("value_dim") < l.integer("dconv_generator_reduction"))
            throw usageError(where + " (jet): dconv_generator_reduction is larger than the values are wide");
    }
};

} // namespace

const BlockDescription& describe_jet()
{
    static const JetBlock block;
    return block;
}

} // namespace postnas
