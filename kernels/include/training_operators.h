// The operators between the matrix products of training, differentiable: what otherwise are chains of torch functions, each in one pass over the
// memory forward and one backward. Each primitive goes through the torch dispatcher (library "postnas"): the CPU reference in torch's own
// functions, or a CUDA kernel.
#pragma once

#include <optional>
#include <tuple>

#include <ATen/core/Tensor.h>

namespace postnas::ops {

/// Gradients of gate and up from that of silu(gate) * up; all of one shape, [tokens, width].
std::tuple<at::Tensor, at::Tensor> swiGluBackward(const at::Tensor& gradient, const at::Tensor& gate, const at::Tensor& up);

/// gatedNorm of prefill_operators.h with gradients: o / sqrt(mean(o^2) + epsilon) * weight * silu(gate) over the last dimension, in o's type.
at::Tensor differentiableGatedNorm(const at::Tensor& o, const at::Tensor& weight, const std::optional<at::Tensor>& gate, double epsilon);

/// Its gradients of o, weight and gate (undefined without one).
std::tuple<at::Tensor, at::Tensor, at::Tensor> gatedNormBackward(const at::Tensor& gradient, const at::Tensor& o, const at::Tensor& weight,
                                                                 const std::optional<at::Tensor>& gate, double epsilon);

/// sum((x - y)^2) / max(sum(y^2), 1e-12) over the tokens that are valid, float32; x, y [tokens, width], valid bool [tokens]. Differentiable in x.
at::Tensor relativeDistance(const at::Tensor& x, const at::Tensor& y, const at::Tensor& valid);

/// Weighted losses of tokens, float32 (float64 for such logits) [tokens], each
///   weight * (crossEntropy * -log softmax(logits)[id] + divergence * temperature^2 * KL(softmax(teacher / temperature) || softmax(logits / temperature)))
/// and, in place of the logits [tokens, vocabulary], the gradient of their sum. teacher: logits of the same shape, with divergence; ids: int64
/// [tokens], with crossEntropy.
at::Tensor headGradient(at::Tensor& logits, const std::optional<at::Tensor>& teacher, const std::optional<at::Tensor>& ids, const at::Tensor& weights,
                        double crossEntropy, double divergence, double temperature);

} // namespace postnas::ops
