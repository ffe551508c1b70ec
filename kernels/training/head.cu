// Cross-entropy and divergence over a row of logits, and their gradient in its place: the row is read twice and written once.
#include <algorithm>
#include <type_traits>

#include "kernels/elementwise/eight.cuh"
#include "kernels/include/launch.cuh"
#include "kernels/include/training_launch.h"

namespace postnas::ops::cuda {
namespace {

constexpr int kHeadThreads = 512;
constexpr int kHeadWarps = kHeadThreads / 32;
constexpr float kLowest = -3.0e38f; // below every logit, and finite: the difference of two of them is a number

/// The largest value so far, the sum of exp(value - largest), and a sum that is weighted the same way.
struct Running {
    float largest = kLowest, sum = 0, weighted = 0;

    __device__ __forceinline__ void add(const float (&x)[8], float sharpness)
    {
        float top = largest;
#pragma unroll
        for (int i = 0; i < 8; ++i)
            top = fmaxf(top, x[i] * sharpness);
        const float keep = __expf(largest - top);
        sum *= keep;
        weighted *= keep;
        largest = top;
#pragma unroll
        for (int i = 0; i < 8; ++i)
            sum += __expf(x[i] * sharpness - top);
    }
    __device__ __forceinline__ void add(const float (&x)[8], const float (&y)[8], float sharpness)
    {
        add(x, sharpness);
#pragma unroll
        for (int i = 0; i < 8; ++i)
            weighted += __expf(x[i] * sharpness - largest) * (x[i] - y[i]) * sharpness;
    }
    __device__ __forceinline__ void merge(float otherLargest, float otherSum, float otherWeighted)
    {
        const float top = fmaxf(largest, otherLargest), mine = __expf(largest - top), other = __expf(otherLargest - top);
        sum = sum * mine + otherSum * other;
        weighted = weighted * mine + otherWeighted * other;
        largest = top;
    }
    __device__ __forceinline__ float logSum() const { return largest + logf(sum); }
};

/// Of all threads of the block; every thread gets it. `shared`: 3 * kHeadWarps floats.
__device__ __forceinline__ Running ofBlock(Running r, float* shared)
{
#pragma unroll
    for (int mask = 16; mask > 0; mask /= 2) {
        const float largest = __shfl_xor_sync(0xffffffffu, r.largest, mask), sum = __shfl_xor_sync(0xffffffffu, r.sum, mask);
        r.merge(largest, sum, __shfl_xor_sync(0xffffffffu, r.weighted, mask));
    }
    __syncthreads(); // whoever used the memory before is done
    if (threadIdx.x % 32 == 0) {
        float* const mine = shared + threadIdx.x / 32 * 3;
        mine[0] = r.largest;
        mine[1] = r.sum;
        mine[2] = r.weighted;
    }
    __syncthreads();
    Running out;
    for (int warp = 0; warp < kHeadWarps; ++warp)
        out.merge(shared[warp * 3], shared[warp * 3 + 1], shared[warp * 3 + 2]);
    return out;
}

/// A block a row.
template <typename T, bool Teacher>
__global__ void __launch_bounds__(kHeadThreads) headKernel(HeadProblem p, float* losses)
{
    POSTNAS_SHARED_MEMORY(shared);
    const std::int64_t row = blockIdx.x, width = p.width;
    T* const logits = static_cast<T*>(p.logits) + row * width;
    const T* const teacher = Teacher ? static_cast<const T*>(p.teacher) + row * width : nullptr;
    const float sharpness = 1.0f / p.temperature;
    const bool sharpened = Teacher && p.temperature != 1.0f; // otherwise one sum serves both losses
    Running plain, sharp, target;
    for (std::int64_t column = std::int64_t(threadIdx.x) * 8; column < width; column += kHeadThreads * 8) {
        float x[8];
        load(x, logits + column);
        plain.add(x, 1.0f);
        if (Teacher) {
            float y[8];
            load(y, teacher + column);
            if (sharpened)
                sharp.add(x, sharpness);
            target.add(y, x, sharpness);
        }
    }
    float* const memory = reinterpret_cast<float*>(shared);
    const float weight = p.weights[row], logPlain = ofBlock(plain, memory).logSum();
    float logSharp = logPlain, logTarget = 0, loss = 0;
    if (Teacher) {
        if (sharpened)
            logSharp = ofBlock(sharp, memory).logSum();
        const Running all = ofBlock(target, memory);
        logTarget = all.logSum();
        loss += p.divergence * p.temperature * p.temperature * (all.weighted / all.sum - logTarget + logSharp);
    }
    const std::int64_t id = p.ids ? p.ids[row] : -1;
    const bool known = id >= 0 && id < width;
    if (p.ids)
        loss += p.crossEntropy * (known ? logPlain - toFloat(logits[id]) : nanf(""));
    __syncthreads(); // the id's logit is read before it is overwritten
    if (threadIdx.x == 0)
        losses[row] = weight * loss;
    const float ofPlain = p.ids ? weight * p.crossEntropy : 0.0f, ofSharp = weight * p.divergence * p.temperature;
    for (std::int64_t column = std::int64_t(threadIdx.x) * 8; column < width; column += kHeadThreads * 8) {
        float x[8], y[8] = {};
        load(x, logits + column);
        if (Teacher)
            load(y, teacher + column);
#pragma unroll
        for (int i = 0; i < 8; ++i) {
            float gradient = p.ids ? ofPlain * (__expf(x[i] - logPlain) - (column + i == id ? 1.0f : 0.0f)) : 0.0f;
            if (Teacher)
                gradient += ofSharp * (__expf(x[i] * sharpness - logSharp) - __expf(y[i] * sharpness - logTarget));
            x[i] = gradient;
        }
        store(logits + column, x);
    }
}

} // namespace

cudaError_t launchHead(const HeadProblem& p, float* losses, cudaStream_t stream)
{
    const auto onSixteen = [](const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0; };
    if (p.width <= 0 || p.width % 8 != 0 || !onSixteen(p.logits) || !onSixteen(p.teacher))
        return cudaErrorInvalidValue;
    if (p.tokens == 0)
        return cudaSuccess;
    const auto start = [&](auto* type) {
        using T = std::remove_pointer_t<decltype(type)>;
        return launch(p.teacher ? headKernel<T, true> : headKernel<T, false>, dim3(unsigned(p.tokens)), dim3(kHeadThreads), 3 * kHeadWarps * sizeof(float),
                      stream, p, losses);
    };
    switch (p.element) {
    case Element::Float32: return start(static_cast<float*>(nullptr));
    case Element::Float16: return start(static_cast<__half*>(nullptr));
    case Element::BFloat16: return start(static_cast<__nv_bfloat16*>(nullptr));
    }
    return cudaErrorInvalidValue;
}

} // namespace postnas::ops::cuda
