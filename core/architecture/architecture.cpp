// Sizes and formulas of a whole model, summed over its blocks.
#include "core/architecture/architecture.h"

#include <cmath>

#include "core/architecture/block_description.h"
#include "core/base/error.h"

namespace postnas {
namespace {

const Json& parameter(const LayerSpec& layer, const std::string& name)
{
    const auto it = layer.parameters.find(name);
    if (it == layer.parameters.end())
        throw internalError("layer of block " + layer.block + " has no hyperparameter \"" + name + "\"");
    return *it;
}

/// Elements of the weight matrices that a decoded token is multiplied with in one layer.
double layerWeightElements(const Architecture& a, int layer)
{
    double sum = 3.0 * static_cast<double>(a.hiddenSize) * static_cast<double>(a.intermediateSize);
    const LayerSpec& spec = a.layers[static_cast<std::size_t>(layer)];
    for (const WeightSpec& weight : blockNamed(spec.block).weights(a, spec))
        sum += static_cast<double>(elementCount(weight));
    return sum;
}

/// "16", not "16.0"; "1e-05" where there is a fraction.
std::string numberText(double value)
{
    return value == std::floor(value) && std::abs(value) < 1e15 ? std::to_string(static_cast<std::int64_t>(value)) : Json(value).dump();
}

double headElements(const Architecture& a) { return static_cast<double>(a.vocabularySize) * static_cast<double>(a.hiddenSize); }

} // namespace

std::int64_t LayerSpec::integer(const std::string& name) const { return parameter(*this, name).get<std::int64_t>(); }
double LayerSpec::real(const std::string& name) const { return parameter(*this, name).get<double>(); }
bool LayerSpec::flag(const std::string& name) const { return parameter(*this, name).get<bool>(); }

StateSize& StateSize::operator+=(const StateSize& other)
{
    cacheBytes += other.cacheBytes;
    recurrentBytes += other.recurrentBytes;
    convolutionBytes += other.convolutionBytes;
    return *this;
}

std::vector<WeightSpec> modelWeights(const Architecture& a)
{
    std::vector<WeightSpec> out;
    out.push_back({"model.embed_tokens.weight", {a.vocabularySize, a.hiddenSize}});
    for (int i = 0; i < a.layerCount(); ++i) {
        const std::string prefix = "model.layers." + std::to_string(i) + ".";
        const LayerSpec& layer = a.layers[static_cast<std::size_t>(i)];
        out.push_back({prefix + "input_layernorm.weight", {a.hiddenSize}});
        for (WeightSpec weight : blockNamed(layer.block).weights(a, layer)) {
            weight.name = prefix + "self_attn." + weight.name;
            out.push_back(std::move(weight));
        }
        out.push_back({prefix + "post_attention_layernorm.weight", {a.hiddenSize}});
        out.push_back({prefix + "mlp.gate_proj.weight", {a.intermediateSize, a.hiddenSize}});
        out.push_back({prefix + "mlp.up_proj.weight", {a.intermediateSize, a.hiddenSize}});
        out.push_back({prefix + "mlp.down_proj.weight", {a.hiddenSize, a.intermediateSize}});
    }
    out.push_back({"model.norm.weight", {a.hiddenSize}});
    if (!a.tieWordEmbeddings)
        out.push_back({"lm_head.weight", {a.vocabularySize, a.hiddenSize}});
    return out;
}

std::int64_t elementCount(const WeightSpec& weight)
{
    std::int64_t count = 1;
    for (const std::int64_t extent : weight.shape)
        if (__builtin_mul_overflow(count, extent, &count))
            throw usageError("weight " + weight.name + " would have more elements than a 64-bit number can count");
    return count;
}

std::int64_t parameterCount(const Architecture& a)
{
    std::int64_t count = 0;
    for (const WeightSpec& weight : modelWeights(a))
        if (__builtin_add_overflow(count, elementCount(weight), &count))
            throw usageError("the model would have more parameters than a 64-bit number can count");
    return count;
}

StateSize layerStateSize(const Architecture& a, int layer, std::int64_t context, const StateTypes& types)
{
    const LayerSpec& spec = a.layers[static_cast<std::size_t>(layer)];
    return blockNamed(spec.block).state(a, spec, context, types);
}

StateSize stateSize(const Architecture& a, std::int64_t context, const StateTypes& types)
{
    StateSize sum;
    for (int i = 0; i < a.layerCount(); ++i)
        sum += layerStateSize(a, i, context, types);
    return sum;
}

double decodeFlops(const Architecture& a, std::int64_t context)
{
    double sum = 2 * headElements(a);
    for (int i = 0; i < a.layerCount(); ++i) {
        const LayerSpec& spec = a.layers[static_cast<std::size_t>(i)];
        sum += 2 * layerWeightElements(a, i) + blockNamed(spec.block).stateFlops(a, spec, context);
    }
    return sum;
}

double prefillFlops(const Architecture& a, std::int64_t length)
{
    // The operations on the state are linear in the context, or linear up to a window and constant from there, so that the middle of
    // short pieces stands for the piece.
    constexpr int kPieces = 256;
    double perToken = 0;
    for (int i = 0; i < a.layerCount(); ++i) {
        const LayerSpec& spec = a.layers[static_cast<std::size_t>(i)];
        perToken += 2 * layerWeightElements(a, i);
        for (int piece = 0; piece < kPieces; ++piece)
            perToken += blockNamed(spec.block).stateFlops(a, spec, length * (2 * piece + 1) / (2 * kPieces) + 1) / kPieces;
    }
    return static_cast<double>(length) * perToken + 2 * headElements(a);
}

double decodeBytes(const Architecture& a, std::int64_t context, std::int64_t batch, int weightElementBytes, const StateTypes& types)
{
    double weights = headElements(a);
    for (int i = 0; i < a.layerCount(); ++i)
        weights += layerWeightElements(a, i);
    const StateSize state = stateSize(a, context, types);
    return weights * weightElementBytes
        + static_cast<double>(batch) * (state.cacheBytes + 2 * state.recurrentBytes + 2 * state.convolutionBytes);
}

void validate(const Architecture& a, const std::string& source)
{
    const auto require = [&](bool ok, const std::string& problem) {
        if (!ok)
            throw usageError(source + ": " + problem);
    };
    require(a.vocabularySize > 0 && a.hiddenSize > 0 && a.intermediateSize > 0, "sizes must be positive");
    require(a.attentionHeads > 0 && a.keyValueHeads > 0 && a.headDim > 0, "head counts and head_dim must be positive");
    require(a.attentionHeads % a.keyValueHeads == 0,
            "num_attention_heads (" + std::to_string(a.attentionHeads) + ") must be a multiple of num_key_value_heads ("
                + std::to_string(a.keyValueHeads) + ")");
    require(a.headDim % 2 == 0, "head_dim must be even for rotary embeddings");
    require(!a.layers.empty(), "the model has no layers");
    for (int i = 0; i < a.layerCount(); ++i) {
        const LayerSpec& layer = a.layers[static_cast<std::size_t>(i)];
        const std::string where = source + ": layer " + std::to_string(i);
        const BlockDescription* block = findBlock(layer.block);
        require(block != nullptr, "layer " + std::to_string(i) + " has the unknown block \"" + layer.block + "\"");
        for (const Hyperparameter& p : block->hyperparameters(a)) {
            require(layer.parameters.contains(p.name), "layer " + std::to_string(i) + " lacks \"" + p.name + "\"");
            const Json& v = layer.parameters[p.name];
            const bool rightKind = p.kind == Hyperparameter::Kind::Flag ? v.is_boolean()
                : p.kind == Hyperparameter::Kind::Integer               ? v.is_number_integer()
                                                                        : v.is_number();
            const std::string what = "layer " + std::to_string(i) + " (" + layer.block + "): " + p.name + " is " + v.dump() + "; it must be ";
            if (p.kind == Hyperparameter::Kind::Flag) {
                require(rightKind, what + "true or false");
                continue;
            }
            require(rightKind && v.get<double>() >= p.minimum && v.get<double>() <= p.maximum,
                    what + (p.kind == Hyperparameter::Kind::Integer ? "an integer" : "a number") + " between " + numberText(p.minimum)
                        + " and " + numberText(p.maximum));
        }
        block->check(a, layer, where);
    }
    parameterCount(a);
}

} // namespace postnas
