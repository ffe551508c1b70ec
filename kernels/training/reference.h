// The operators of training in torch's own functions. Internal: torch.
#pragma once

#include <optional>
#include <tuple>

#include <ATen/core/Tensor.h>

namespace postnas::ops {

std::tuple<at::Tensor, at::Tensor> swiGluBackwardReference(const at::Tensor& gradient, const at::Tensor& gate, const at::Tensor& up);
/// Gradients of x, weight and gate (undefined without one); x [..., width].
std::tuple<at::Tensor, at::Tensor, at::Tensor> gatedNormBackwardReference(const at::Tensor& gradient, const at::Tensor& x, const at::Tensor& weight,
                                                                          const std::optional<at::Tensor>& gate, double epsilon);
/// [2]: the sums of (x - y)^2 and of y^2 over valid tokens, in float32 or wider.
at::Tensor squaredSumsReference(const at::Tensor& x, const at::Tensor& y, const at::Tensor& valid);
/// 2 * factor * (x - y) in x's type, zeros where not valid; factor: one number.
at::Tensor squaredSumsBackwardReference(const at::Tensor& factor, const at::Tensor& x, const at::Tensor& y, const at::Tensor& valid);

at::Tensor headGradientReference(at::Tensor& logits, const std::optional<at::Tensor>& teacher, const std::optional<at::Tensor>& ids,
                                 const at::Tensor& weights, double crossEntropy, double divergence, double temperature);

} // namespace postnas::ops
