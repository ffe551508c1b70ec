// The references of the operators of whole sequences; kernels/include/prefill_operators.h says what they compute. Internal: torch.
#pragma once

#include "kernels/include/prefill_operators.h"

namespace postnas::ops {

at::Tensor gatedNormReference(const at::Tensor& o, const at::Tensor& weight, const std::optional<at::Tensor>& gate, double epsilon);
at::Tensor unitLengthReference(const at::Tensor& x, bool silu);
at::Tensor siluConvolutionReference(const at::Tensor& x, const at::Tensor& kernels, const std::optional<at::Tensor>& history);
at::Tensor generatedConvolutionReference(const at::Tensor& x, const at::Tensor& hidden, const at::Tensor& weight,
                                         const std::optional<at::Tensor>& bias, const std::optional<at::Tensor>& history);
std::tuple<at::Tensor, at::Tensor> rotateReference(const at::Tensor& q, const at::Tensor& k, const std::optional<at::Tensor>& queryNorm,
                                                   const std::optional<at::Tensor>& keyNorm, double epsilon, const at::Tensor& cosine,
                                                   const at::Tensor& sine);
at::Tensor rotateIntoReference(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const std::optional<at::Tensor>& queryNorm,
                               const std::optional<at::Tensor>& keyNorm, double epsilon, const at::Tensor& cosine, const at::Tensor& sine,
                               std::int64_t first, at::Tensor& keys, at::Tensor& values);
at::Tensor mergeAttentionReference(at::TensorList parts, at::TensorList logSums);
std::tuple<at::Tensor, at::Tensor> deltaGatesReference(const at::Tensor& ab, const at::Tensor& aLog, const at::Tensor& dtBias);

} // namespace postnas::ops
