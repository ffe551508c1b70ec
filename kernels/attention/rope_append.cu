// Norm, rotation and cache append of the new tokens: what stands between the projections and attention, in one launch.
//
// 8, 16 or 32 lanes take one head of one token. A lane holds 4 neighbours of the first half and the 4 that turn with them in the
// second half, so that norm and rotation stay in registers.
#include "kernels/include/attention_launch.h"
#include "kernels/include/cuda_element.cuh"
#include "kernels/include/overlap.cuh"

namespace postnas::ops::cuda {
namespace {

constexpr int kThreads = 128;

template <typename T>
struct alignas(4 * sizeof(T)) Four {
    T at[4];
};

template <typename T>
struct Halves {
    float low[4] = {}, high[4] = {};

    __device__ void load(const T* from, int column, int half)
    {
        const Four<T> a = *reinterpret_cast<const Four<T>*>(from + column), b = *reinterpret_cast<const Four<T>*>(from + half + column);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            low[i] = toFloat(a.at[i]);
            high[i] = toFloat(b.at[i]);
        }
    }
    __device__ void store(T* to, int column, int half) const
    {
        Four<T> a, b;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            a.at[i] = fromFloat<T>(low[i]);
            b.at[i] = fromFloat<T>(high[i]);
        }
        *reinterpret_cast<Four<T>*>(to + column) = a;
        *reinterpret_cast<Four<T>*>(to + half + column) = b;
    }
};

/// The place of a token in the cache of its sequence, or -1.
__device__ __forceinline__ std::int64_t slotOf(const RopeAppendProblem& p, std::int64_t sequence, std::int64_t token, std::int64_t position)
{
    const std::int64_t count = p.counts ? min(std::int64_t(p.counts[sequence]), p.length) : p.length;
    if (token >= count || position < 0)
        return -1;
    if (!p.ring)
        return position < p.capacity ? position : -1;
    // Of more tokens than slots only the last ones stay: nothing else decides which of two writes to a slot is the later one.
    return token >= count - p.capacity ? position % p.capacity : -1;
}

template <typename T, int Lanes>
__device__ void normalise(Halves<T>& x, const T* weights, float epsilon, int column, int dim)
{
    float sum = 0;
#pragma unroll
    for (int i = 0; i < 4; ++i)
        sum += x.low[i] * x.low[i] + x.high[i] * x.high[i];
#pragma unroll
    for (int mask = Lanes / 2; mask > 0; mask /= 2)
        sum += __shfl_xor_sync(0xffffffffu, sum, mask);
    if (column * 2 >= dim)
        return;
    const float factor = rsqrtf(sum / float(dim) + epsilon);
    Halves<T> weight;
    weight.load(weights, column, dim / 2);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        x.low[i] *= factor * weight.low[i];
        x.high[i] *= factor * weight.high[i];
    }
}

template <typename T, int Lanes>
__global__ void __launch_bounds__(kThreads) ropeAppendKernel(RopeAppendProblem p)
{
    const int dim = int(p.dim), half = dim / 2, column = int(threadIdx.x) % Lanes * 4;
    const std::int64_t vectors = p.heads + 2 * p.keyValueHeads; // of a token: queries, keys, values
    const std::int64_t index = std::int64_t(blockIdx.x) * (kThreads / Lanes) + threadIdx.x / Lanes;
    waitForEarlierLaunches();
    letNextLaunchStart();
    const bool exists = index < p.batch * p.length * vectors, active = exists && column < half;
    const std::int64_t row = exists ? index / vectors : 0, vector = exists ? index % vectors : 0, sequence = row / p.length, token = row % p.length;
    const std::int64_t position = (p.positions ? std::int64_t(p.positions[sequence]) : 0) + p.positionOffset + token;
    const bool isQuery = vector < p.heads, isKey = !isQuery && vector < p.heads + p.keyValueHeads;
    const std::int64_t head = isQuery ? vector : (vector - p.heads) % p.keyValueHeads;

    Halves<T> x;
    if (active) {
        const T* const from = static_cast<const T*>(isQuery ? p.q : isKey ? p.k : p.v);
        x.load(from + row * (isQuery ? p.queryStride : isKey ? p.keyStride : p.valueStride) + head * dim, column, half);
    }
    const T* const weights = static_cast<const T*>(isQuery ? p.queryNorm : isKey ? p.keyNorm : nullptr);
    if (p.queryNorm || p.keyNorm) { // all lanes take part in the sums, those of values too
        Halves<T> normed = x;
        normalise<T, Lanes>(normed, weights ? weights : static_cast<const T*>(p.queryNorm ? p.queryNorm : p.keyNorm), p.epsilon, column, dim);
        if (weights)
            x = normed;
    }
    if (!active)
        return;
    if (isQuery || isKey) {
        // Padding may stand before the first position; what it becomes is not used.
        const std::int64_t angle = max(position, std::int64_t(0)) * dim;
        Halves<float> cosine, sine;
        cosine.load(p.cosine + angle, column, half);
        sine.load(p.sine + angle, column, half);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const float low = x.low[i], high = x.high[i];
            x.low[i] = low * cosine.low[i] - high * sine.low[i];
            x.high[i] = high * cosine.high[i] + low * sine.high[i];
        }
    }
    if (isQuery) {
        x.store(static_cast<T*>(p.queryOut) + (row * p.heads + head) * dim, column, half);
        return;
    }
    if (isKey && p.keyOut)
        x.store(static_cast<T*>(p.keyOut) + (row * p.keyValueHeads + head) * dim, column, half);
    const std::int64_t slot = slotOf(p, sequence, token, position);
    if (p.keys && slot >= 0)
        x.store(static_cast<T*>(isKey ? p.keys : p.values) + ((sequence * p.keyValueHeads + head) * p.capacity + slot) * dim, column, half);
}

template <typename T, int Lanes>
cudaError_t ropeAppend(const RopeAppendProblem& p, cudaStream_t stream)
{
    const std::int64_t vectors = p.batch * p.length * (p.heads + 2 * p.keyValueHeads), perBlock = kThreads / Lanes;
    return launchOverlapped(ropeAppendKernel<T, Lanes>, dim3(unsigned((vectors + perBlock - 1) / perBlock)), dim3(kThreads), 0, stream, p);
}

template <typename T>
cudaError_t ropeAppend(const RopeAppendProblem& p, cudaStream_t stream)
{
    return p.dim <= 64 ? ropeAppend<T, 8>(p, stream) : p.dim <= 128 ? ropeAppend<T, 16>(p, stream) : ropeAppend<T, 32>(p, stream);
}

bool aligned(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0; }

} // namespace

bool ropeAppendCanTake(const RopeAppendProblem& p)
{
    return p.dim > 0 && p.dim <= 256 && p.dim % 8 == 0 && p.keyValueHeads > 0 && p.queryStride % 8 == 0 && p.keyStride % 8 == 0
        && p.valueStride % 8 == 0 && aligned(p.q) && aligned(p.k) && aligned(p.v) && aligned(p.keys) && aligned(p.values) && aligned(p.queryOut)
        && aligned(p.keyOut) && aligned(p.queryNorm) && aligned(p.keyNorm) && aligned(p.cosine) && aligned(p.sine);
}

cudaError_t launchRopeAppend(const RopeAppendProblem& problem, cudaStream_t stream)
{
    if (!ropeAppendCanTake(problem))
        return cudaErrorInvalidValue;
    if (problem.batch * problem.length == 0)
        return cudaSuccess;
    RopeAppendProblem p = problem;
    p.queryStride = p.queryStride ? p.queryStride : p.heads * p.dim;
    p.keyStride = p.keyStride ? p.keyStride : p.keyValueHeads * p.dim;
    p.valueStride = p.valueStride ? p.valueStride : p.keyValueHeads * p.dim;
    switch (p.element) {
    case Element::Float32: return ropeAppend<float>(p, stream);
    case Element::Float16: return ropeAppend<__half>(p, stream);
    case Element::BFloat16: return ropeAppend<__nv_bfloat16>(p, stream);
    }
    return cudaErrorInvalidValue;
}

} // namespace postnas::ops::cuda
