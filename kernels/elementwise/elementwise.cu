// RMSNorm with the residual sum, SwiGLU and the embedding, 8 elements a thread and access: the time is that of the memory.
#include <algorithm>
#include <initializer_list>
#include <type_traits>

#include "kernels/elementwise/eight.cuh"
#include "kernels/include/elementwise_launch.h"
#include "kernels/include/overlap.cuh"

namespace postnas::ops::cuda {
namespace {

constexpr int kThreads = 256;

/// A block a row, 8 elements a thread.
template <typename T>
__global__ void __launch_bounds__(1024) residualNormKernel(ResidualNormProblem p, T* sumOut, T* normed)
{
    POSTNAS_SHARED_MEMORY(shared);
    float* const warpSums = reinterpret_cast<float*>(shared);
    const int column = int(threadIdx.x) * 8, warps = int(blockDim.x) / 32;
    const std::int64_t at = std::int64_t(blockIdx.x) * p.width + column;
    const bool active = column < p.width;
    float x[8] = {}, weight[8] = {};
    waitForEarlierLaunches();
    letNextLaunchStart();
    if (active) {
        load(x, static_cast<const T*>(p.x) + at);
        load(weight, static_cast<const T*>(p.weight) + column);
        if (p.residual) {
            float residual[8];
            load(residual, static_cast<const T*>(p.residual) + at);
#pragma unroll
            for (int i = 0; i < 8; ++i)
                x[i] = toFloat(fromFloat<T>(x[i] + residual[i])); // the norm is of the sum that later layers see
        }
        if (sumOut)
            store(sumOut + at, x);
    }
    float sum = 0;
#pragma unroll
    for (int i = 0; i < 8; ++i)
        sum += x[i] * x[i];
#pragma unroll
    for (int mask = 16; mask > 0; mask /= 2)
        sum += __shfl_xor_sync(0xffffffffu, sum, mask);
    if (threadIdx.x % 32 == 0)
        warpSums[threadIdx.x / 32] = sum;
    __syncthreads();
    const int lane = int(threadIdx.x) % 32;
    sum = lane < warps ? warpSums[lane] : 0.0f;
#pragma unroll
    for (int mask = 16; mask > 0; mask /= 2)
        sum += __shfl_xor_sync(0xffffffffu, sum, mask);
    if (!active)
        return;
    const float factor = rsqrtf(sum / float(p.width) + p.epsilon);
#pragma unroll
    for (int i = 0; i < 8; ++i)
        x[i] *= factor * weight[i];
    store(normed + at, x);
}

template <typename T>
__global__ void __launch_bounds__(kThreads) swiGluKernel(SwiGluProblem p, T* out)
{
    const std::int64_t token = blockIdx.x;
    const int column = (int(blockIdx.y) * kThreads + int(threadIdx.x)) * 8;
    waitForEarlierLaunches();
    letNextLaunchStart();
    if (column >= p.width)
        return;
    float gate[8], up[8];
    load(gate, static_cast<const T*>(p.gate) + token * p.gateStride + column);
    load(up, static_cast<const T*>(p.up) + token * p.upStride + column);
#pragma unroll
    for (int i = 0; i < 8; ++i)
        gate[i] = silu(gate[i]) * up[i];
    store(out + token * p.width + column, gate);
}

template <typename T>
__global__ void __launch_bounds__(kThreads) embeddingKernel(EmbeddingProblem p, T* out)
{
    const std::int64_t token = blockIdx.x, id = p.ids[token];
    const int column = (int(blockIdx.y) * kThreads + int(threadIdx.x)) * 8;
    if (column >= p.width)
        return;
    Eight<T> piece = {};
    if (id >= 0 && id < p.vocabulary)
        piece = *reinterpret_cast<const Eight<T>*>(static_cast<const T*>(p.table) + id * p.width + column);
    *reinterpret_cast<Eight<T>*>(out + token * p.width + column) = piece;
}

bool fits(std::int64_t width, std::initializer_list<const void*> pointers)
{
    return width > 0 && width % 8 == 0
        && std::all_of(pointers.begin(), pointers.end(), [](const void* p) { return reinterpret_cast<std::uintptr_t>(p) % 16 == 0; });
}

dim3 gridOf(std::int64_t tokens, std::int64_t width) { return dim3(unsigned(tokens), unsigned((width / 8 + kThreads - 1) / kThreads)); }

/// Calls f with a null pointer to the element type.
template <typename F>
cudaError_t forElement(Element element, F&& f)
{
    switch (element) {
    case Element::Float32: return f(static_cast<float*>(nullptr));
    case Element::Float16: return f(static_cast<__half*>(nullptr));
    case Element::BFloat16: return f(static_cast<__nv_bfloat16*>(nullptr));
    }
    return cudaErrorInvalidValue;
}

} // namespace

cudaError_t launchResidualNorm(const ResidualNormProblem& p, void* sum, void* normed, cudaStream_t stream)
{
    if (!fits(p.width, {p.x, p.residual, p.weight, sum, normed}) || p.width > kMaxNormWidth)
        return cudaErrorInvalidValue;
    if (p.tokens == 0)
        return cudaSuccess;
    const unsigned threads = unsigned((p.width / 8 + 31) / 32 * 32);
    return forElement(p.element, [&](auto* type) {
        using T = std::remove_pointer_t<decltype(type)>;
        return launchOverlapped(residualNormKernel<T>, dim3(unsigned(p.tokens)), dim3(threads), 32 * sizeof(float), stream, p, static_cast<T*>(sum),
                      static_cast<T*>(normed));
    });
}

cudaError_t launchSwiGlu(const SwiGluProblem& p, void* out, cudaStream_t stream)
{
    if (!fits(p.width, {p.gate, p.up, out}) || p.gateStride % 8 != 0 || p.upStride % 8 != 0)
        return cudaErrorInvalidValue;
    if (p.tokens == 0)
        return cudaSuccess;
    return forElement(p.element, [&](auto* type) {
        using T = std::remove_pointer_t<decltype(type)>;
        return launchOverlapped(swiGluKernel<T>, gridOf(p.tokens, p.width), dim3(kThreads), 0, stream, p, static_cast<T*>(out));
    });
}

cudaError_t launchEmbedding(const EmbeddingProblem& p, void* out, cudaStream_t stream)
{
    if (!fits(p.width, {p.table, out}))
        return cudaErrorInvalidValue;
    if (p.tokens == 0)
        return cudaSuccess;
    return forElement(p.element, [&](auto* type) {
        using T = std::remove_pointer_t<decltype(type)>;
        return launch(embeddingKernel<T>, gridOf(p.tokens, p.width), dim3(kThreads), 0, stream, p, static_cast<T*>(out));
    });
}

} // namespace postnas::ops::cuda
