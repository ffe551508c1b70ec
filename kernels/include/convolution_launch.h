// Launch functions of the causal convolutions on CUDA: raw pointers, sizes and a stream; no torch header is seen by nvcc.
#pragma once

#include <cstdint>

#include <cuda_runtime_api.h>

#include "kernels/include/recurrence_launch.h"

namespace postnas::ops::cuda {

/// All arrays are contiguous in the order given, of type `element`, on the current device.
struct ConvolutionProblem {
    std::int64_t batch = 0, length = 0, channels = 0, taps = 0;
    bool perToken = false;
    Element element = Element::Float32;
    const void* x = nullptr;       ///< [batch, length, channels]
    const void* kernels = nullptr; ///< [batch, length, channels, taps] per token, or [channels, taps]
    const void* history = nullptr; ///< [batch, taps - 1, channels]; null: zeros
    bool silu = false;             ///< of y; forward only
};

/// y: [batch, length, channels]
cudaError_t launchConvolutionForward(const ConvolutionProblem& problem, void* y, cudaStream_t stream);

/// Gradients in the problem's type, but of shared kernels in float32. `gradHistory` may be null.
cudaError_t launchConvolutionBackward(const ConvolutionProblem& problem, const void* gradY, void* gradX, void* gradKernels,
                                      void* gradHistory, cudaStream_t stream);

} // namespace postnas::ops::cuda
