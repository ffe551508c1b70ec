// Reads rotary settings with the precedence of transformers: values in the sub-object win over those at the top level.
#include "core/huggingface/model_config_rope.h"

#include "core/base/error.h"

namespace postnas {
namespace {

using Kind = RopeScaling::Kind;
constexpr double kMaxTheta = 1e15;
constexpr std::int64_t kMaxPositions = std::int64_t{1} << 40;

const char* kindName(Kind kind)
{
    switch (kind) {
    case Kind::Linear: return "linear";
    case Kind::Dynamic: return "dynamic";
    case Kind::Yarn: return "yarn";
    case Kind::Llama3: return "llama3";
    case Kind::Default: break;
    }
    return "default";
}

Kind readKind(const JsonReader& rope)
{
    const std::string key = rope.has("rope_type") ? "rope_type" : "type";
    const std::string name = rope.string(key, "default");
    if (rope.has("rope_type") && rope.has("type") && rope.string("type") != name)
        rope.fail("type", "is \"" + rope.string("type") + "\", but rope_type is \"" + name + "\"");
    for (const Kind kind : {Kind::Default, Kind::Linear, Kind::Dynamic, Kind::Yarn, Kind::Llama3})
        if (name == kindName(kind))
            return kind;
    rope.fail(key, "is \"" + name + "\", which is not supported", "Supported: default, linear, dynamic, yarn, llama3.");
}

std::optional<double> optionalNumber(const JsonReader& rope, const std::string& key, double min, double max)
{
    if (!rope.has(key))
        return std::nullopt;
    return rope.number(key, min, max);
}

void readYarn(const JsonReader& rope, RopeScaling& out)
{
    out.attentionFactor = optionalNumber(rope, "attention_factor", 0, 1e6);
    out.betaFast = rope.number("beta_fast", 1e-6, 1e9, out.betaFast);
    out.betaSlow = rope.number("beta_slow", 1e-6, 1e9, out.betaSlow);
    if (out.betaFast < out.betaSlow)
        rope.fail("beta_fast", "must not be smaller than beta_slow");
    out.mscale = optionalNumber(rope, "mscale", 0, 1e6);
    out.mscaleAllDim = optionalNumber(rope, "mscale_all_dim", 0, 1e6);
    out.truncate = rope.boolean("truncate", true);
}

void readLlama3(const JsonReader& rope, RopeScaling& out)
{
    out.lowFrequencyFactor = rope.number("low_freq_factor", 1e-6, 1e9);
    out.highFrequencyFactor = rope.number("high_freq_factor", 1e-6, 1e9);
    if (out.highFrequencyFactor <= out.lowFrequencyFactor)
        rope.fail("high_freq_factor", "must be larger than low_freq_factor");
}

} // namespace

void readRope(const JsonReader& config, Architecture& a)
{
    a.ropeTheta = config.number("rope_theta", 1.0, kMaxTheta, 10000.0);
    a.ropeScaling = {};
    if (config.has("partial_rotary_factor") && config.number("partial_rotary_factor", 0, 1) != 1.0)
        config.fail("partial_rotary_factor", "is not supported: all of a head must be rotated");
    // transformers 5 writes rope_parameters, and still lets a rope_scaling override it.
    const bool scaling = config.has("rope_scaling") && !config.value("rope_scaling").empty();
    if (!scaling && !config.has("rope_parameters"))
        return;
    const JsonReader rope = config.object(scaling ? "rope_scaling" : "rope_parameters");
    for (const char* nested : {"full_attention", "sliding_attention"})
        if (rope.has(nested))
            rope.fail(nested, "gives rotary settings of one layer type, which is not supported");
    if (rope.has("partial_rotary_factor") && rope.number("partial_rotary_factor", 0, 1) != 1.0)
        rope.fail("partial_rotary_factor", "is not supported: all of a head must be rotated");
    if (rope.has("mrope_section"))
        rope.fail("mrope_section", "belongs to multimodal rotary embeddings, which are not supported");
    a.ropeTheta = rope.number("rope_theta", 1.0, kMaxTheta, a.ropeTheta);

    RopeScaling& out = a.ropeScaling;
    out.kind = readKind(rope);
    if (out.kind == Kind::Default)
        return;
    out.factor = rope.number("factor", 1.0, 1e6);
    // Dynamic scaling always starts from max_position_embeddings in transformers, whatever the object says.
    if (out.kind == Kind::Yarn || out.kind == Kind::Llama3)
        out.originalMaxPositions = rope.integer("original_max_position_embeddings", 1, kMaxPositions, 0);
    if (out.kind == Kind::Yarn)
        readYarn(rope, out);
    else if (out.kind == Kind::Llama3)
        readLlama3(rope, out);
    if (out.kind == Kind::Yarn && a.ropeTheta <= 1.0)
        config.fail("rope_theta", "must be larger than 1 for yarn");
}

void writeRope(const Architecture& a, Json& config)
{
    config["rope_theta"] = a.ropeTheta;
    const RopeScaling& rope = a.ropeScaling;
    if (rope.kind == Kind::Default) {
        config["rope_scaling"] = nullptr;
        return;
    }
    Json out = {{"rope_type", kindName(rope.kind)}, {"type", kindName(rope.kind)}, {"factor", rope.factor}};
    if (rope.originalMaxPositions > 0)
        out["original_max_position_embeddings"] = rope.originalMaxPositions;
    else if (rope.kind == Kind::Llama3)
        out["original_max_position_embeddings"] = a.maxPositions;
    if (rope.kind == Kind::Yarn) {
        if (rope.attentionFactor)
            out["attention_factor"] = *rope.attentionFactor;
        out["beta_fast"] = rope.betaFast;
        out["beta_slow"] = rope.betaSlow;
        if (rope.mscale)
            out["mscale"] = *rope.mscale;
        if (rope.mscaleAllDim)
            out["mscale_all_dim"] = *rope.mscaleAllDim;
        if (!rope.truncate)
            out["truncate"] = false;
    }
    if (rope.kind == Kind::Llama3) {
        out["low_freq_factor"] = rope.lowFrequencyFactor;
        out["high_freq_factor"] = rope.highFrequencyFactor;
    }
    config["rope_scaling"] = out;
}

} // namespace postnas
