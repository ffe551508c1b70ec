// The references of the operators of a decoding step; kernels/include/decode_operators.h says what they compute. Internal: torch.
#pragma once

#include "kernels/include/decode_operators.h"

namespace postnas::ops {

at::Tensor recurrentStepReference(const RecurrentStep& step);
at::Tensor decodeAttentionReference(const at::Tensor& q, const at::Tensor& keys, const at::Tensor& values, const at::Tensor& lengths, double scale);
at::Tensor ropeAppendReference(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const std::optional<at::Tensor>& queryNorm,
                               const std::optional<at::Tensor>& keyNorm, double epsilon, const at::Tensor& cosine, const at::Tensor& sine,
                               const at::Tensor& lengths, at::Tensor& keys, at::Tensor& values);
std::tuple<at::Tensor, at::Tensor> residualNormReference(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& weight, double epsilon);
at::Tensor swiGluReference(const at::Tensor& gate, const at::Tensor& up);

} // namespace postnas::ops
