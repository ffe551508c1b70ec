// The engine's blocks against stored inputs and outputs of reference layers.
#include <cmath>
#include <limits>

#include <torch/torch.h>

#include "core/architecture/block_description.h"
#include "core/base/error.h"
#include "core/base/json.h"
#include "core/engine/benchmark/operator_checks.h"
#include "core/engine/blocks/block.h"
#include "core/engine/model/tensor_io.h"
#include "core/huggingface/safetensors.h"

namespace postnas::engine {
namespace {

using torch::Tensor;

/// The layer that a reference class with these arguments is; nothing when this build has no such block. Value and key widths
/// are fractions of something else there.
std::optional<LayerSpec> layerOf(const std::string& className, const JsonReader& arguments, const Architecture& architecture)
{
    const std::int64_t hidden = architecture.hiddenSize;
    const auto widened = [&](std::int64_t base, const std::string& key, double fallback) {
        const double width = static_cast<double>(base) * arguments.number(key, 1e-6, 1e6, fallback);
        return std::int64_t {std::llround(width)};
    };
    const auto make = [&](const std::string& block) -> std::optional<LayerSpec> {
        const BlockDescription* description = findBlock(block);
        return description ? std::optional(description->defaultLayer(architecture)) : std::nullopt;
    };
    std::optional<LayerSpec> layer;
    if (className == "fla.layers.GatedLinearAttention" && (layer = make("gla"))) {
        const std::int64_t heads = arguments.integer("num_heads", 1, hidden, 4);
        layer->parameters["num_heads"] = heads;
        layer->parameters["num_kv_heads"] = arguments.integer("num_kv_heads", 1, heads, heads);
        layer->parameters["head_dim"] = widened(hidden, "expand_k", 0.5) / heads;
        layer->parameters["value_dim"] = widened(hidden, "expand_v", 1.0) / heads;
    } else if (className == "fla.layers.GatedDeltaNet" && (layer = make("gated_delta_net"))) {
        const std::int64_t dim = arguments.integer("head_dim", 1, 1024, 256);
        layer->parameters["num_heads"] = arguments.integer("num_heads", 1, 1024, 6);
        layer->parameters["head_dim"] = dim;
        layer->parameters["value_dim"] = widened(dim, "expand_v", 2.0);
    }
    return layer;
}

/// Feeds the input in pieces of the given length through a decoding state.
Tensor inPieces(const Block& block, const Tensor& input, std::int64_t piece)
{
    const torch::NoGradGuard guard;
    const auto state = block.makeState(input.size(0), input.size(1), input.options());
    std::vector<Tensor> outputs;
    for (std::int64_t at = 0; at < input.size(1); at += piece) {
        ForwardContext context;
        context.position = at;
        outputs.push_back(block.forward(input.narrow(1, at, std::min(piece, input.size(1) - at)), context, state.get()));
    }
    return torch::cat(outputs, 1);
}

double largestDifference(const Tensor& actual, const Tensor& expected)
{
    const double difference = (actual.to(torch::kCPU) - expected).abs().max().item<double>();
    return std::isnan(difference) ? std::numeric_limits<double>::infinity() : difference;
}

BlockCheck checkCase(const std::string& name, const JsonReader& entry, const SafetensorsFile& file, const torch::Device& device)
{
    BlockCheck out;
    out.name = name;
    const JsonReader arguments = entry.object("kwargs");
    Architecture architecture;
    architecture.hiddenSize = arguments.integer("hidden_size", 1, 1 << 16);
    architecture.attentionHeads = architecture.keyValueHeads = 1;
    architecture.headDim = architecture.hiddenSize;
    const std::optional<LayerSpec> layer = layerOf(entry.string("class"), arguments, architecture);
    if (!layer)
        return out;
    out.known = true;
    out.block = layer->block;
    architecture.layers = {*layer};
    blockNamed(layer->block).check(architecture, *layer, entry.source() + ": " + name);

    const auto block = makeBlock(architecture, 0);
    for (const WeightSpec& weight : blockNamed(layer->block).weights(architecture, *layer))
        block->setWeight(weight.name, copyFrom(file.at(name + ".param." + weight.name)).to(device, torch::kFloat32));
    const Tensor input = copyFrom(file.at(name + ".input")).to(device, torch::kFloat32);
    const Tensor expected = copyFrom(file.at(name + ".output")).to(torch::kFloat32);
    if (input.dim() != 3 || input.size(2) != architecture.hiddenSize || input.numel() == 0 || input.sizes() != expected.sizes())
        throw inputError(file.source() + ": " + name + ".input and .output must both be [batch, length, "
                         + std::to_string(architecture.hiddenSize) + "]");
    {
        const torch::NoGradGuard guard;
        out.onePass = largestDifference(block->forward(input, ForwardContext {}, nullptr), expected);
    }
    out.chunks = largestDifference(inPieces(*block, input, 17), expected);
    out.tokenByToken = largestDifference(inPieces(*block, input, 1), expected);
    out.passed = std::max({out.onePass, out.chunks, out.tokenByToken}) <= out.tolerance;
    return out;
}

} // namespace

std::vector<BlockCheck> checkBlockCases(const std::filesystem::path& folder, const std::string& device)
{
    const std::filesystem::path description = folder / "blocks.json";
    const Json cases = readJsonFile(description);
    if (!cases.is_object() || cases.empty())
        throw inputError(description.string() + ": must be an object with one entry a block");
    const SafetensorsFile file = SafetensorsFile::open(folder / "blocks.safetensors");
    const JsonReader reader(cases, description.string());
    std::vector<BlockCheck> out;
    for (const auto& [name, entry] : cases.items())
        out.push_back(checkCase(name, reader.object(name), file, torch::Device(device)));
    return out;
}

} // namespace postnas::engine
