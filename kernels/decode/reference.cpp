// The operators of a decoding step in torch's own functions: the reference of the CUDA kernels, and what the CPU uses.
#include <ATen/ATen.h>

#include "kernels/decode/reference.h"

namespace postnas::ops {
namespace {

using at::Tensor;

at::ScalarType wideType(const Tensor& t) { return t.scalar_type() == at::kDouble ? at::kDouble : at::kFloat; }
Tensor wide(const Tensor& t) { return t.to(wideType(t)); }

/// Convolution with its history, then silu, each rounded to the projection's type.
Tensor convolved(const Tensor& x, const StepConvolution& convolution, bool silu)
{
    Tensor y = x;
    if (convolution.kernels) {
        const Tensor& history = *convolution.history;
        const Tensor window = at::cat({history, x.unsqueeze(1).to(history.scalar_type())}, 1); // [batch, taps, channels]
        y = (wide(window) * wide(convolution.kernels->transpose(-1, -2))).sum(1).to(x.scalar_type());
        history.copy_(window.narrow(1, 1, history.size(1)));
    }
    return silu ? at::silu(y) : y;
}

Tensor unit(const Tensor& x) { return x * (x.square().sum(-1, true) + 1e-6).rsqrt(); }

/// exp(g), [batch, heads, key or 1], or nothing.
std::optional<Tensor> decayOf(const RecurrentStep& s, std::int64_t keyDim)
{
    if (s.decay == StepDecay::None)
        return std::nullopt;
    const Tensor raw = wide(*s.g);
    switch (s.decay) {
    case StepDecay::PerHead: return raw.exp().unsqueeze(-1);
    case StepDecay::PerHeadFromRaw: return (-wide(*s.aLog).exp() * at::softplus(raw + wide(*s.dtBias))).exp().unsqueeze(-1);
    default: break;
    }
    const Tensor g = s.decay == StepDecay::PerChannel ? raw : at::log_sigmoid(raw) / s.gateNormalizer;
    return g.unflatten(-1, {s.groups, keyDim}).exp().repeat_interleave(s.heads / s.groups, 1);
}

} // namespace

Tensor recurrentStepReference(const RecurrentStep& s)
{
    const std::int64_t keyDim = s.state.size(2), valueDim = s.state.size(3), share = s.heads / s.groups;
    const at::ScalarType type = s.q.scalar_type();
    const auto inHeads = [&](const Tensor& x, std::int64_t heads, std::int64_t dim) {
        const Tensor split = wide(x).unflatten(-1, {heads, dim});
        return heads == s.heads ? split : split.repeat_interleave(share, 1);
    };
    Tensor q = inHeads(convolved(s.q, s.convolutionQ, s.siluKeys), s.heads, keyDim);
    Tensor k = inHeads(convolved(s.k, s.convolutionK, s.siluKeys), s.groups, keyDim);
    Tensor v = inHeads(convolved(s.v, s.convolutionV, s.siluValues), s.groups, valueDim);
    if (s.unitLength) {
        q = unit(q);
        k = unit(k);
    }
    Tensor state = wide(s.state);
    if (const auto decay = decayOf(s, keyDim))
        state = state * decay->unsqueeze(-1);
    if (s.b)
        v = wide(*s.b).sigmoid().unsqueeze(-1) * (v - at::matmul(k.unsqueeze(2), state).squeeze(2));
    state = state + k.unsqueeze(-1) * v.unsqueeze(-2);
    s.state.copy_(state);
    Tensor o = (s.scale * at::matmul(q.unsqueeze(2), state).squeeze(2)).to(type); // [batch, heads, value]
    if (s.normWeight) {
        o = wide(o);
        o = o * (o.square().mean(-1, true) + s.epsilon).rsqrt() * wide(*s.normWeight);
        if (s.gate)
            o = o * at::silu(wide(*s.gate).unflatten(-1, {s.heads, valueDim}));
    }
    return o.flatten(1).to(type);
}

Tensor decodeAttentionReference(const Tensor& q, const Tensor& keys, const Tensor& values, const Tensor& lengths, double scale)
{
    const std::int64_t batch = q.size(0), heads = q.size(1), dim = q.size(2), groups = keys.size(1), capacity = keys.size(2);
    if (capacity == 0)
        return at::zeros_like(q);
    const Tensor held = at::arange(capacity, lengths.options()).unsqueeze(0).lt(lengths.unsqueeze(1)).view({batch, 1, 1, capacity});
    // Slots that hold nothing yet may hold anything, NaN too: they are taken out of both products.
    const Tensor scores = (at::matmul(wide(q).view({batch, groups, heads / groups, dim}), wide(keys).transpose(2, 3)) * scale)
                              .masked_fill(held.logical_not(), -std::numeric_limits<double>::infinity());
    const Tensor weights = at::softmax(scores, -1).masked_fill(lengths.le(0).view({batch, 1, 1, 1}), 0);
    const Tensor kept = wide(values).masked_fill(held.transpose(2, 3).logical_not(), 0);
    return at::matmul(weights, kept).view({batch, heads, dim}).to(q.scalar_type());
}

Tensor ropeAppendReference(const Tensor& q, const Tensor& k, const Tensor& v, const std::optional<Tensor>& queryNorm,
                           const std::optional<Tensor>& keyNorm, double epsilon, const Tensor& cosine, const Tensor& sine, const Tensor& lengths,
                           Tensor& keys, Tensor& values)
{
    const Tensor position = (lengths.to(at::kLong) - 1).clamp_min(0);
    const Tensor c = cosine.index_select(0, position).unsqueeze(1), s = sine.index_select(0, position).unsqueeze(1); // [batch, 1, dim]
    const auto rotated = [&](const Tensor& x, const std::optional<Tensor>& norm) {
        const Tensor y = norm ? at::rms_norm(x, {x.size(-1)}, norm->to(x.scalar_type()), epsilon) : x;
        const auto halves = y.chunk(2, -1);
        return y * c.to(y.scalar_type()) + at::cat({-halves[1], halves[0]}, -1) * s.to(y.scalar_type());
    };
    const Tensor slot = position.remainder(keys.size(2)), rows = at::arange(q.size(0), position.options());
    keys.index_put_({rows.unsqueeze(1), at::arange(keys.size(1), rows.options()).unsqueeze(0), slot.unsqueeze(1)}, rotated(k, keyNorm));
    values.index_put_({rows.unsqueeze(1), at::arange(keys.size(1), rows.options()).unsqueeze(0), slot.unsqueeze(1)}, v.contiguous());
    return rotated(q, queryNorm);
}

std::tuple<Tensor, Tensor> residualNormReference(const Tensor& x, const Tensor& residual, const Tensor& weight, double epsilon)
{
    const Tensor sum = x + residual;
    return {sum, at::rms_norm(sum, {sum.size(-1)}, weight.to(sum.scalar_type()), epsilon)};
}

Tensor swiGluReference(const Tensor& gate, const Tensor& up) { return at::silu(gate) * up; }

} // namespace postnas::ops
