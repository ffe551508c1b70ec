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

/// The same for queries that are the last tokens of a longer sequence of keys; not differentiable. On a GPU no mask is stored: cuDNN or flash
/// attention does it, whichever was faster when such heads were met first; little work goes to flash attention, which needs no plan.
torch::Tensor continuedAttention(const torch::Tensor& query, const torch::Tensor& key, const torch::Tensor& value);

/// Whether windowAttention can take it: half precision on a GPU, and no gradient is asked for.
bool flashAttentionTakes(const torch::Tensor& query);
/// As continuedAttention, but each query sees the last `window` keys alone, its own among them. Time and memory grow with length * window.
torch::Tensor windowAttention(const torch::Tensor& query, const torch::Tensor& key, const torch::Tensor& value, std::int64_t window);

/// Moves tensors of one type and width into one new storage, one behind the other along their first dimension. None is a view of another.
void joinStorage(const std::vector<torch::Tensor*>& tensors);

} // namespace postnas::engine
