// Products of a few tokens in torch's own functions: the reference of the CUDA kernel, what the CPU uses, and many tokens on a GPU.
#include "kernels/linear/composed.h"

#include <ATen/ATen.h>

namespace postnas::ops {
namespace {

using at::Tensor;

Tensor normed(const Tensor& x, const std::optional<Tensor>& norm, double epsilon)
{
    return norm ? at::rms_norm(x, {x.size(-1)}, norm->to(x.scalar_type()), epsilon) : x;
}

} // namespace

Tensor joined(at::TensorList tensors)
{
    std::int64_t rows = 0;
    for (const Tensor& t : tensors) {
        const Tensor& first = tensors.front();
        const bool follows = t.is_contiguous() && t.dim() == first.dim() && t.dim() > 0 && t.scalar_type() == first.scalar_type() && t.is_alias_of(first)
            && t.sizes().slice(1) == first.sizes().slice(1) && t.storage_offset() == first.storage_offset() + rows * first.stride(0);
        if (!follows)
            return {};
        rows += t.size(0);
    }
    if (rows == 0)
        return {};
    std::vector<std::int64_t> sizes = tensors.front().sizes().vec();
    sizes.front() = rows;
    return tensors.front().as_strided(sizes, tensors.front().strides());
}

Tensor unroundedProduct(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias)
{
    const bool rounds = x.scalar_type() == at::kBFloat16 || x.scalar_type() == at::kHalf;
    if (!rounds)
        return at::linear(x, weight, bias);
    if (!x.is_cuda())
        return at::linear(x, weight, bias).to(at::kFloat);
    std::vector<std::int64_t> sizes = x.sizes().vec();
    sizes.back() = weight.size(0);
    const Tensor product = at::mm(x.reshape({-1, x.size(-1)}), weight.t(), at::kFloat).view(sizes);
    return bias ? product + *bias : product;
}

std::vector<Tensor> tokenProductsComposed(const Tensor& x, const std::optional<Tensor>& norm, double epsilon, at::TensorList weights,
                                          const OptionalTensors& biases, std::int64_t silu, std::int64_t unrounded, at::TensorList)
{
    const Tensor in = normed(x, norm, epsilon);
    std::vector<Tensor> bias, out;
    for (const std::optional<Tensor>& b : biases)
        if (b)
            bias.push_back(*b);
    const Tensor weight = joined(weights), all = bias.empty() ? Tensor() : joined(bias);
    // Rows of odd length would make the product slow, and what reads them too.
    const bool together = weights.size() > 1 && unrounded == 0 && weight.defined() && weight.size(0) % 8 == 0
        && (bias.empty() || (all.defined() && bias.size() == weights.size()));
    Tensor product;
    if (together)
        product = at::linear(in, weight, all);
    std::int64_t row = 0;
    for (std::size_t i = 0; i < weights.size(); ++i) {
        const std::int64_t rows = weights[i].size(0);
        const auto alone = [&] { return unrounded >> i & 1 ? unroundedProduct(in, weights[i], biases.get(i)) : at::linear(in, weights[i], biases.get(i)); };
        const Tensor y = together ? product.narrow(-1, row, rows) : alone();
        out.push_back(silu >> i & 1 ? at::silu(y) : y);
        row += rows;
    }
    return out;
}

Tensor gatedProductComposed(const Tensor& x, const std::optional<Tensor>& norm, double epsilon, const Tensor& gate, const Tensor& up, at::TensorList)
{
    const std::vector<Tensor> both = tokenProductsComposed(x, norm, epsilon, {gate, up}, OptionalTensors({std::nullopt, std::nullopt}), 0, 0);
    return at::silu(both[0]) * both[1];
}

void addProductComposed(Tensor& sum, const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias, at::TensorList)
{
    if (bias)
        sum.add_(*bias);
    sum.addmm_(x, weight.t());
}

} // namespace postnas::ops
