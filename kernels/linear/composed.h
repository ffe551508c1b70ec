// The products of kernels/include/linear_operators.h in torch's own functions, as the dispatcher sees them. Internal: torch.
#pragma once

#include <vector>

#include <ATen/core/List.h>

#include "kernels/include/linear_operators.h"

namespace postnas::ops {

using OptionalTensors = c10::List<std::optional<at::Tensor>>;

/// `silu` has bit i set where product i goes through silu, `unrounded` where it stays in float32.
std::vector<at::Tensor> tokenProductsComposed(const at::Tensor& x, const std::optional<at::Tensor>& norm, double epsilon, at::TensorList weights,
                                              const OptionalTensors& biases, std::int64_t silu, std::int64_t unrounded, at::TensorList upcoming = {});
at::Tensor gatedProductComposed(const at::Tensor& x, const std::optional<at::Tensor>& norm, double epsilon, const at::Tensor& gate, const at::Tensor& up,
                                at::TensorList upcoming = {});
void addProductComposed(at::Tensor& sum, const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                        at::TensorList upcoming = {});

} // namespace postnas::ops
