// Gradients between matrix products: SwiGLU, gated norms, and the distance of two models' layers. One pass over the memory, 16 bytes an access.
#include <algorithm>
#include <initializer_list>
#include <type_traits>

#include "kernels/elementwise/eight.cuh"
#include "kernels/include/launch.cuh"
#include "kernels/include/training_launch.h"

namespace postnas::ops::cuda {
namespace {

constexpr int kThreads = 256;
constexpr std::int64_t kMaxGatedWidth = 1024;

template <typename T>
__global__ void __launch_bounds__(kThreads) swiGluBackwardKernel(SwiGluBackwardProblem p, T* gradGate, T* gradUp)
{
    const std::int64_t at = (std::int64_t(blockIdx.x) * kThreads + threadIdx.x) * 8;
    if (at >= p.count)
        return;
    float gradient[8], gate[8], up[8];
    load(gradient, static_cast<const T*>(p.gradient) + at);
    load(gate, static_cast<const T*>(p.gate) + at);
    load(up, static_cast<const T*>(p.up) + at);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
        const float chance = __fdividef(1.0f, 1.0f + __expf(-gate[i])), activated = gate[i] * chance;
        const float slope = chance + activated * (1.0f - chance);
        gate[i] = gradient[i] * up[i] * slope;
        up[i] = gradient[i] * activated;
    }
    store(gradGate + at, gate);
    store(gradUp + at, up);
}

/// `Lanes` neighbouring lanes take a row, and the same columns of every row that they come to, so that the weight's gradient stays in registers.
template <typename T, int Lanes, int Pieces>
__global__ void __launch_bounds__(kThreads) gatedNormBackwardKernel(GatedNormBackwardProblem p, T* gradX, T* gradGate, float* weightParts)
{
    constexpr int kRows = kThreads / Lanes;
    POSTNAS_SHARED_MEMORY(shared);
    float* const sums = reinterpret_cast<float*>(shared); // [width]
    const int lane = int(threadIdx.x) % Lanes, width = int(p.width);
    float weight[Pieces][8] = {}, weightGradient[Pieces][8] = {};
#pragma unroll
    for (int piece = 0; piece < Pieces; ++piece)
        if ((piece * Lanes + lane) * 8 < width)
            load(weight[piece], static_cast<const T*>(p.weight) + (piece * Lanes + lane) * 8);
    // Every lane of the block makes the same number of turns: the shuffles need all of them.
    for (std::int64_t first = std::int64_t(blockIdx.x) * kRows; first < p.rows; first += std::int64_t(gridDim.x) * kRows) {
        const std::int64_t row = first + threadIdx.x / Lanes;
        const bool exists = row < p.rows;
        float x[Pieces][8] = {}, gradient[Pieces][8] = {}, gate[Pieces][8] = {}, squares = 0, products = 0;
#pragma unroll
        for (int piece = 0; piece < Pieces; ++piece) {
            const int column = (piece * Lanes + lane) * 8;
            if (exists && column < width) {
                load(x[piece], static_cast<const T*>(p.x) + row * width + column);
                load(gradient[piece], static_cast<const T*>(p.gradient) + row * width + column);
                if (p.gate)
                    load(gate[piece], static_cast<const T*>(p.gate) + row * width + column);
            }
#pragma unroll
            for (int i = 0; i < 8; ++i) {
                const float factor = p.gate ? silu(gate[piece][i]) : 1.0f;
                squares += x[piece][i] * x[piece][i];
                products += gradient[piece][i] * weight[piece][i] * factor * x[piece][i];
            }
        }
        const float scale = rsqrtf(sumOver<Lanes>(squares) / float(width) + p.epsilon);
        const float pull = sumOver<Lanes>(products) / float(width) * scale * scale;
#pragma unroll
        for (int piece = 0; piece < Pieces; ++piece) {
            const int column = (piece * Lanes + lane) * 8;
            if (!exists || column >= width)
                continue;
            float gateGradient[8];
#pragma unroll
            for (int i = 0; i < 8; ++i) {
                const float g = gate[piece][i], chance = __fdividef(1.0f, 1.0f + __expf(-g));
                const float factor = p.gate ? g * chance : 1.0f, normed = x[piece][i] * scale, upstream = gradient[piece][i];
                weightGradient[piece][i] += upstream * normed * factor;
                gateGradient[i] = upstream * normed * weight[piece][i] * (chance + g * chance * (1.0f - chance));
                x[piece][i] = scale * (upstream * weight[piece][i] * factor - x[piece][i] * pull);
            }
            store(gradX + row * width + column, x[piece]);
            if (p.gate)
                store(gradGate + row * width + column, gateGradient);
        }
    }
    // The block's rows one after the other, so that the sum has one order.
    for (int turn = 0; turn < kRows; ++turn) {
        if (int(threadIdx.x) / Lanes == turn) {
#pragma unroll
            for (int piece = 0; piece < Pieces; ++piece) {
                const int column = (piece * Lanes + lane) * 8;
#pragma unroll
                for (int i = 0; i < 8; ++i)
                    if (column < width)
                        sums[column + i] = (turn ? sums[column + i] : 0.0f) + weightGradient[piece][i];
            }
        }
        __syncthreads();
    }
    for (int column = int(threadIdx.x); column < width; column += kThreads)
        weightParts[std::int64_t(blockIdx.x) * width + column] = sums[column];
}

template <typename T>
__global__ void __launch_bounds__(kThreads) distanceKernel(DistanceProblem p, float* sums)
{
    POSTNAS_SHARED_MEMORY(shared);
    float* const warps = reinterpret_cast<float*>(shared); // [2, warps]
    constexpr int kWarps = kThreads / 32;
    const std::int64_t width = p.width / 8, pieces = p.tokens * width;
    float distance = 0, size = 0;
    for (std::int64_t piece = std::int64_t(blockIdx.x) * kThreads + threadIdx.x; piece < pieces; piece += std::int64_t(gridDim.x) * kThreads) {
        if (!p.valid[piece / width])
            continue;
        float x[8], y[8];
        load(x, static_cast<const T*>(p.x) + piece * 8);
        load(y, static_cast<const T*>(p.y) + piece * 8);
#pragma unroll
        for (int i = 0; i < 8; ++i) {
            distance += (x[i] - y[i]) * (x[i] - y[i]);
            size += y[i] * y[i];
        }
    }
    distance = sumOver<32>(distance);
    size = sumOver<32>(size);
    if (threadIdx.x % 32 == 0) {
        warps[threadIdx.x / 32] = distance;
        warps[kWarps + threadIdx.x / 32] = size;
    }
    __syncthreads();
    if (threadIdx.x < 2) {
        float sum = 0;
        for (int i = 0; i < kWarps; ++i)
            sum += warps[threadIdx.x * kWarps + i];
        sums[std::int64_t(threadIdx.x) * gridDim.x + blockIdx.x] = sum;
    }
}

template <typename T>
__global__ void __launch_bounds__(kThreads) distanceBackwardKernel(DistanceProblem p, const float* factor, T* gradX)
{
    const std::int64_t piece = std::int64_t(blockIdx.x) * kThreads + threadIdx.x, width = p.width / 8;
    if (piece >= p.tokens * width)
        return;
    float x[8] = {}, y[8] = {};
    const float twice = 2.0f * *factor;
    if (p.valid[piece / width]) {
        load(x, static_cast<const T*>(p.x) + piece * 8);
        load(y, static_cast<const T*>(p.y) + piece * 8);
    }
#pragma unroll
    for (int i = 0; i < 8; ++i)
        x[i] = twice * (x[i] - y[i]);
    store(gradX + piece * 8, x);
}

bool fits(std::int64_t width, std::initializer_list<const void*> pointers)
{
    return width > 0 && width % 8 == 0
        && std::all_of(pointers.begin(), pointers.end(), [](const void* p) { return reinterpret_cast<std::uintptr_t>(p) % 16 == 0; });
}

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

/// Lanes that take a row: 8 elements each, up to 32.
int lanesOf(std::int64_t width) { return width <= 64 ? 8 : width <= 128 ? 16 : 32; }

unsigned blocksFor(std::int64_t threads) { return unsigned((threads + kThreads - 1) / kThreads); }

/// Blocks for a loop over `work` threads' worth: enough to fill the machine, few enough that their sums are quickly added.
std::int64_t blocksOf(std::int64_t work, int multiprocessors)
{
    return std::max<std::int64_t>(1, std::min<std::int64_t>((work + kThreads - 1) / kThreads, std::int64_t(multiprocessors) * 8));
}

} // namespace

cudaError_t launchSwiGluBackward(const SwiGluBackwardProblem& p, void* gradGate, void* gradUp, cudaStream_t stream)
{
    if (p.count == 0)
        return cudaSuccess;
    if (!fits(p.count, {p.gradient, p.gate, p.up, gradGate, gradUp}))
        return cudaErrorInvalidValue;
    return forElement(p.element, [&](auto* type) {
        using T = std::remove_pointer_t<decltype(type)>;
        return launch(swiGluBackwardKernel<T>, dim3(blocksFor(p.count / 8)), dim3(kThreads), 0, stream, p, static_cast<T*>(gradGate), static_cast<T*>(gradUp));
    });
}

std::int64_t gatedNormBackwardParts(const GatedNormBackwardProblem& p, int multiprocessors)
{
    return blocksOf(p.rows * lanesOf(p.width), multiprocessors);
}

cudaError_t launchGatedNormBackward(const GatedNormBackwardProblem& p, void* gradX, void* gradGate, float* weightParts, std::int64_t parts,
                                    cudaStream_t stream)
{
    if (!fits(p.width, {p.gradient, p.x, p.weight, p.gate, gradX, gradGate}) || p.width > kMaxGatedWidth)
        return cudaErrorInvalidValue;
    return forElement(p.element, [&](auto* type) {
        using T = std::remove_pointer_t<decltype(type)>;
        const auto start = [&](auto kernel) {
            return launch(kernel, dim3(unsigned(parts)), dim3(kThreads), std::size_t(p.width) * sizeof(float), stream, p, static_cast<T*>(gradX),
                          static_cast<T*>(gradGate), weightParts);
        };
        switch (lanesOf(p.width)) {
        case 8: return start(gatedNormBackwardKernel<T, 8, 1>);
        case 16: return start(gatedNormBackwardKernel<T, 16, 1>);
        default: break;
        }
        return p.width <= 256 ? start(gatedNormBackwardKernel<T, 32, 1>) : p.width <= 512 ? start(gatedNormBackwardKernel<T, 32, 2>)
                                                                                          : start(gatedNormBackwardKernel<T, 32, 4>);
    });
}

std::int64_t distanceParts(const DistanceProblem& p, int multiprocessors) { return blocksOf(p.tokens * p.width / 8, multiprocessors); }

cudaError_t launchDistance(const DistanceProblem& p, float* sums, std::int64_t parts, cudaStream_t stream)
{
    if (!fits(p.width, {p.x, p.y}))
        return cudaErrorInvalidValue;
    return forElement(p.element, [&](auto* type) {
        using T = std::remove_pointer_t<decltype(type)>;
        return launch(distanceKernel<T>, dim3(unsigned(parts)), dim3(kThreads), 2 * kThreads / 32 * sizeof(float), stream, p, sums);
    });
}

cudaError_t launchDistanceBackward(const DistanceProblem& p, const float* factor, void* gradX, cudaStream_t stream)
{
    if (!fits(p.width, {p.x, p.y, gradX}))
        return cudaErrorInvalidValue;
    if (p.tokens == 0)
        return cudaSuccess;
    return forElement(p.element, [&](auto* type) {
        using T = std::remove_pointer_t<decltype(type)>;
        return launch(distanceBackwardKernel<T>, dim3(blocksFor(p.tokens * p.width / 8)), dim3(kThreads), 0, stream, p, factor, static_cast<T*>(gradX));
    });
}

} // namespace postnas::ops::cuda
