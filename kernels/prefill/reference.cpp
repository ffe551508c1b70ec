// The operators of whole sequences in torch's own functions: the reference of the CUDA kernels, and what the CPU uses.
#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include "kernels/prefill/reference.h"

namespace postnas::ops {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

Tensor wide(const Tensor& t) { return t.to(at::promoteTypes(t.scalar_type(), at::kFloat)); }

/// As a handle and not by name: this file is part of the CUDA library too, which has the operator from the program that opened it.
Tensor causalConvolution(const Tensor& x, const Tensor& kernels, const OptionalTensor& history)
{
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("postnas::causal_convolution", "")
                               .typed<Tensor(const Tensor&, const Tensor&, const OptionalTensor&)>();
    return op.call(x, kernels, history);
}

/// x [batch, length, heads, dim], the halves of each head rotated.
Tensor rotated(const Tensor& x, const OptionalTensor& norm, double epsilon, const Tensor& cosine, const Tensor& sine)
{
    const Tensor y = norm ? at::rms_norm(x, {x.size(-1)}, norm->to(x.scalar_type()), epsilon) : x;
    const auto halves = y.chunk(2, -1);
    return y * cosine.to(y.scalar_type()).unsqueeze(1) + at::cat({-halves[1], halves[0]}, -1) * sine.to(y.scalar_type()).unsqueeze(1);
}

} // namespace

Tensor gatedNormReference(const Tensor& o, const Tensor& weight, const OptionalTensor& gate, double epsilon)
{
    const Tensor x = wide(o), y = at::rms_norm(x, {x.size(-1)}, weight.to(x.scalar_type()), epsilon);
    return (gate ? y * at::silu(wide(*gate)) : y).to(o.scalar_type());
}

Tensor unitLengthReference(const Tensor& x, bool silu)
{
    const Tensor y = wide(silu ? at::silu(x) : x);
    return (y * (y.square().sum(-1, true) + 1e-6).rsqrt()).to(x.scalar_type());
}

Tensor siluConvolutionReference(const Tensor& x, const Tensor& kernels, const OptionalTensor& history)
{
    return at::silu(causalConvolution(x, kernels, history));
}

Tensor generatedConvolutionReference(const Tensor& x, const Tensor& hidden, const Tensor& weight, const OptionalTensor& bias,
                                     const OptionalTensor& history)
{
    return siluConvolutionReference(x, at::linear(hidden, weight, bias).unflatten(-1, {x.size(2), weight.size(0) / x.size(2)}), history);
}

std::tuple<Tensor, Tensor> rotateReference(const Tensor& q, const Tensor& k, const OptionalTensor& queryNorm, const OptionalTensor& keyNorm,
                                           double epsilon, const Tensor& cosine, const Tensor& sine)
{
    return {rotated(q, queryNorm, epsilon, cosine, sine), rotated(k, keyNorm, epsilon, cosine, sine)};
}

Tensor rotateIntoReference(const Tensor& q, const Tensor& k, const Tensor& v, const OptionalTensor& queryNorm, const OptionalTensor& keyNorm,
                           double epsilon, const Tensor& cosine, const Tensor& sine, std::int64_t first, Tensor& keys, Tensor& values)
{
    const auto [query, key] = rotateReference(q, k, queryNorm, keyNorm, epsilon, cosine, sine);
    keys.narrow(2, first, key.size(1)).copy_(key.transpose(1, 2));
    values.narrow(2, first, key.size(1)).copy_(v.transpose(1, 2));
    return query;
}

Tensor mergeAttentionReference(at::TensorList parts, at::TensorList logSums)
{
    const Tensor total = at::stack(logSums).logsumexp(0);
    Tensor sum;
    for (std::size_t i = 0; i < parts.size(); ++i) {
        // Of a part without a key nothing counts, whatever stands there.
        const Tensor weight = (logSums[i] - total).exp().nan_to_num(0, 0, 0).unsqueeze(-1);
        const Tensor share = (weight * parts[i]).masked_fill(weight.eq(0), 0);
        sum = sum.defined() ? sum + share : share;
    }
    return sum.to(parts[0].scalar_type()).transpose(1, 2).contiguous();
}

std::tuple<Tensor, Tensor> deltaGatesReference(const Tensor& ab, const Tensor& aLog, const Tensor& dtBias)
{
    const auto halves = ab.chunk(2, -1);
    const Tensor a = wide(halves[0]), b = wide(halves[1]);
    return {-aLog.to(a.scalar_type()).exp() * at::softplus(a + dtBias.to(a.scalar_type())), b.sigmoid()};
}

} // namespace postnas::ops
