// Parts of a layer whose backward pass is written by hand, for training on a GPU: fewer passes over the memory than the chain of torch functions,
// and less that is kept. Internal: torch.
#pragma once

#include <tuple>
#include <vector>

#include <torch/torch.h>

namespace postnas::engine {

/// hidden + down(silu(gate(n)) * up(n)) with n = RMSNorm(hidden); hidden [..., width]. Keeps hidden and the products with gate and up, and computes
/// gradients of weights only where they are required.
torch::Tensor feedForward(const torch::Tensor& hidden, const torch::Tensor& norm, const torch::Tensor& gate, const torch::Tensor& up,
                          const torch::Tensor& down, double epsilon);

/// Rotates the heads of q and k; see ops::rotate. [batch, length, heads, dim]; cosine, sine float32 [length, dim].
std::tuple<torch::Tensor, torch::Tensor> rotated(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& cosine, const torch::Tensor& sine);

/// x times each of the weights, plus its bias where it is defined; x [..., width]. The gradient of x is summed inside the products.
std::vector<torch::Tensor> projectedTogether(const torch::Tensor& x, const std::vector<torch::Tensor>& weights, const std::vector<torch::Tensor>& biases);

} // namespace postnas::engine
