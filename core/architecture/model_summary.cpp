// Puts the formulas of architecture.h into a JSON object and into a table.
#include "core/architecture/model_summary.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>

#include "core/architecture/block_description.h"
#include "core/base/text.h"

namespace postnas {
namespace {

/// Byte and operation counts are whole; they are written without a fraction while a double holds them exactly.
Json whole(double value)
{
    if (std::abs(value) < 9e15)
        return static_cast<std::int64_t>(std::llround(value));
    return value;
}

std::string hyperparameterText(const LayerSpec& layer)
{
    std::string out;
    for (const auto& [name, value] : layer.parameters.items())
        out += (out.empty() ? "" : ", ") + name + " " + value.dump();
    return out;
}

std::string pad(const std::string& text, std::size_t width, bool right)
{
    const std::string fill(width > text.size() ? width - text.size() : 0, ' ');
    return right ? fill + text : text + fill;
}

std::string line(const std::string& name, const std::string& value) { return pad(name, 16, false) + value + "\n"; }

std::string flopsText(double flops)
{
    char text[64];
    std::snprintf(text, sizeof text, "%.3f GFLOP", flops / 1e9);
    return text;
}

} // namespace

std::int64_t layerParameterCount(const Architecture& a, int layer)
{
    const LayerSpec& spec = a.layers[static_cast<std::size_t>(layer)];
    std::int64_t count = 3 * a.hiddenSize * a.intermediateSize + 2 * a.hiddenSize;
    for (const WeightSpec& weight : blockNamed(spec.block).weights(a, spec))
        count += elementCount(weight);
    return count;
}

Json modelSummary(const Architecture& a, std::int64_t context, const StateTypes& types)
{
    const StateSize state = stateSize(a, context, types);
    Json blocks = Json::object();
    Json layers = Json::array();
    for (int i = 0; i < a.layerCount(); ++i) {
        const LayerSpec& spec = a.layers[static_cast<std::size_t>(i)];
        blocks[spec.block] = blocks.value(spec.block, 0) + 1;
        layers.push_back({{"index", i},
                          {"block", spec.block},
                          {"parameters", spec.parameters},
                          {"parameter_count", layerParameterCount(a, i)},
                          {"state_bytes", whole(layerStateSize(a, i, context, types).total())}});
    }
    return {
        {"model_type", a.modelType},
        {"parameters", parameterCount(a)},
        {"context", context},
        {"state_bytes", whole(state.total())},
        {"state",
         {{"cache_bytes", whole(state.cacheBytes)},
          {"recurrent_bytes", whole(state.recurrentBytes)},
          {"convolution_bytes", whole(state.convolutionBytes)},
          {"cache_element_bytes", types.cacheElementBytes},
          {"recurrent_element_bytes", types.recurrentElementBytes}}},
        {"decode_flops", whole(decodeFlops(a, context))},
        {"dtype", a.dtype},
        {"vocab_size", a.vocabularySize},
        {"hidden_size", a.hiddenSize},
        {"intermediate_size", a.intermediateSize},
        {"num_hidden_layers", a.layerCount()},
        {"num_attention_heads", a.attentionHeads},
        {"num_key_value_heads", a.keyValueHeads},
        {"head_dim", a.headDim},
        {"max_position_embeddings", a.maxPositions},
        {"rope_theta", a.ropeTheta},
        {"tie_word_embeddings", a.tieWordEmbeddings},
        {"blocks", blocks},
        {"layers", layers},
    };
}

std::string modelSummaryText(const Architecture& a, std::int64_t context, const StateTypes& types)
{
    const StateSize state = stateSize(a, context, types);
    std::map<std::string, int> counts;
    for (const LayerSpec& layer : a.layers)
        ++counts[layer.block];
    std::string blocks;
    for (const auto& [block, count] : counts)
        blocks += (blocks.empty() ? "" : ", ") + std::to_string(count) + " " + block;

    std::string out;
    out += line("model type", a.modelType + ", " + a.dtype);
    out += line("parameters", groupThousands(parameterCount(a)));
    out += line("layers", std::to_string(a.layerCount()) + ": " + blocks);
    out += line("sizes", "hidden " + groupThousands(a.hiddenSize) + ", MLP " + groupThousands(a.intermediateSize) + ", vocabulary "
                    + groupThousands(a.vocabularySize) + (a.tieWordEmbeddings ? " (tied)" : " (untied)"));
    out += line("attention", std::to_string(a.attentionHeads) + " heads, " + std::to_string(a.keyValueHeads) + " key-value heads of "
                    + std::to_string(a.headDim) + ", up to " + groupThousands(a.maxPositions) + " positions");
    out += line("state", formatBytes(state.total()) + " per sequence of " + groupThousands(context) + " tokens: cache "
                    + formatBytes(state.cacheBytes) + ", recurrent " + formatBytes(state.recurrentBytes));
    if (state.convolutionBytes > 0)
        out += line("", "(short convolutions keep another " + formatBytes(state.convolutionBytes) + ")");
    out += line("decoding", flopsText(decodeFlops(a, context)) + " per token at that length");

    std::size_t width = 5;
    for (const LayerSpec& layer : a.layers)
        width = std::max(width, layer.block.size());
    out += "\n" + pad("layer", 6, true) + "  " + pad("block", width, false) + pad("parameters", 14, true) + pad("state", 14, true)
        + "  hyperparameters\n";
    for (int i = 0; i < a.layerCount(); ++i) {
        const LayerSpec& layer = a.layers[static_cast<std::size_t>(i)];
        std::string row = pad(std::to_string(i), 6, true) + "  " + pad(layer.block, width, false)
            + pad(groupThousands(layerParameterCount(a, i)), 14, true)
            + pad(formatBytes(layerStateSize(a, i, context, types).total()), 14, true) + "  " + hyperparameterText(layer);
        row.erase(row.find_last_not_of(' ') + 1);
        out += row + "\n";
    }
    out += "Layers are numbered from 0.\n";
    return out;
}

} // namespace postnas
