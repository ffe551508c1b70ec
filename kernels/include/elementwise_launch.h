// Launch functions of the operators between matrix products on CUDA: raw pointers, sizes and a stream; no torch header is seen by nvcc.
#pragma once

#include <cstdint>

#include <cuda_runtime_api.h>

#include "kernels/include/recurrence_launch.h"

namespace postnas::ops::cuda {

/// Arrays are contiguous in the order given, of type `element`, on 16 bytes; widths are multiples of 8.
struct ResidualNormProblem {
    std::int64_t tokens = 0, width = 0;
    Element element = Element::BFloat16;
    const void* x = nullptr;        ///< [tokens, width]
    const void* residual = nullptr; ///< [tokens, width]; null: the norm of x alone
    const void* weight = nullptr;   ///< [width]
    float epsilon = 1e-6f;
};
/// Widths up to this one.
inline constexpr std::int64_t kMaxNormWidth = 8192;

/// sum: x + residual in the problem's type, may be x or residual itself, null when not wanted; normed: RMSNorm of that sum as stored.
cudaError_t launchResidualNorm(const ResidualNormProblem& problem, void* sum, void* normed, cudaStream_t stream);

/// out[tokens, width] = silu(gate) * up. The strides are elements from one token to the next: 2 * width and up = gate + width when one
/// projection gives both.
struct SwiGluProblem {
    std::int64_t tokens = 0, width = 0, gateStride = 0, upStride = 0;
    Element element = Element::BFloat16;
    const void* gate = nullptr;
    const void* up = nullptr;
};
cudaError_t launchSwiGlu(const SwiGluProblem& problem, void* out, cudaStream_t stream);

/// out[tokens, width] = table[ids]; ids on the device. An id outside the table gives zeros.
struct EmbeddingProblem {
    std::int64_t tokens = 0, width = 0, vocabulary = 0;
    Element element = Element::BFloat16;
    const std::int32_t* ids = nullptr; ///< [tokens]
    const void* table = nullptr;       ///< [vocabulary, width]
};
cudaError_t launchEmbedding(const EmbeddingProblem& problem, void* out, cudaStream_t stream);

} // namespace postnas::ops::cuda
