// Norms of each head with what stands beside them, and the sum of attentions over parts of the keys: one pass over the memory, 16 bytes an access.
//
// 8 to 32 lanes take one head of one token, so that its sum of squares needs shuffles alone.
#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <type_traits>

#include "kernels/elementwise/eight.cuh"
#include "kernels/include/heads_launch.h"
#include "kernels/include/launch.cuh"

namespace postnas::ops::cuda {
namespace {

constexpr int kThreads = 256;

template <typename T, int Lanes, int Pieces>
__global__ void __launch_bounds__(kThreads) gatedNormKernel(GatedNormProblem p, T* out)
{
    const unsigned row = blockIdx.x * (kThreads / Lanes) + threadIdx.x / Lanes, heads = unsigned(p.heads);
    const bool exists = row < p.tokens * p.heads;
    const int lane = int(threadIdx.x) % Lanes, width = int(p.width);
    const T* const x = static_cast<const T*>(p.x) + row * p.width;
    float values[Pieces][8] = {}, gates[Pieces][8], sum = 0;
    const T* const gate = p.gate ? static_cast<const T*>(p.gate) + row / heads * p.gateStride + row % heads * p.width : nullptr;
#pragma unroll
    for (int piece = 0; piece < Pieces; ++piece) {
        const int column = (piece * Lanes + lane) * 8;
        if (exists && column < width) {
            load(values[piece], x + column);
            if (gate)
                load(gates[piece], gate + column);
        }
#pragma unroll
        for (int i = 0; i < 8; ++i)
            sum += values[piece][i] * values[piece][i];
    }
    const float factor = rsqrtf(sumOver<Lanes>(sum) / float(width) + p.epsilon);
#pragma unroll
    for (int piece = 0; piece < Pieces; ++piece) {
        const int column = (piece * Lanes + lane) * 8;
        if (!exists || column >= width)
            continue;
        float weight[8];
        load(weight, static_cast<const T*>(p.weight) + column);
#pragma unroll
        for (int i = 0; i < 8; ++i)
            values[piece][i] *= factor * weight[i] * (gate ? silu(gates[piece][i]) : 1.0f);
        store(out + row * p.width + column, values[piece]);
    }
}

template <typename T, int Lanes, int Pieces>
__global__ void __launch_bounds__(kThreads) unitLengthKernel(UnitLengthProblem p, T* out)
{
    const unsigned row = blockIdx.x * (kThreads / Lanes) + threadIdx.x / Lanes, heads = unsigned(p.heads);
    const bool exists = row < p.tokens * p.heads;
    const int lane = int(threadIdx.x) % Lanes, width = int(p.width);
    const T* const x = static_cast<const T*>(p.x) + row / heads * p.stride + row % heads * p.width;
    float values[Pieces][8] = {}, sum = 0;
#pragma unroll
    for (int piece = 0; piece < Pieces; ++piece) {
        const int column = (piece * Lanes + lane) * 8;
        if (exists && column < width)
            load(values[piece], x + column);
#pragma unroll
        for (int i = 0; i < 8; ++i) {
            values[piece][i] = p.silu ? silu(values[piece][i]) : values[piece][i];
            sum += values[piece][i] * values[piece][i];
        }
    }
    const float factor = rsqrtf(sumOver<Lanes>(sum) + 1e-6f);
#pragma unroll
    for (int piece = 0; piece < Pieces; ++piece) {
        const int column = (piece * Lanes + lane) * 8;
        if (!exists || column >= width)
            continue;
#pragma unroll
        for (int i = 0; i < 8; ++i)
            values[piece][i] *= factor;
        store(out + row * p.width + column, values[piece]);
    }
}

/// A thread takes 8 columns of one query.
template <typename T>
__global__ void __launch_bounds__(kThreads) mergeKernel(MergeProblem p, T* out)
{
    const unsigned pieces = unsigned(p.width / 8), heads = unsigned(p.heads), length = unsigned(p.length), i = blockIdx.x * kThreads + threadIdx.x;
    const unsigned column = i % pieces * 8, row = i / pieces, head = row % heads, token = row / heads % length;
    const std::int64_t b = row / heads / length, sums = (b * p.heads + head) * p.length + token;
    if (b >= p.batch)
        return;
    float logSums[kMaxMergedParts], most = -INFINITY, total = 0, mean[8] = {};
#pragma unroll
    for (int part = 0; part < kMaxMergedParts; ++part) {
        logSums[part] = part < p.count ? p.parts[part].logSums[sums] : -INFINITY;
        most = fmaxf(most, logSums[part]);
    }
#pragma unroll
    for (int part = 0; part < kMaxMergedParts; ++part) {
        if (logSums[part] == -INFINITY) // what stands where no key was seen may be anything
            continue;
        const MergeProblem::Part& from = p.parts[part];
        const float weight = __expf(logSums[part] - most);
        float x[8];
        load(x, static_cast<const T*>(from.values) + b * from.batchStride + head * from.headStride + token * from.tokenStride + column);
        total += weight;
#pragma unroll
        for (int j = 0; j < 8; ++j)
            mean[j] += weight * x[j];
    }
#pragma unroll
    for (int j = 0; j < 8; ++j)
        mean[j] = total > 0 ? mean[j] / total : 0.0f;
    store(out + std::int64_t(row) * p.width + column, mean);
}

template <typename T>
__global__ void __launch_bounds__(kThreads) deltaGatesKernel(DeltaGatesProblem p, float* g, float* beta)
{
    const unsigned i = blockIdx.x * kThreads + threadIdx.x, heads = unsigned(p.heads), head = i % heads;
    if (i >= p.tokens * p.heads)
        return;
    const T* const ab = static_cast<const T*>(p.ab) + std::int64_t(i / heads) * 2 * heads + head;
    const float raw = toFloat(ab[0]) + toFloat(static_cast<const T*>(p.dtBias)[head]);
    g[i] = -expf(toFloat(static_cast<const T*>(p.aLog)[head])) * (raw > 20.0f ? raw : log1pf(expf(raw)));
    beta[i] = 1.0f / (1.0f + expf(-toFloat(ab[heads])));
}

/// Places are counted in 32 bits, since divisions of 64 bits would cost more than the memory.
constexpr std::int64_t kMostItems = std::int64_t(1) << 31;

bool fits(std::initializer_list<std::int64_t> multiples, std::initializer_list<const void*> pointers)
{
    return std::all_of(multiples.begin(), multiples.end(), [](std::int64_t n) { return n % 8 == 0; })
        && std::all_of(pointers.begin(), pointers.end(), [](const void* p) { return reinterpret_cast<std::uintptr_t>(p) % 16 == 0; });
}

unsigned blocksFor(std::int64_t items, std::int64_t each) { return unsigned((items + each - 1) / each); }

template <int N>
using Count = std::integral_constant<int, N>;

/// Calls f(null pointer to the element type, lanes, pieces) with the lanes that share a head of that width.
template <typename T, typename F>
cudaError_t forWidth(std::int64_t width, F&& f)
{
    T* const type = nullptr;
    if (width <= 64)
        return f(type, Count<8>(), Count<1>());
    if (width <= 128)
        return f(type, Count<16>(), Count<1>());
    if (width <= 256)
        return f(type, Count<32>(), Count<1>());
    return width <= 512 ? f(type, Count<32>(), Count<2>()) : f(type, Count<32>(), Count<4>());
}

template <typename F>
cudaError_t forShape(Element element, std::int64_t width, F&& f)
{
    switch (element) {
    case Element::Float32: return forWidth<float>(width, f);
    case Element::Float16: return forWidth<__half>(width, f);
    case Element::BFloat16: return forWidth<__nv_bfloat16>(width, f);
    }
    return cudaErrorInvalidValue;
}

} // namespace

cudaError_t launchGatedNorm(const GatedNormProblem& p, void* out, cudaStream_t stream)
{
    if (!fits({p.width, p.gateStride}, {p.x, p.weight, p.gate, out}) || p.width > kMaxHeadWidth || p.tokens * p.heads > kMostItems)
        return cudaErrorInvalidValue;
    if (p.tokens * p.heads * p.width == 0)
        return cudaSuccess;
    return forShape(p.element, p.width, [&](auto* type, auto lanes, auto pieces) {
        using T = std::remove_pointer_t<decltype(type)>;
        return launch(gatedNormKernel<T, decltype(lanes)::value, decltype(pieces)::value>,
                      dim3(blocksFor(p.tokens * p.heads, kThreads / decltype(lanes)::value)), dim3(kThreads), 0, stream, p, static_cast<T*>(out));
    });
}

cudaError_t launchUnitLength(const UnitLengthProblem& p, void* out, cudaStream_t stream)
{
    if (!fits({p.width, p.stride}, {p.x, out}) || p.width > kMaxHeadWidth || p.tokens * p.heads > kMostItems)
        return cudaErrorInvalidValue;
    if (p.tokens * p.heads * p.width == 0)
        return cudaSuccess;
    return forShape(p.element, p.width, [&](auto* type, auto lanes, auto pieces) {
        using T = std::remove_pointer_t<decltype(type)>;
        return launch(unitLengthKernel<T, decltype(lanes)::value, decltype(pieces)::value>,
                      dim3(blocksFor(p.tokens * p.heads, kThreads / decltype(lanes)::value)), dim3(kThreads), 0, stream, p, static_cast<T*>(out));
    });
}

cudaError_t launchDeltaGates(const DeltaGatesProblem& p, float* g, float* beta, cudaStream_t stream)
{
    const std::int64_t items = p.tokens * p.heads;
    if (items > kMostItems)
        return cudaErrorInvalidValue;
    if (items == 0)
        return cudaSuccess;
    return forShape(p.element, 8, [&](auto* type, auto, auto) {
        using T = std::remove_pointer_t<decltype(type)>;
        return launch(deltaGatesKernel<T>, dim3(blocksFor(items, kThreads)), dim3(kThreads), 0, stream, p, g, beta);
    });
}

cudaError_t launchMerge(const MergeProblem& p, void* out, cudaStream_t stream)
{
    if (p.count < 0 || p.count > kMaxMergedParts)
        return cudaErrorInvalidValue;
    for (int i = 0; i < p.count; ++i)
        if (const MergeProblem::Part& part = p.parts[i]; !fits({part.batchStride, part.headStride, part.tokenStride}, {part.values}))
            return cudaErrorInvalidValue;
    const std::int64_t items = p.batch * p.heads * p.length * (p.width / 8);
    if (!fits({p.width}, {out}) || items > kMostItems)
        return cudaErrorInvalidValue;
    if (items == 0)
        return cudaSuccess;
    return forShape(p.element, 8, [&](auto* type, auto, auto) {
        using T = std::remove_pointer_t<decltype(type)>;
        return launch(mergeKernel<T>, dim3(blocksFor(items, kThreads)), dim3(kThreads), 0, stream, p, static_cast<T*>(out));
    });
}

} // namespace postnas::ops::cuda
