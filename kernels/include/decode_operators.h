// The operators of a decoding step: one new token of each sequence of a batch, sequences of different lengths. They change states in
// place, need nothing from the host but capacities, and are not differentiable. Each goes through the torch dispatcher (library
// "postnas"): the CPU reference in torch's own functions, or a CUDA kernel.
#pragma once

#include <optional>

#include <ATen/core/Tensor.h>

namespace postnas::ops {

/// A depthwise causal convolution of a projection; the last tap is the current token.
struct StepConvolution {
    std::optional<at::Tensor> kernels; ///< [channels, taps], or [batch, channels, taps]; none: no convolution
    std::optional<at::Tensor> history; ///< [batch, taps - 1, channels], the oldest token first; moved on in place
};

/// How the log decay is given: not at all, as it is, or as what a projection gave.
enum class StepDecay : std::int64_t {
    None = 0,
    PerHead = 1,               ///< g [batch, heads]
    PerHeadFromRaw = 2,        ///< [batch, heads]: g = -exp(aLog) softplus(raw + dtBias)
    PerChannel = 3,            ///< g [batch, groups * key]
    PerChannelFromLogits = 4,  ///< [batch, groups * key]: g = logsigmoid(logits) / gateNormalizer
};

/// One token of a recurrent block between its input and output projections:
///   q, k, v = silu(convolution(projection)), q and k over sqrt(sum of squares + 1e-6), each where it is asked for
///   S = exp(g) S;   S += k (sigmoid(b) (v - S^T k))^T, or S += k v^T without b;   o = scale S^T q
///   y = o / sqrt(mean(o^2) + epsilon) * normWeight * silu(gate), with the norm and the gate where there are any
struct RecurrentStep {
    std::int64_t heads = 0, groups = 0; ///< of q; of k, v and a decay per channel, each serving heads / groups neighbouring heads
    at::Tensor q, k, v;                 ///< [batch, heads * key], [batch, groups * key], [batch, groups * value]; rows may have gaps
    StepConvolution convolutionQ, convolutionK, convolutionV;
    bool siluKeys = false;   ///< on q and k
    bool siluValues = false; ///< on v
    bool unitLength = false; ///< of q and k
    double scale = 1;
    StepDecay decay = StepDecay::None;
    std::optional<at::Tensor> g, aLog, dtBias; ///< aLog, dtBias [heads]
    double gateNormalizer = 1;
    std::optional<at::Tensor> b; ///< [batch, heads]
    at::Tensor state;            ///< [batch, heads, key, value], changed in place
    std::optional<at::Tensor> normWeight; ///< [value]
    double epsilon = 0;
    std::optional<at::Tensor> gate; ///< [batch, heads * value]; only with a norm
};
/// Returns y, [batch, heads * value] in q's type.
at::Tensor recurrentStep(const RecurrentStep& step);

/// Softmax attention of one query token of each sequence over a preallocated cache. q [batch, heads, dim]; keys, values
/// [batch, keyValueHeads, capacity, dim]; lengths int32 [batch]: tokens so far, the current one included. min(length, capacity) slots
/// count, in any order (a ring of W slots is a cache of capacity W). Returns [batch, heads, dim]; zeros for a length of 0.
at::Tensor decodeAttention(const at::Tensor& q, const at::Tensor& keys, const at::Tensor& values, const at::Tensor& lengths, double scale);

/// Normalises (where weights are given) and rotates the current token's queries and keys, and stores keys and values in the cache.
/// q [batch, heads, dim]; k, v [batch, keyValueHeads, dim]; cosine, sine float32 [positions, dim] (halves rotate together); lengths as above: the
/// token stands at length - 1, in slot (length - 1) % capacity. Returns the queries.
at::Tensor ropeAppend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const std::optional<at::Tensor>& queryNorm,
                      const std::optional<at::Tensor>& keyNorm, double epsilon, const at::Tensor& cosine, const at::Tensor& sine,
                      const at::Tensor& lengths, at::Tensor& keys, at::Tensor& values);

/// (x + residual, RMSNorm of that sum); x and residual [tokens, width].
std::tuple<at::Tensor, at::Tensor> residualNorm(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& weight, double epsilon);

/// silu(gate) * up; [tokens, width].
at::Tensor swiGlu(const at::Tensor& gate, const at::Tensor& up);

} // namespace postnas::ops
