// Autograd saves tensors that may be undefined; the operators take tensors that may be absent. Internal: torch.
#pragma once

#include <optional>

#include <ATen/core/Tensor.h>

namespace postnas::ops {

inline std::optional<at::Tensor> optional(const at::Tensor& tensor) { return tensor.defined() ? std::optional(tensor) : std::nullopt; }
inline at::Tensor valueOf(const std::optional<at::Tensor>& tensor) { return tensor ? *tensor : at::Tensor(); }

} // namespace postnas::ops
