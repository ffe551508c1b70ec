// The operators of whole sequences without gradient on a device against their references in float64 on the CPU, and attention after a prefix.
#include "core/engine/benchmark/operator_checks.h"

#include <cmath>
#include <functional>

#include <torch/torch.h>

#include "core/engine/benchmark/comparison.h"
#include "core/engine/model/functional.h"
#include "kernels/include/prefill_operators.h"

namespace postnas::engine {
namespace {

using torch::Tensor;
using Tensors = std::vector<Tensor>;

using Subject = ReferenceSubject;

/// Tables, sums and states stay float32 where the numbers are bfloat16.
Tensor wide(const Tensor& t) { return t.to(torch::promoteTypes(t.scalar_type(), torch::kFloat32)); }

std::string text(at::IntArrayRef shape)
{
    std::string out;
    for (const std::int64_t size : shape)
        out += (out.empty() ? "" : " x ") + std::to_string(size);
    return out;
}

void addHeads(std::vector<Subject>& out, std::int64_t length, std::int64_t heads, std::int64_t dim)
{
    const std::vector<std::int64_t> shape = {2, length, heads, dim};
    out.push_back({"gated_norm", text(shape), {normal(shape), normal({dim}), normal(shape)}, [](Tensors in) -> Tensors { return {ops::gatedNorm(in[0], in[1], in[2], 1e-5)}; }});
    out.push_back({"unit_length", text(shape), {normal(shape)}, [](Tensors in) -> Tensors { return {ops::unitLength(in[0], true), ops::unitLength(in[0], false)}; }});
}

void addConvolutions(std::vector<Subject>& out, std::int64_t length, std::int64_t channels, std::int64_t rank)
{
    const std::string shape = text({2, length, channels}) + ", 4 taps";
    out.push_back({"silu_convolution", shape, {normal({2, length, channels}), normal({channels, 4}), normal({2, 3, channels})},
                   [](Tensors in) -> Tensors { return {ops::siluConvolution(in[0], in[1], in[2])}; }});
    out.push_back({"generated_convolution", shape + ", rank " + std::to_string(rank),
                   {normal({2, length, channels}), normal({2, length, rank}), normal({channels * 4, rank}) / std::sqrt(static_cast<double>(rank)),
                    normal({channels * 4}), normal({2, 3, channels})},
                   [](Tensors in) -> Tensors { return {ops::generatedConvolution(in[0], in[1], in[2], in[3], in[4])}; }});
}

void addAttention(std::vector<Subject>& out, std::int64_t length, std::int64_t heads, std::int64_t groups, std::int64_t dim)
{
    const std::string shape = text({2, length, heads, dim}) + ", groups " + std::to_string(groups);
    const Tensor angles = torch::rand({length, dim / 2}, torch::kFloat64) * 6, both = torch::cat({angles, angles}, 1);
    out.push_back({"rotate_into", shape,
                   {normal({2, length, heads, dim}), normal({2, length, groups, dim}), normal({2, length, groups, dim}), normal({dim}), normal({dim}), both.cos(),
                    both.sin(), normal({2, groups, length + 9, dim}), normal({2, groups, length + 9, dim})},
                   [](Tensors in) -> Tensors {
                       const auto [query, key] = ops::rotate(in[0], in[1], std::nullopt, in[4], 1e-6, wide(in[5]), wide(in[6]));
                       const Tensor alone = ops::rotateInto(in[0], in[1], in[2], in[3], in[4], 1e-6, wide(in[5]), wide(in[6]), 5, in[7], in[8]);
                       return {query, key, alone, in[7], in[8]};
                   }});
    // As parts of one product, and one token: a row of it apart from those of the other sequences.
    out.push_back({"rotate_into", text({2, 1, heads, dim}) + ", groups " + std::to_string(groups) + ", joined",
                   {normal({2, 1, (heads + 2 * groups) * dim}), both.slice(0, 0, 1).cos(), both.slice(0, 0, 1).sin(), normal({2, groups, 9, dim}),
                    normal({2, groups, 9, dim})},
                   [heads, groups, dim](Tensors in) -> Tensors {
                       const auto part = [&](std::int64_t first, std::int64_t count) { return in[0].narrow(-1, first * dim, count * dim).unflatten(-1, {-1, dim}); };
                       const Tensor query = ops::rotateInto(part(0, heads), part(heads, groups), part(heads + groups, groups), std::nullopt, std::nullopt, 1e-6,
                                                            wide(in[1]), wide(in[2]), 5, in[3], in[4]);
                       return {query, in[3], in[4]};
                   }});
    const std::vector<std::int64_t> part = {2, heads, length, dim};
    out.push_back({"merge_attention", shape, {normal(part), normal(part), normal(part), normal({2, heads, length}), normal({2, heads, length}), normal({2, heads, length})},
                   [](Tensors in) -> Tensors { return {ops::mergeAttention({in[0], in[1], in[2]}, {wide(in[3]), wide(in[4]), wide(in[5])})}; }});
    const std::int64_t keys = 3 * length;
    const Tensors states = {normal({2, heads, length, dim}), normal({2, groups, keys, dim}), normal({2, groups, keys, dim})};
    out.push_back({"continued_attention", shape + ", keys " + std::to_string(keys), states,
                   [](Tensors in) -> Tensors { return {continuedAttention(in[0], in[1], in[2])}; }});
}

std::vector<Subject> subjects()
{
    std::vector<Subject> out;
    for (const auto& [length, heads, dim] : {std::tuple(33, 12, 96), std::tuple(5, 3, 256), std::tuple(1, 2, 40), std::tuple(3, 2, 576)})
        addHeads(out, length, heads, dim);
    for (const auto& [length, channels, rank] : {std::tuple(131, 96, 384), std::tuple(1, 40, 64), std::tuple(70, 24, 640)})
        addConvolutions(out, length, channels, rank);
    for (const auto& [length, heads, groups, dim] : {std::tuple(77, 12, 2, 128), std::tuple(9, 4, 4, 64)})
        addAttention(out, length, heads, groups, dim);
    out.push_back({"delta_gates", text({2, 65, 12}), {normal({2, 65, 24}), normal({12}), normal({12})}, [](Tensors in) -> Tensors {
                       const auto [g, beta] = ops::deltaGates(in[0], in[1], in[2]);
                       return {g, beta};
                   }});
    return out;
}

} // namespace

std::vector<OperatorCheck> checkPrefillOperators(const std::string& device, const std::string& only) { return checkAgainstReferences(subjects(), device, only); }

} // namespace postnas::engine
