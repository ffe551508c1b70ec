// Launch functions of the dynamic convolution with its kernel generator on CUDA: raw pointers, sizes and a stream; no torch header is seen
// by nvcc.
#pragma once

#include <cstddef>
#include <cstdint>

#include <cuda_runtime_api.h>

namespace postnas::ops::cuda {

/// A causal convolution whose kernels are a linear function of each token, and are never stored:
///   y[b,t,c] = sum_w (hidden[b,t,:] . weight[c * taps + w,:] + bias[c * taps + w]) x[b, t - taps + 1 + w, c]
/// All arrays are contiguous bfloat16 on the current device; sums are float32, and the kernels are not rounded in between.
struct GeneratedConvolution {
    std::int64_t batch = 0, length = 0, channels = 0, taps = 0, rank = 0;
    const void* x = nullptr;       ///< [batch, length, channels]
    const void* hidden = nullptr;  ///< [batch, length, rank]
    const void* weight = nullptr;  ///< [channels * taps, rank]
    const void* bias = nullptr;    ///< [channels * taps]; null: none
    const void* history = nullptr; ///< [batch, taps - 1, channels]; null: zeros
};

/// Whether the kernels can take it: up to 8 taps, channels and rank multiples of 8, arrays on 16 bytes.
bool generatedConvolutionCanTake(const GeneratedConvolution& problem);

/// y: bfloat16 [batch, length, channels].
cudaError_t launchGeneratedConvolutionForward(const GeneratedConvolution& problem, void* y, cudaStream_t stream);

/// All are written completely.
struct GeneratedConvolutionGradients {
    const void* gradY = nullptr; ///< bfloat16 [batch, length, channels]
    void* x = nullptr;           ///< bfloat16 [batch, length, channels]
    void* hidden = nullptr;      ///< bfloat16 [batch, length, rank]
    float* weight = nullptr;     ///< [channels * taps, rank]
    float* bias = nullptr;       ///< [channels * taps]; may be null
};

/// Bytes of scratch memory of the backward pass, on 16 bytes.
std::size_t generatedConvolutionBackwardWorkspace(const GeneratedConvolution& problem, int multiprocessors);
/// For sequences without a history; cudaErrorInvalidValue with one. Gradients are the same in every run: no atomics.
cudaError_t launchGeneratedConvolutionBackward(const GeneratedConvolution& problem, const GeneratedConvolutionGradients& gradients,
                                               void* workspace, int multiprocessors, cudaStream_t stream);

} // namespace postnas::ops::cuda
