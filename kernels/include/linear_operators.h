// Matrix products around a decoding step's tokens, with the norm before and the sum after them. Not differentiable. Each goes through the torch
// dispatcher (library "postnas"): torch's own functions on the CPU; on CUDA one kernel for up to 4 tokens, cuBLAS for more.
#pragma once

#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

namespace postnas::ops {

/// What the tokens go through before a product: RMSNorm, or nothing.
struct TokenNorm {
    std::optional<at::Tensor> weight; ///< [width]
    double epsilon = 0;
};

struct TokenProduct {
    at::Tensor weight;              ///< [rows, width]
    std::optional<at::Tensor> bias; ///< [rows]
    bool silu = false;              ///< of the result
    bool unrounded = false;         ///< of bfloat16 and float16 the sums as they are, in float32
};

/// Weights that are read soon after: a GPU may bring their first parts into its cache at the end of an operator, while it has nothing else to
/// read. At most three count; each is read from all its parts at once.
using Upcoming = std::vector<at::Tensor>;

/// norm(x) W^T + bias of each product, [tokens, rows]; x [tokens, width]. The results may be parts of one tensor: rows without gaps, but gaps
/// between rows. Products whose weights lie one behind the other in one storage are multiplied as one matrix where that is faster.
std::vector<at::Tensor> tokenProducts(const at::Tensor& x, const TokenNorm& norm, const std::vector<TokenProduct>& products,
                                      const Upcoming& upcoming = {});

/// x W^T + bias without rounding the sums to bfloat16 or float16: float32 of those, other types as they are. x [..., width], W [rows, width] ->
/// [..., rows]. torch's CPU has no such product: there the rounded one is widened.
at::Tensor unroundedProduct(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias = std::nullopt);

/// silu(norm(x) gate^T) * (norm(x) up^T): [tokens, rows].
at::Tensor gatedProduct(const at::Tensor& x, const TokenNorm& norm, const at::Tensor& gate, const at::Tensor& up, const Upcoming& upcoming = {});

/// sum += x W^T + bias, in place; sum [tokens, rows], x [tokens, width].
void addProduct(at::Tensor& sum, const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias, const Upcoming& upcoming = {});

/// The tensors as one, when they lie one behind the other along the first dimension in one storage; undefined otherwise.
at::Tensor joined(at::TensorList tensors);

} // namespace postnas::ops
