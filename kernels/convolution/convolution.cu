// The causal convolutions on CUDA. Forward with 4 taps, the usual case, a thread goes along 8 channels of 16 tokens and keeps the inputs in
// registers; else a thread takes an output element. Gradients of shared kernels are summed by one block a tap and 32 channels.
#include <algorithm>

#include "kernels/elementwise/eight.cuh"
#include "kernels/include/convolution_launch.h"
#include "kernels/include/launch.cuh"

namespace postnas::ops::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kSumRows = 32;

template <typename T>
__device__ __forceinline__ float inputAt(const ConvolutionProblem& p, std::int64_t b, std::int64_t t, std::int64_t c)
{
    if (t >= 0)
        return toFloat(static_cast<const T*>(p.x)[(b * p.length + t) * p.channels + c]);
    return p.history ? toFloat(static_cast<const T*>(p.history)[(b * (p.taps - 1) + p.taps - 1 + t) * p.channels + c]) : 0.f;
}

template <typename T>
__device__ __forceinline__ float kernelAt(const ConvolutionProblem& p, std::int64_t b, std::int64_t t, std::int64_t c, std::int64_t w)
{
    const std::int64_t row = p.perToken ? (b * p.length + t) * p.channels + c : c;
    return toFloat(static_cast<const T*>(p.kernels)[row * p.taps + w]);
}

template <typename T>
__global__ void forwardKernel(ConvolutionProblem p, T* y)
{
    const std::int64_t total = p.batch * p.length * p.channels, stride = std::int64_t(gridDim.x) * blockDim.x;
    for (std::int64_t i = std::int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < total; i += stride) {
        const std::int64_t c = i % p.channels, t = i / p.channels % p.length, b = i / p.channels / p.length;
        float sum = 0;
        for (std::int64_t w = 0; w < p.taps; ++w)
            sum += kernelAt<T>(p, b, t, c, w) * inputAt<T>(p, b, t - p.taps + 1 + w, c);
        y[i] = fromFloat<T>(p.silu ? silu(sum) : sum);
    }
}

constexpr int kTaps = 4, kRun = 16, kRunThreads = 128;

template <typename T, bool PerToken>
__global__ void __launch_bounds__(kRunThreads) runKernel(ConvolutionProblem p, T* y)
{
    const int channel = (int(blockIdx.x) * kRunThreads + int(threadIdx.x)) * 8, first = int(blockIdx.y) * kRun, length = int(p.length);
    if (channel >= p.channels)
        return;
    const std::int64_t sequence = std::int64_t(blockIdx.z) * p.length, channels = p.channels;
    const T* const x = static_cast<const T*>(p.x) + channel;
    const T* const kernels = static_cast<const T*>(p.kernels) + std::int64_t(channel) * kTaps;
    float inputs[kTaps][8], taps[kTaps][8]; // taps: the 32 numbers of 8 channels as they stand in memory
#pragma unroll
    for (int w = 1; w < kTaps; ++w) {
        const int t = first - kTaps + w;
#pragma unroll
        for (int i = 0; i < 8; ++i)
            inputs[w][i] = 0;
        if (t >= 0)
            load(inputs[w], x + (sequence + t) * channels);
        else if (p.history)
            load(inputs[w], static_cast<const T*>(p.history) + (std::int64_t(blockIdx.z) * (kTaps - 1) + kTaps - 1 + t) * channels + channel);
    }
    if (!PerToken)
#pragma unroll
        for (int w = 0; w < kTaps; ++w)
            load(taps[w], kernels + w * 8);
    const int end = min(first + kRun, length);
#pragma unroll 4
    for (int t = first; t < end; ++t) {
        if (PerToken)
#pragma unroll
            for (int w = 0; w < kTaps; ++w)
                load(taps[w], kernels + (sequence + t) * channels * kTaps + w * 8);
#pragma unroll
        for (int w = 0; w + 1 < kTaps; ++w)
#pragma unroll
            for (int i = 0; i < 8; ++i)
                inputs[w][i] = inputs[w + 1][i];
        load(inputs[kTaps - 1], x + (sequence + t) * channels);
        float sums[8];
#pragma unroll
        for (int i = 0; i < 8; ++i) {
            sums[i] = 0;
#pragma unroll
            for (int w = 0; w < kTaps; ++w)
                sums[i] += taps[i * kTaps / 8][i * kTaps % 8 + w] * inputs[w][i];
            sums[i] = p.silu ? silu(sums[i]) : sums[i];
        }
        store(y + (sequence + t) * channels + channel, sums);
    }
}

/// Positions run from -(taps - 1): the first ones are the history's.
template <typename T>
__global__ void inputGradientKernel(ConvolutionProblem p, const T* gradY, T* gradX, T* gradHistory)
{
    const std::int64_t before = gradHistory ? p.taps - 1 : 0, positions = p.length + before;
    const std::int64_t total = p.batch * positions * p.channels, stride = std::int64_t(gridDim.x) * blockDim.x;
    for (std::int64_t i = std::int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < total; i += stride) {
        const std::int64_t c = i % p.channels, at = i / p.channels % positions - before, b = i / p.channels / positions;
        float sum = 0;
        for (std::int64_t w = 0; w < p.taps; ++w) {
            const std::int64_t t = at + p.taps - 1 - w;
            if (t >= 0 && t < p.length)
                sum += kernelAt<T>(p, b, t, c, w) * toFloat(gradY[(b * p.length + t) * p.channels + c]);
        }
        if (at >= 0)
            gradX[(b * p.length + at) * p.channels + c] = fromFloat<T>(sum);
        else
            gradHistory[(b * before + before + at) * p.channels + c] = fromFloat<T>(sum);
    }
}

template <typename T>
__global__ void tokenKernelGradientKernel(ConvolutionProblem p, const T* gradY, T* gradKernels)
{
    const std::int64_t total = p.batch * p.length * p.channels, stride = std::int64_t(gridDim.x) * blockDim.x;
    for (std::int64_t i = std::int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < total; i += stride) {
        const std::int64_t c = i % p.channels, t = i / p.channels % p.length, b = i / p.channels / p.length;
        const float up = toFloat(gradY[i]);
        for (std::int64_t w = 0; w < p.taps; ++w)
            gradKernels[i * p.taps + w] = fromFloat<T>(up * inputAt<T>(p, b, t - p.taps + 1 + w, c));
    }
}

/// Block (x, y): 32 channels, one tap; its 32 rows of threads share the tokens.
template <typename T>
__global__ void sharedKernelGradientKernel(ConvolutionProblem p, const T* gradY, float* gradKernels)
{
    __shared__ float partial[kSumRows][33];
    const std::int64_t c = std::int64_t(blockIdx.x) * 32 + threadIdx.x, w = blockIdx.y, tokens = p.batch * p.length;
    float sum = 0;
    if (c < p.channels)
        for (std::int64_t i = threadIdx.y; i < tokens; i += kSumRows)
            sum += toFloat(gradY[i * p.channels + c]) * inputAt<T>(p, i / p.length, i % p.length - p.taps + 1 + w, c);
    partial[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y != 0 || c >= p.channels)
        return;
    sum = 0;
    for (int i = 0; i < kSumRows; ++i)
        sum += partial[i][threadIdx.x];
    gradKernels[c * p.taps + w] = sum;
}

unsigned blocksFor(std::int64_t elements) { return unsigned(std::clamp<std::int64_t>((elements + kThreads - 1) / kThreads, 1, 1 << 16)); }

bool inRuns(const ConvolutionProblem& p, const void* y)
{
    const auto aligned = [](const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0; };
    return p.taps == kTaps && p.channels % 8 == 0 && p.batch < 65536 && p.length < kRun * 65536 && aligned(p.x) && aligned(p.kernels) && aligned(p.history)
        && aligned(y);
}

template <typename T>
cudaError_t forward(const ConvolutionProblem& p, void* y, cudaStream_t stream)
{
    if (p.batch * p.length * p.channels > 0 && inRuns(p, y)) {
        const dim3 grid(unsigned((p.channels / 8 + kRunThreads - 1) / kRunThreads), unsigned((p.length + kRun - 1) / kRun), unsigned(p.batch));
        return launch(p.perToken ? runKernel<T, true> : runKernel<T, false>, grid, dim3(kRunThreads), 0, stream, p, static_cast<T*>(y));
    }
    const std::int64_t total = p.batch * p.length * p.channels;
    return total > 0 ? launch(forwardKernel<T>, dim3(blocksFor(total)), dim3(kThreads), 0, stream, p, static_cast<T*>(y)) : cudaSuccess;
}

template <typename T>
cudaError_t backward(const ConvolutionProblem& p, const void* gradY, void* gradX, void* gradKernels, void* gradHistory, cudaStream_t stream)
{
    const T* up = static_cast<const T*>(gradY);
    cudaError_t code = cudaSuccess;
    if (const std::int64_t total = p.batch * (p.length + (gradHistory ? p.taps - 1 : 0)) * p.channels; total > 0)
        code = launch(inputGradientKernel<T>, dim3(blocksFor(total)), dim3(kThreads), 0, stream, p, up, static_cast<T*>(gradX),
                      static_cast<T*>(gradHistory));
    if (code != cudaSuccess || p.channels == 0)
        return code;
    if (p.perToken) {
        const std::int64_t total = p.batch * p.length * p.channels;
        return total > 0 ? launch(tokenKernelGradientKernel<T>, dim3(blocksFor(total)), dim3(kThreads), 0, stream, p, up, static_cast<T*>(gradKernels))
                         : cudaSuccess;
    }
    return launch(sharedKernelGradientKernel<T>, dim3(unsigned((p.channels + 31) / 32), unsigned(p.taps)), dim3(32, kSumRows), 0, stream, p, up,
                  static_cast<float*>(gradKernels));
}

} // namespace

cudaError_t launchConvolutionForward(const ConvolutionProblem& p, void* y, cudaStream_t stream)
{
    switch (p.element) {
    case Element::Float32: return forward<float>(p, y, stream);
    case Element::Float16: return forward<__half>(p, y, stream);
    case Element::BFloat16: return forward<__nv_bfloat16>(p, y, stream);
    }
    return cudaErrorInvalidValue;
}

cudaError_t launchConvolutionBackward(const ConvolutionProblem& p, const void* gradY, void* gradX, void* gradKernels, void* gradHistory,
                                      cudaStream_t stream)
{
    switch (p.element) {
    case Element::Float32: return backward<float>(p, gradY, gradX, gradKernels, gradHistory, stream);
    case Element::Float16: return backward<__half>(p, gradY, gradX, gradKernels, gradHistory, stream);
    case Element::BFloat16: return backward<__nv_bfloat16>(p, gradY, gradX, gradKernels, gradHistory, stream);
    }
    return cudaErrorInvalidValue;
}

} // namespace postnas::ops::cuda
