// Between safetensors views and torch tensors. Internal: torch.
#pragma once

#include <memory>
#include <string>

#include <torch/torch.h>

#include "core/huggingface/safetensors.h"

namespace postnas::engine {

torch::ScalarType scalarType(DType dtype);
DType safetensorsType(torch::ScalarType type);
/// "float32", "bfloat16", "float16" -> type; throws Error(Usage).
torch::ScalarType scalarTypeNamed(const std::string& name);

/// The view as a tensor: on the CPU without a copy when type and alignment allow (then read-only, and `owner` is kept alive),
/// else converted once.
torch::Tensor tensorFrom(const TensorView& view, const std::shared_ptr<const void>& owner, torch::Device device, torch::ScalarType dtype);
/// In its own type, always a private, writable copy on the CPU.
torch::Tensor copyFrom(const TensorView& view);

/// Adds a tensor of any device; it is brought to the CPU only while it is written.
void addTensor(SafetensorsWriter& writer, const std::string& name, const torch::Tensor& tensor, std::optional<torch::ScalarType> dtype = std::nullopt);

} // namespace postnas::engine
