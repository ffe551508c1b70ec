// The operators that whole sequences need beside those of operators.h when no gradient is asked for: what otherwise are chains of torch
// functions, each in one pass over the memory. Not differentiable. Each goes through the torch dispatcher (library "postnas"): the CPU
// reference in torch's own functions, or a CUDA kernel.
#pragma once

#include <optional>

#include <ATen/core/IListRef.h>
#include <ATen/core/Tensor.h>

namespace postnas::ops {

/// o / sqrt(mean(o^2) + epsilon) * weight * silu(gate) over the last dimension, in o's type; o [batch, length, heads, width], gate of the
/// same shape or none.
at::Tensor gatedNorm(const at::Tensor& o, const at::Tensor& weight, const std::optional<at::Tensor>& gate, double epsilon);

/// x / sqrt(sum(x^2) + 1e-6) over the last dimension, of silu(x) when asked for, in x's type; x [batch, length, heads, width].
at::Tensor unitLength(const at::Tensor& x, bool silu);

/// silu of the causal convolution of operators.h: kernels [channels, taps] or [batch, length, channels, taps].
at::Tensor siluConvolution(const at::Tensor& x, const at::Tensor& kernels, const std::optional<at::Tensor>& history);

/// The same with kernels that are a linear function of each token, weight [channels * taps, rank] times hidden [batch, length, rank] plus
/// bias, and are stored for a few tokens at a time at most.
at::Tensor generatedConvolution(const at::Tensor& x, const at::Tensor& hidden, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                                const std::optional<at::Tensor>& history);

/// Heads of new tokens, normalised where a weight is given and rotated. q [batch, length, heads, dim], k [batch, length, keyValueHeads, dim];
/// cosine, sine float32 [length, dim]. Returns both of the same shapes.
std::tuple<at::Tensor, at::Tensor> rotate(const at::Tensor& q, const at::Tensor& k, const std::optional<at::Tensor>& queryNorm,
                                          const std::optional<at::Tensor>& keyNorm, double epsilon, const at::Tensor& cosine, const at::Tensor& sine);

/// The same, with the keys and v written to the slots from `first` on of caches [batch, keyValueHeads, slots, dim]. Returns the queries.
at::Tensor rotateInto(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const std::optional<at::Tensor>& queryNorm,
                      const std::optional<at::Tensor>& keyNorm, double epsilon, const at::Tensor& cosine, const at::Tensor& sine, std::int64_t first,
                      at::Tensor& keys, at::Tensor& values);

/// Attention over all keys from attention over one or more parts of them: parts [batch, heads, length, dim] and the log-sum-exp of the scores of each,
/// float32 [batch, heads, length]. Returns [batch, length, heads, dim].
at::Tensor mergeAttention(at::TensorList parts, at::TensorList logSums);

/// The log decay and beta of the gated delta rule from their projections, both in float32 [..., heads]:
/// g = -exp(aLog) softplus(a + dtBias), beta = sigmoid(b); ab [..., 2 * heads] is a and then b.
std::tuple<at::Tensor, at::Tensor> deltaGates(const at::Tensor& ab, const at::Tensor& aLog, const at::Tensor& dtBias);

} // namespace postnas::ops
