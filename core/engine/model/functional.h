// The few tensor functions that the model and several blocks share. Internal: torch.
#pragma once

#include <torch/torch.h>

namespace postnas::engine {

/// RMSNorm over the last dimension: x / sqrt(mean(x^2) + epsilon) * weight.
torch::Tensor rmsNorm(const torch::Tensor& x, const torch::Tensor& weight, double epsilon);

/// Rotates the halves of each head: x [batch, length, heads, dim], cosine and sine [length, dim].
torch::Tensor applyRotary(const torch::Tensor& x, const torch::Tensor& cosine, const torch::Tensor& sine);

/// Softmax attention of grouped heads without copying keys or values for the groups.
/// query [batch, heads, length, dim]; key, value [batch, kvHeads, keys, dim]; mask: bool [length, keys], true where a key is
/// seen, or undefined when every key is seen. Returns [batch, heads, length, dim].
torch::Tensor groupedAttention(const torch::Tensor& query, const torch::Tensor& key, const torch::Tensor& value, const torch::Tensor& mask);

/// The same for a whole sequence from position 0, causal, differentiable.
torch::Tensor causalAttention(const torch::Tensor& query, const torch::Tensor& key, const torch::Tensor& value);

/// Moves tensors of one type and width into one new storage, one behind the other along their first dimension. None is a view of another.
void joinStorage(const std::vector<torch::Tensor*>& tensors);

} // namespace postnas::engine
