// Launch functions of what long sequences need for each head between projections, recurrence and attention on CUDA: raw pointers, sizes
// and a stream; no torch header is seen by nvcc.
#pragma once

#include <cstdint>

#include <cuda_runtime_api.h>

#include "kernels/include/recurrence_launch.h"

namespace postnas::ops::cuda {

/// Arrays are on 16 bytes, widths and strides multiples of 8; a stride is elements from one token to the next.
inline constexpr std::int64_t kMaxHeadWidth = 1024;

/// out[token, head] = x / sqrt(mean(x^2) + epsilon) * weight * silu(gate)
struct GatedNormProblem {
    std::int64_t tokens = 0, heads = 0, width = 0;
    Element element = Element::BFloat16;
    const void* x = nullptr;      ///< [tokens, heads, width], contiguous
    const void* weight = nullptr; ///< [width]
    float epsilon = 1e-6f;
    const void* gate = nullptr;   ///< [tokens, heads, width]; null: none
    std::int64_t gateStride = 0;
};
cudaError_t launchGatedNorm(const GatedNormProblem& problem, void* out, cudaStream_t stream);

/// out[token, head] = y / sqrt(sum(y^2) + 1e-6) with y = silu(x) or x itself
struct UnitLengthProblem {
    std::int64_t tokens = 0, heads = 0, width = 0, stride = 0;
    Element element = Element::BFloat16;
    const void* x = nullptr; ///< [tokens, heads, width]
    bool silu = false;
};
/// out: contiguous.
cudaError_t launchUnitLength(const UnitLengthProblem& problem, void* out, cudaStream_t stream);

/// Attention over all keys from attention over parts of them: with the log-sum-exp s_i of the scores of each part,
/// out = sum_i exp(s_i) x_i / sum_i exp(s_i).
inline constexpr int kMaxMergedParts = 8;
struct MergeProblem {
    std::int64_t batch = 0, heads = 0, length = 0, width = 0;
    Element element = Element::BFloat16;
    struct Part {
        const void* values = nullptr; ///< [batch, heads, length, width] in any order of the first three
        std::int64_t batchStride = 0, headStride = 0, tokenStride = 0;
        const float* logSums = nullptr; ///< [batch, heads, length], contiguous; minus infinity where no key was seen
    };
    int count = 0;
    Part parts[kMaxMergedParts];
};
/// out: [batch, length, heads, width]; zeros where no part saw a key.
cudaError_t launchMerge(const MergeProblem& problem, void* out, cudaStream_t stream);

/// g = -exp(aLog) softplus(a + dtBias), beta = sigmoid(b)
struct DeltaGatesProblem {
    std::int64_t tokens = 0, heads = 0;
    Element element = Element::BFloat16;
    const void* ab = nullptr;     ///< [tokens, 2 * heads]: a, then b
    const void* aLog = nullptr;   ///< [heads]
    const void* dtBias = nullptr; ///< [heads]
};
/// g, beta: [tokens, heads].
cudaError_t launchDeltaGates(const DeltaGatesProblem& problem, float* g, float* beta, cudaStream_t stream);

} // namespace postnas::ops::cuda
