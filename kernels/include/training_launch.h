// Launch functions of the gradients between matrix products on CUDA: raw pointers, sizes and a stream; no torch header is seen by nvcc.
#pragma once

#include <cstdint>

#include <cuda_runtime_api.h>

#include "kernels/include/recurrence_launch.h"

namespace postnas::ops::cuda {

/// Arrays are contiguous in the order given, of type `element`, on 16 bytes; `count` and widths are multiples of 8. Sums are float32.
struct SwiGluBackwardProblem {
    std::int64_t count = 0; ///< elements of each array
    Element element = Element::BFloat16;
    const void* gradient = nullptr; ///< of silu(gate) * up
    const void* gate = nullptr;
    const void* up = nullptr;
};
/// Writes the gradients of gate and up; gradGate may be the gradient's own array.
cudaError_t launchSwiGluBackward(const SwiGluBackwardProblem& problem, void* gradGate, void* gradUp, cudaStream_t stream);

/// y = x / sqrt(mean(x^2) + epsilon) * weight * silu(gate) over the last dimension.
struct GatedNormBackwardProblem {
    std::int64_t rows = 0, width = 0; ///< widths up to 1024
    Element element = Element::BFloat16;
    const void* gradient = nullptr; ///< of y, [rows, width]
    const void* x = nullptr;        ///< [rows, width]
    const void* weight = nullptr;   ///< [width]
    const void* gate = nullptr;     ///< [rows, width]; null: none
    float epsilon = 1e-6f;
};
/// How many partial sums of the weight's gradient there are.
std::int64_t gatedNormBackwardParts(const GatedNormBackwardProblem& problem, int multiprocessors);
/// Writes the gradients of x, of the gate (null without one), and [parts, width] partial sums of that of the weight.
cudaError_t launchGatedNormBackward(const GatedNormBackwardProblem& problem, void* gradX, void* gradGate, float* weightParts, std::int64_t parts,
                                    cudaStream_t stream);

/// Of two arrays [tokens, width], over the tokens that are valid.
struct DistanceProblem {
    std::int64_t tokens = 0, width = 0;
    Element element = Element::BFloat16;
    const void* x = nullptr;
    const void* y = nullptr;
    const bool* valid = nullptr; ///< [tokens]
};
std::int64_t distanceParts(const DistanceProblem& problem, int multiprocessors);
/// sums [2, parts]: parts of the sum of (x - y)^2, then of y^2.
cudaError_t launchDistance(const DistanceProblem& problem, float* sums, std::int64_t parts, cudaStream_t stream);
/// gradX = 2 * factor * (x - y), zeros where not valid; the factor lies on the device.
cudaError_t launchDistanceBackward(const DistanceProblem& problem, const float* factor, void* gradX, cudaStream_t stream);

/// Losses of a language model's head, a row of logits a token, and their gradient in place of the logits. See headGradient of
/// training_operators.h. `width` is the vocabulary.
struct HeadProblem {
    std::int64_t tokens = 0, width = 0;
    Element element = Element::BFloat16;
    void* logits = nullptr;           ///< [tokens, width]; becomes the gradient
    const void* teacher = nullptr;    ///< [tokens, width] logits; null without divergence
    const std::int64_t* ids = nullptr; ///< [tokens], on the device; null without cross-entropy. One outside the vocabulary gives NaN
    const float* weights = nullptr;   ///< [tokens]
    float crossEntropy = 1, divergence = 0, temperature = 1;
};
/// losses [tokens], weighted.
cudaError_t launchHead(const HeadProblem& problem, float* losses, cudaStream_t stream);

} // namespace postnas::ops::cuda
