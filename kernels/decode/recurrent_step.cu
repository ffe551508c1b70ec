// One token of a recurrent block: convolutions with their histories, gates, the recurrence and the gated norm.
//
// Where a head's state fits into a block and the device can copy it there in one piece, recurrent_head.cu does all of it. Elsewhere a block owns
// 64 value columns of one head with all key rows, which it has copied to shared memory while it prepares the token: so few registers let many
// blocks wait at once. One sum over the rows is enough, because with S the decayed state  S'^T q = S^T q + (k.q) u.  The norm needs a whole
// head: a launch more costs less than blocks that wait for each other. Histories of keys are moved on by the block of a head that ends last.
#include <algorithm>

#include "kernels/decode/recurrent_paths.h"
#include "kernels/decode/recurrent_token.cuh"

namespace postnas::ops::cuda {
namespace {

constexpr int kThreads = 128, kWarps = kThreads / 32;
constexpr int kBlocksAtOnce = 5;            ///< on a multiprocessor, at least; with more the compiler runs out of registers
constexpr int kColumns = 64;                ///< of a block
constexpr unsigned kBlocksToPrefetch = 640; ///< with more of them the memory is busy anyway
constexpr int kLineBytes = 128;             ///< of the caches
constexpr std::int64_t kMaxValueDim = 640;
constexpr std::int64_t kFewHeads = 64; ///< of all sequences: in parts they keep more multiprocessors busy

/// Beside the block's part of the state, [key, 64], and a float4 for each key channel: decay * q, decay * k, k, decay.
struct Shared {
    float partial[2][kWarps][kColumns]; ///< S^T k and S^T q
    float values[kColumns];
    float sums[kWarps][3]; ///< q.q, k.k, k.q
    float decay, beta;
    bool last;
};

/// Neighbouring numbers that are loaded and stored together.
template <typename T, int N>
struct alignas(N * int(sizeof(T))) Piece {
    T x[N];
};

/// The gated norm of heads whose o lies in y, a warp each, N numbers at a time.
template <typename T, typename Parameter, int N>
__global__ void __launch_bounds__(kThreads) normKernel(RecurrentStep p)
{
    constexpr int kPieces = int(kMaxValueDim) / (32 * N);
    const std::int64_t row = std::int64_t(blockIdx.x) * kWarps + threadIdx.x / 32;
    const int lane = int(threadIdx.x) % 32, valueDim = int(p.valueDim), heads = int(p.heads);
    if (row >= p.batch * heads)
        return;
    T* const y = static_cast<T*>(p.y) + row * valueDim;
    const T* const gate = p.gate.data ? static_cast<const T*>(p.gate.data) + row / heads * p.gate.stride + row % heads * valueDim : nullptr;
    Piece<T, N> o[kPieces], z[kPieces];
    Piece<Parameter, N> weight[kPieces];
#pragma unroll
    for (int i = 0; i < kPieces; ++i) {
        const int column = (i * 32 + lane) * N;
        if (column < valueDim) {
            weight[i] = *reinterpret_cast<const Piece<Parameter, N>*>(static_cast<const Parameter*>(p.normWeight) + column);
            if (gate)
                z[i] = *reinterpret_cast<const Piece<T, N>*>(gate + column);
        }
    }
    waitForEarlierLaunches(); // for y: the other inputs are older than the step's kernel
    letNextLaunchStart();
    float sum = 0;
#pragma unroll
    for (int i = 0; i < kPieces; ++i)
        if ((i * 32 + lane) * N < valueDim)
            o[i] = *reinterpret_cast<const Piece<T, N>*>(y + (i * 32 + lane) * N);
#pragma unroll
    for (int i = 0; i < kPieces; ++i)
        if ((i * 32 + lane) * N < valueDim)
#pragma unroll
            for (int j = 0; j < N; ++j)
                sum += toFloat(o[i].x[j]) * toFloat(o[i].x[j]);
    const float inverse = rsqrtf(sumOverWarp(sum) / float(valueDim) + p.epsilon);
#pragma unroll
    for (int i = 0; i < kPieces; ++i)
        if ((i * 32 + lane) * N < valueDim) {
#pragma unroll
            for (int j = 0; j < N; ++j) {
                const float x = gate ? toFloat(z[i].x[j]) : 0.f, factor = toFloat(weight[i].x[j]) * (gate ? x / (1.f + expf(-x)) : 1.f);
                o[i].x[j] = fromFloat<T>(toFloat(o[i].x[j]) * inverse * factor);
            }
            *reinterpret_cast<Piece<T, N>*>(y + (i * 32 + lane) * N) = o[i];
        }
}

template <typename T, typename State>
__global__ void __launch_bounds__(kThreads, kBlocksAtOnce) stepKernel(RecurrentStep p, unsigned* tickets)
{
    constexpr int kWidth = kVector<State>, kLanes = kColumns / kWidth, kGroups = kThreads / kLanes;
    static_assert(kLanes < 32 && kColumns <= kThreads);
    POSTNAS_SHARED_MEMORY(memory);
    const int thread = int(threadIdx.x), lane = thread % 32, warp = thread / 32, group = thread / kLanes, keyDim = int(p.keyDim);
    State* const tile = reinterpret_cast<State*>(memory) + thread % kLanes * kWidth;
    float4* const rows = reinterpret_cast<float4*>(memory + keyDim * kColumns * int(sizeof(State)));
    Shared& s = *reinterpret_cast<Shared*>(rows + keyDim);
    const int slices = int((p.valueDim + kColumns - 1) / kColumns), slice = int(blockIdx.x) % slices, index = int(blockIdx.x) / slices;
    const int batch = index / int(p.heads), head = index % int(p.heads), shared = head / (int(p.heads) / int(p.groups));
    const int firstColumn = slice * kColumns, column = firstColumn + thread % kLanes * kWidth;
    const bool inside = column < p.valueDim;

    // The thread's rows are group, group + kGroups, ..; it reads back only what it copied itself, so no barrier follows.
    State* const state = static_cast<State*>(p.state) + index * p.keyDim * p.valueDim + column;
    if (gridDim.x <= kBlocksToPrefetch && inside && thread * kWidth % (kLineBytes / int(sizeof(State))) == 0)
        for (int row = group; row < keyDim; row += kGroups)
            prefetchLine(state + row * p.valueDim);
    waitForEarlierLaunches();
    letNextLaunchStart();

    // The token's numbers, asked for before the state: a key channel a thread, a value column each of the last threads.
    const int mine = thread - (kThreads - kColumns);
    Channel<T> forV(p.v, p.convolutionV, batch, p.groups * p.valueDim, shared * p.valueDim + firstColumn + mine,
                    mine >= 0 && firstColumn + mine < p.valueDim);
    const auto queryOf = [&](int i) { return Channel<T>(p.q, p.convolutionQ, batch, p.heads * p.keyDim, head * p.keyDim + i, i < keyDim); };
    const auto keyOf = [&](int i) { return Channel<T>(p.k, p.convolutionK, batch, p.groups * p.keyDim, shared * p.keyDim + i, i < keyDim); };
    Channel<T> firstQ = queryOf(thread), firstK = keyOf(thread);
    const Number firstGate = channelGate(p, batch, shared * p.keyDim + thread, thread < keyDim);
    const HeadGates<T> gates(p, batch, head);
    if (inside)
        for (int row = group; row < keyDim; row += kGroups)
            copyOnce16(tile + row * kColumns, state + row * p.valueDim);
    commitCopies();

    QueryAndKey<T, false> keys;
    if (thread < keyDim)
        rows[thread] = keys.row(p, firstQ, firstK, firstGate);
    for (int i = thread + kThreads; i < keyDim; i += kThreads) {
        Channel<T> forQ = queryOf(i), forK = keyOf(i);
        rows[i] = keys.row(p, forQ, forK, channelGate(p, batch, shared * p.keyDim + i, true));
    }
    if (thread == kThreads - 1) {
        s.decay = gates.decay(p.decay);
        s.beta = p.b.data ? gates.beta() : 1.f;
    }
    const float v = forV.template finish<true>();
    if (mine >= 0)
        s.values[mine] = p.siluValues ? silu<T>(v) : v;
    keys.sumTo(s.sums[warp], lane);
    __syncthreads();

    float forKey[kWidth] = {}, forQuery[kWidth] = {};
    waitCopies<0>();
    if (inside) {
#pragma unroll 4
        for (int row = group; row < keyDim; row += kGroups) {
            float x[kWidth];
            unpackState(x, *reinterpret_cast<const uint4*>(tile + row * kColumns));
            const float2 factors = *reinterpret_cast<const float2*>(&rows[row]);
#pragma unroll
            for (int j = 0; j < kWidth; ++j) {
                forQuery[j] += x[j] * factors.x;
                forKey[j] += x[j] * factors.y;
            }
        }
    }
#pragma unroll
    for (int j = 0; j < kWidth; ++j)
#pragma unroll
        for (int bit = 16; bit >= kLanes; bit >>= 1) {
            forKey[j] += __shfl_xor_sync(0xffffffffu, forKey[j], bit);
            forQuery[j] += __shfl_xor_sync(0xffffffffu, forQuery[j], bit);
        }
    if (lane < kLanes) {
#pragma unroll
        for (int j = 0; j < kWidth; ++j) {
            s.partial[0][warp][lane * kWidth + j] = forKey[j];
            s.partial[1][warp][lane * kWidth + j] = forQuery[j];
        }
    }
    __syncthreads();

    const KeyProducts products(p, s.sums);
    const bool delta = p.b.data != nullptr;
    float written[kWidth]; // beta (v - S^T k) times what makes k a unit vector
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
        const int at = thread % kLanes * kWidth + j;
        float u = s.values[at];
        if (delta) {
            float prediction = 0;
#pragma unroll
            for (int w = 0; w < kWarps; ++w)
                prediction += s.partial[0][w][at];
            u = s.beta * (u - products.unitK * s.decay * prediction);
        }
        written[j] = products.unitK * u;
    }
    if (thread < kColumns && firstColumn + thread < p.valueDim) {
        float prediction = 0, o = 0;
#pragma unroll
        for (int w = 0; w < kWarps; ++w) {
            prediction += s.partial[0][w][thread];
            o += s.partial[1][w][thread];
        }
        float u = s.values[thread];
        if (delta)
            u = s.beta * (u - products.unitK * s.decay * prediction);
        o = p.scale * products.unitQ * (s.decay * o + products.kq * products.unitK * u);
        static_cast<T*>(p.y)[index * p.valueDim + firstColumn + thread] = fromFloat<T>(o);
    }

    const bool keysMove = p.convolutionQ.kernels || p.convolutionK.kernels;
    if (keysMove) {
        __syncthreads();
        if (thread == 0) {
            s.last = true;
            if (slices > 1) {
                __threadfence();
                s.last = atomicAdd(tickets + index, 1u) == unsigned(slices - 1);
                __threadfence();
                if (s.last)
                    tickets[index] = 0;
            }
        }
    }

    if (inside) {
#pragma unroll 4
        for (int row = group; row < keyDim; row += kGroups) {
            float x[kWidth];
            unpackState(x, *reinterpret_cast<const uint4*>(tile + row * kColumns));
            const float2 factors = *(reinterpret_cast<const float2*>(&rows[row]) + 1);
            const float decay = s.decay * factors.y;
#pragma unroll
            for (int j = 0; j < kWidth; ++j)
                x[j] = decay * x[j] + factors.x * written[j];
            storeOnce(reinterpret_cast<uint4*>(state + row * p.valueDim), packState(x));
        }
    }

    if (!keysMove)
        return;
    __syncthreads();
    if (!s.last)
        return;
    // Every block of the head has read these histories by now.
    for (int i = thread; i < keyDim; i += kThreads) {
        if (p.convolutionQ.kernels)
            Channel<T>(p.q, p.convolutionQ, batch, p.heads * p.keyDim, head * p.keyDim + i, true).template finish<true>();
        if (p.convolutionK.kernels)
            Channel<T>(p.k, p.convolutionK, batch, p.groups * p.keyDim, shared * p.keyDim + i, true).template finish<true>();
    }
}

template <typename T, typename Parameter>
cudaError_t norm(const RecurrentStep& p, cudaStream_t stream)
{
    const auto aligned = [](const void* from, std::size_t bytes) { return reinterpret_cast<std::uintptr_t>(from) % bytes == 0; };
    const bool together = aligned(p.gate.data, 4 * sizeof(T)) && p.gate.stride % 4 == 0 && aligned(p.y, 4 * sizeof(T))
        && aligned(p.normWeight, 4 * sizeof(Parameter));
    const dim3 blocks(unsigned((p.batch * p.heads + kWarps - 1) / kWarps));
    return together ? launchOverlapped(normKernel<T, Parameter, 4>, blocks, dim3(kThreads), 0, stream, p)
                    : launchOverlapped(normKernel<T, Parameter, 1>, blocks, dim3(kThreads), 0, stream, p);
}

template <typename T, typename State>
cudaError_t step(const RecurrentStep& p, unsigned* tickets, cudaStream_t stream)
{
    const std::int64_t blocks = p.batch * p.heads * ((p.valueDim + kColumns - 1) / kColumns);
    const std::size_t bytes = std::size_t(p.keyDim) * (kColumns * sizeof(State) + sizeof(float4)) + sizeof(Shared);
    const cudaError_t code = launchOverlapped(stepKernel<T, State>, dim3(unsigned(blocks)), dim3(kThreads), bytes, stream, p, tickets);
    if (code != cudaSuccess || !p.normWeight)
        return code;
    return p.parameters == Element::BFloat16 ? norm<T, __nv_bfloat16>(p, stream) : norm<T, float>(p, stream);
}

template <typename T>
cudaError_t step(const RecurrentStep& p, unsigned* tickets, cudaStream_t stream)
{
    return p.stateElement == Element::BFloat16 ? step<T, __nv_bfloat16>(p, tickets, stream) : step<T, float>(p, tickets, stream);
}

bool known(Element element) { return element == Element::Float32 || element == Element::BFloat16; }

bool known(const StepConvolution& c, const RecurrentStep& p)
{
    return !c.kernels || (c.taps >= 1 && c.taps <= 1024 && (c.taps == 1 || c.history) && p.groups == p.heads);
}

} // namespace

bool recurrentStepCanTake(const RecurrentStep& p)
{
    const bool types = known(p.element) && known(p.gateElement) && known(p.parameters) && known(p.stateElement);
    const std::int64_t vector = p.stateElement == Element::BFloat16 ? 8 : 4;
    const bool sizes = p.batch >= 0 && p.heads >= 0 && p.groups > 0 && p.heads % p.groups == 0 && p.keyDim >= 1 && p.keyDim <= kMaxKeyDim
        && p.valueDim >= 1 && p.valueDim <= kMaxValueDim && p.valueDim % vector == 0
        && p.batch * p.heads * ((p.valueDim + kColumns - 1) / kColumns) < (std::int64_t(1) << 31);
    return types && sizes && reinterpret_cast<std::uintptr_t>(p.state) % 16 == 0 && known(p.convolutionQ, p) && known(p.convolutionK, p)
        && known(p.convolutionV, p) && (!p.gate.data || p.normWeight);
}

std::size_t recurrentStepWorkspace(const RecurrentStep& p) { return std::size_t(p.batch * p.heads) * sizeof(unsigned); }

cudaError_t launchRecurrentStep(const RecurrentStep& p, void* workspace, cudaStream_t stream)
{
    if (!recurrentStepCanTake(p))
        return cudaErrorInvalidValue;
    if (p.batch * p.heads == 0)
        return cudaSuccess;
    // For few heads the second launch is all that whole heads save.
    if ((p.normWeight || p.batch * p.heads >= kFewHeads) && headStepCanTake(p))
        return launchHeadStep(p, stream);
    unsigned* tickets = static_cast<unsigned*>(workspace);
    return p.element == Element::BFloat16 ? step<__nv_bfloat16>(p, tickets, stream) : step<float>(p, tickets, stream);
}

} // namespace postnas::ops::cuda
