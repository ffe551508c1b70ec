// The operators of a decoding step on a device against their references in float64 on the CPU.
#include <cmath>
#include <functional>

#include <torch/torch.h>

#include "core/engine/benchmark/comparison.h"
#include "core/engine/benchmark/operator_checks.h"
#include "kernels/include/decode_operators.h"
#include "kernels/include/linear_operators.h"
#include "kernels/include/sampling_operators.h"

namespace postnas::engine {
namespace {

using torch::Tensor;
using Tensors = std::vector<Tensor>;

using Subject = ReferenceSubject;

std::string text(const char* what, std::int64_t value) { return std::string(what) + " " + std::to_string(value); }

/// q, k, v, raw decay, aLog, dtBias, b, state, norm weight, gate, kernels of v, history of v: the step of a jet layer.
Subject jetStep(std::int64_t batch, std::int64_t heads, std::int64_t key, std::int64_t value)
{
    Subject s;
    s.name = "recurrent_step";
    s.shape = text("batch", batch) + text(", heads", heads) + text(", key", key) + text(", value", value) + ", dynamic convolution, gated norm";
    s.inputs = {normal({batch, heads * key}), normal({batch, heads * key}), normal({batch, heads * value}), normal({batch, heads}), normal({heads}), normal({heads}),
                normal({batch, heads}), normal({batch, heads, key, value}), normal({value}), normal({batch, heads * value}),
                normal({batch, heads * value, 4}), normal({batch, 3, heads * value})};
    s.call = [heads, key](Tensors in) -> Tensors {
        ops::RecurrentStep step;
        step.heads = step.groups = heads;
        step.q = in[0];
        step.k = in[1];
        step.v = in[2];
        step.decay = ops::StepDecay::PerHeadFromRaw;
        step.g = in[3];
        step.aLog = in[4];
        step.dtBias = in[5];
        step.b = in[6];
        step.state = in[7].to(in[7].scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32); // states are not rounded to the type
        step.normWeight = in[8];
        step.gate = in[9];
        step.convolutionV = {in[10], in[11]};
        step.siluKeys = step.siluValues = step.unitLength = true;
        step.scale = 1 / std::sqrt(static_cast<double>(key));
        step.epsilon = 1e-5;
        const Tensor y = ops::recurrentStep(step);
        return {y, step.state, in[11]};
    };
    return s;
}

/// The step of a gla layer: decay per channel from logits, fewer groups than heads, no delta.
Subject glaStep(std::int64_t batch, std::int64_t heads, std::int64_t groups, std::int64_t key, std::int64_t value)
{
    Subject s;
    s.name = "recurrent_step";
    s.shape = text("batch", batch) + text(", heads", heads) + text(", groups", groups) + text(", key", key) + text(", value", value) + ", decay per channel";
    s.inputs = {normal({batch, heads * key}), normal({batch, groups * key}), normal({batch, groups * value}), normal({batch, groups * key}),
                normal({batch, heads, key, value})};
    s.call = [heads, groups](Tensors in) -> Tensors {
        ops::RecurrentStep step;
        step.heads = heads;
        step.groups = groups;
        step.q = in[0];
        step.k = in[1];
        step.v = in[2];
        step.decay = ops::StepDecay::PerChannelFromLogits;
        step.g = in[3];
        step.gateNormalizer = 16;
        step.state = in[4].to(in[4].scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32);
        const Tensor y = ops::recurrentStep(step);
        return {y, step.state};
    };
    return s;
}

Subject attention(std::int64_t heads, std::int64_t groups, std::int64_t capacity, std::int64_t dim, const std::vector<std::int32_t>& lengths)
{
    const auto batch = static_cast<std::int64_t>(lengths.size());
    Subject s;
    s.name = "decode_attention";
    s.shape = text("batch", batch) + text(", heads", heads) + text(", groups", groups) + text(", capacity", capacity) + text(", dim", dim);
    s.inputs = {normal({batch, heads, dim}), normal({batch, groups, capacity, dim}), normal({batch, groups, capacity, dim}), torch::tensor(lengths, torch::kInt32)};
    s.call = [dim](Tensors in) -> Tensors { return {ops::decodeAttention(in[0], in[1], in[2], in[3], 1 / std::sqrt(static_cast<double>(dim)))}; };
    return s;
}

Subject ropeAppend(std::int64_t heads, std::int64_t groups, std::int64_t capacity, std::int64_t dim, const std::vector<std::int32_t>& lengths)
{
    const auto batch = static_cast<std::int64_t>(lengths.size());
    Subject s;
    s.name = "rope_append";
    s.shape = text("batch", batch) + text(", heads", heads) + text(", groups", groups) + text(", capacity", capacity) + text(", dim", dim);
    const Tensor angles = torch::rand({64, dim / 2}, torch::kFloat64) * 6, both = torch::cat({angles, angles}, 1);
    s.inputs = {normal({batch, heads, dim}), normal({batch, groups, dim}), normal({batch, groups, dim}), normal({dim}), normal({dim}), both.cos(), both.sin(),
                torch::tensor(lengths, torch::kInt32), normal({batch, groups, capacity, dim}), normal({batch, groups, capacity, dim})};
    s.call = [](Tensors in) -> Tensors {
        const auto wide = [](const Tensor& t) { return t.scalar_type() == torch::kFloat64 ? t : t.to(torch::kFloat32); };
        const Tensor q = ops::ropeAppend(in[0], in[1], in[2], in[3], in[4], 1e-6, wide(in[5]), wide(in[6]), in[7], in[8], in[9]);
        return {q, in[8], in[9]};
    };
    return s;
}

/// norm, three matrices with a bias and a silu among them, two of equal size for the gated product, and a sum.
void addProducts(std::vector<Subject>& out, std::int64_t tokens, std::int64_t width)
{
    const std::string shape = text("tokens", tokens) + text(", width", width);
    const auto matrix = [width](std::int64_t rows) { return normal({rows, width}) / std::sqrt(static_cast<double>(width)); };
    out.push_back({"token_products", shape + ", rows 200 + 12 + 7", {normal({tokens, width}), normal({width}), matrix(200), matrix(12), matrix(7), normal({12})},
                   [](Tensors in) -> Tensors { return ops::tokenProducts(in[0], {in[1], 1e-6}, {{in[2], {}}, {in[3], in[5], false, true}, {in[4], {}, true}}); }});
    out.push_back({"gated_product", shape + ", rows 300", {normal({tokens, width}), normal({width}), matrix(300), matrix(300)},
                   [](Tensors in) -> Tensors { return {ops::gatedProduct(in[0], {in[1], 1e-6}, in[2], in[3])}; }});
    out.push_back({"add_product", shape + ", rows 300", {normal({tokens, width}), matrix(300), normal({tokens, 300})}, [](Tensors in) -> Tensors {
                       ops::addProduct(in[2], in[0], in[1], std::nullopt);
                       return {in[2]};
                   }});
}

std::vector<Subject> subjects(const std::string& device)
{
    std::vector<Subject> out = {jetStep(3, 2, 96, 256), jetStep(1, 3, 16, 40), glaStep(2, 4, 2, 128, 128), glaStep(5, 2, 2, 24, 33),
                                attention(12, 2, 300, 128, {1, 300, 77, 299}), attention(4, 4, 70, 64, {500, 3}), // a ring whose window has passed
                                ropeAppend(12, 2, 50, 128, {1, 17, 50}), ropeAppend(4, 4, 16, 64, {40, 16})};
    if (device == "cuda") // caches of 64 MiB go another way there
        out.push_back(attention(2, 1, 65600, 128, {65600, 70}));
    for (const std::int64_t width : {1536, 40}) {
        out.push_back({"residual_norm", text("rows", 5) + text(", width", width), {normal({5, width}), normal({5, width}), normal({width})}, [](Tensors in) -> Tensors {
                           const auto [sum, normed] = ops::residualNorm(in[0], in[1], in[2], 1e-6);
                           return {sum, normed};
                       }});
        out.push_back({"swiglu", text("rows", 5) + text(", width", width), {normal({5, width}), normal({5, width})},
                       [](Tensors in) -> Tensors { return {ops::swiGlu(in[0], in[1])}; }});
    }
    for (const auto& [tokens, width] : {std::pair(1, 1536), std::pair(4, 384), std::pair(3, 8960), std::pair(20, 1536), std::pair(2, 40)})
        addProducts(out, tokens, width);
    // Logits far enough apart that rounding decides nothing.
    const Tensor logits = torch::stack({torch::randperm(151936), torch::randperm(151936)}).to(torch::kFloat64) / 4096;
    out.push_back({"sample_next", "batch 2, vocabulary 151936, top-k 20", {logits}, [](Tensors in) -> Tensors {
                       std::vector<ops::SequenceSampling> each(2);
                       each[1].temperature = 0.8f;
                       each[1].topK = 20;
                       each[1].seed = 7;
                       const auto on = in[0].device();
                       const Tensor bytes = torch::from_blob(each.data(), {2, static_cast<std::int64_t>(sizeof each[0])}, torch::kUInt8).clone().to(on);
                       const auto ints = torch::TensorOptions().dtype(torch::kInt32).device(on);
                       ops::SamplingState state {bytes, torch::zeros({1}, ints), 0, std::nullopt, torch::zeros({2}, ints), torch::full({2}, 10, ints),
                                                 torch::zeros({2}, ints.dtype(torch::kUInt8))};
                       // In float32 on both sides: two logits that bfloat16 makes equal are a tie.
                       ops::sampleNext(in[0].to(torch::kFloat32), state);
                       return {state.next.to(torch::kFloat64), state.lengths.to(torch::kFloat64)};
                   }});
    return out;
}

} // namespace

std::vector<OperatorCheck> checkDecodeOperators(const std::string& device, const std::string& only) { return checkAgainstReferences(subjects(device), device, only); }

} // namespace postnas::engine
