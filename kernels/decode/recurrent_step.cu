// One token of a recurrent block: convolutions with their histories, gates and the recurrence in one launch, the gated norm in a small second.
//
// The time is that of reading and writing the state once. A block owns 64 value columns of one head with all key rows: it asks for all of
// them before anything else, into shared memory, so that few registers let many blocks wait at once. It prepares the token meanwhile, and
// needs one sum over the rows, because with S the decayed state  S'^T q = S^T q + (k.q) u.  The norm needs a whole head: a launch more
// costs less than blocks that wait for each other. Histories of keys are moved on by the block of a head that ends last.
#include <algorithm>

#include "kernels/include/cuda_element.cuh"
#include "kernels/include/decode_launch.h"
#include "kernels/include/overlap.cuh"
#include "kernels/include/tensor_core.cuh"

namespace postnas::ops::cuda {
namespace {

constexpr int kThreads = 128, kWarps = kThreads / 32;
constexpr int kBlocksAtOnce = 5;    ///< on a multiprocessor, at least; with more the compiler runs out of registers
constexpr int kColumns = 64;        ///< of a block
constexpr unsigned kBlocksToPrefetch = 640; ///< with more of them the memory is busy anyway
constexpr int kLineBytes = 128;     ///< of the caches
constexpr int kTapsAtOnce = 4;      ///< taps that are loaded together
constexpr int kValuesPerLane = 20; ///< of the norm
constexpr std::int64_t kMaxValueDim = kValuesPerLane * 32;

/// The state is seen once a token, so it should not push other things out of the caches.
__device__ __forceinline__ void storeOnce(uint4* to, uint4 x)
{
#ifdef POSTNAS_CUDA_EMULATION
    *to = x;
#else
    __stcs(to, x);
#endif
}

/// As copyAsync16, for what is seen once a token.
__device__ __forceinline__ void copyOnce16(void* to, const void* from)
{
#ifdef POSTNAS_CUDA_EMULATION
    copyAsync16(to, from, true);
#else
    std::uint64_t policy = 0;
    asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
    asm volatile("cp.async.cg.shared.global.L2::cache_hint [%0], [%1], 16, %2;" ::"r"(static_cast<std::uint32_t>(__cvta_generic_to_shared(to))),
                 "l"(from), "l"(policy)
                 : "memory");
#endif
}
template <typename State>
constexpr int kVector = 16 / int(sizeof(State));

__device__ __forceinline__ void unpackState(float (&x)[4], uint4 bits)
{
    x[0] = __uint_as_float(bits.x), x[1] = __uint_as_float(bits.y), x[2] = __uint_as_float(bits.z), x[3] = __uint_as_float(bits.w);
}
__device__ __forceinline__ void unpackState(float (&x)[8], uint4 bits)
{
    const std::uint32_t words[4] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const float2 pair = unpack<__nv_bfloat16>(words[i]);
        x[2 * i] = pair.x, x[2 * i + 1] = pair.y;
    }
}
__device__ __forceinline__ uint4 packState(const float (&x)[4])
{
    return make_uint4(__float_as_uint(x[0]), __float_as_uint(x[1]), __float_as_uint(x[2]), __float_as_uint(x[3]));
}
__device__ __forceinline__ uint4 packState(const float (&x)[8])
{
    return make_uint4(pack<__nv_bfloat16>(x[0], x[1]), pack<__nv_bfloat16>(x[2], x[3]), pack<__nv_bfloat16>(x[4], x[5]),
                      pack<__nv_bfloat16>(x[6], x[7]));
}

/// Element i of an array whose type is known at run time only: for the few numbers of a head.
__device__ __forceinline__ float numberAt(const void* from, Element element, std::int64_t i)
{
    return element == Element::BFloat16 ? toFloat(static_cast<const __nv_bfloat16*>(from)[i]) : static_cast<const float*>(from)[i];
}

template <typename T>
__device__ __forceinline__ float rounded(float x)
{
    return toFloat(fromFloat<T>(x));
}

template <typename T>
__device__ __forceinline__ float silu(float x)
{
    return rounded<T>(x / (1.f + expf(-x)));
}

/// Some neighbouring taps of one channel: inputs and kernel, zero beyond the last tap.
struct Taps {
    float input[kTapsAtOnce], kernel[kTapsAtOnce];
};

/// A channel of a projection and its convolution; without one a single tap of 1.
template <typename T>
class Channel {
public:
    __device__ __forceinline__ Channel(const TokenRows& rows, const StepConvolution& convolution, std::int64_t batch, std::int64_t channels,
                                       std::int64_t channel, bool valid)
        : m_convolved(convolution.kernels != nullptr), m_valid(valid), m_taps(m_convolved ? int(convolution.taps) : 1), m_channels(channels)
    {
        m_x = static_cast<const T*>(rows.data) + batch * rows.stride + channel;
        if (m_convolved) {
            m_kernel = static_cast<const T*>(convolution.kernels) + batch * convolution.kernelStride + channel * convolution.taps;
            m_history = static_cast<T*>(convolution.history) + batch * (convolution.taps - 1) * channels + channel;
        }
        load(0);
    }

    /// The convolution's output in the type of the projection. With `Shift` the history moves on: then this thread alone may read it.
    template <bool Shift>
    __device__ __forceinline__ float finish()
    {
        float sum = 0;
        for (int first = 0;; first += kTapsAtOnce) {
#pragma unroll
            for (int i = 0; i < kTapsAtOnce; ++i)
                sum += m_now.input[i] * m_now.kernel[i];
            if (Shift)
                shift(first);
            if (first + kTapsAtOnce >= m_taps)
                break;
            load(first + kTapsAtOnce);
        }
        return rounded<T>(sum);
    }

private:
    __device__ __forceinline__ void load(int first)
    {
#pragma unroll
        for (int i = 0; i < kTapsAtOnce; ++i) {
            const int tap = first + i;
            m_now.input[i] = m_now.kernel[i] = 0;
            if (m_valid && tap < m_taps) {
                m_now.kernel[i] = m_convolved ? toFloat(m_kernel[tap]) : 1.f;
                m_now.input[i] = toFloat(tap == m_taps - 1 ? *m_x : m_history[tap * m_channels]);
            }
        }
    }
    __device__ __forceinline__ void shift(int first)
    {
#pragma unroll
        for (int i = 0; i < kTapsAtOnce; ++i)
            if (m_valid && first + i > 0 && first + i < m_taps)
                m_history[(first + i - 1) * m_channels] = fromFloat<T>(m_now.input[i]);
    }

    bool m_convolved, m_valid;
    int m_taps;
    std::int64_t m_channels;
    const T* m_x;
    const T* m_kernel = nullptr;
    T* m_history = nullptr;
    Taps m_now;
};

/// exp(g) of what belongs to one head, 1 where the decay is another kind.
__device__ __forceinline__ float headDecay(const RecurrentStep& p, std::int64_t batch, std::int64_t head)
{
    if (p.decay == StepDecay::PerHead)
        return expf(numberAt(p.g.data, p.gateElement, batch * p.g.stride + head));
    if (p.decay != StepDecay::PerHeadFromRaw)
        return 1.f;
    const float x = numberAt(p.g.data, p.gateElement, batch * p.g.stride + head) + numberAt(p.dtBias, p.parameters, head);
    const float softplus = x > 20.f ? x : log1pf(expf(x));
    return expf(-expf(numberAt(p.aLog, p.parameters, head)) * softplus);
}

/// exp(g) of one key channel, 1 where the decay is another kind.
__device__ __forceinline__ float channelDecay(const RecurrentStep& p, std::int64_t batch, std::int64_t channel)
{
    if (p.decay != StepDecay::PerChannel && p.decay != StepDecay::PerChannelFromLogits)
        return 1.f;
    const float x = numberAt(p.g.data, p.gateElement, batch * p.g.stride + channel);
    return expf(p.decay == StepDecay::PerChannel ? x : (fminf(x, 0.f) - log1pf(expf(-fabsf(x)))) / p.gateNormalizer);
}

/// Beside the block's part of the state, [key, 64], and a float4 for each key channel: decay * q, decay * k, k, decay.
struct Shared {
    float partial[2][kWarps][kColumns]; ///< S^T k and S^T q
    float values[kColumns];
    float sums[kWarps][3]; ///< q.q, k.k, k.q
    float decay, beta;
    bool last;
};

__device__ __forceinline__ float sumOverWarp(float x)
{
#pragma unroll
    for (int bit = 16; bit > 0; bit >>= 1)
        x += __shfl_xor_sync(0xffffffffu, x, bit);
    return x;
}

/// The gated norm of heads whose o lies in y, a warp each.
template <typename T>
__global__ void __launch_bounds__(kThreads) normKernel(RecurrentStep p)
{
    const std::int64_t row = std::int64_t(blockIdx.x) * kWarps + threadIdx.x / 32;
    const int lane = int(threadIdx.x) % 32, valueDim = int(p.valueDim);
    if (row >= p.batch * p.heads)
        return;
    T* const y = static_cast<T*>(p.y) + row * valueDim;
    const T* const gate = p.gate.data ? static_cast<const T*>(p.gate.data) + row / p.heads * p.gate.stride + row % p.heads * valueDim : nullptr;
    float o[kValuesPerLane], factor[kValuesPerLane], sum = 0;
#pragma unroll
    for (int i = 0; i < kValuesPerLane; ++i) {
        const int column = i * 32 + lane;
        factor[i] = column < valueDim ? numberAt(p.normWeight, p.parameters, column) : 0.f;
        if (column < valueDim && gate) {
            const float x = toFloat(gate[column]);
            factor[i] *= x / (1.f + expf(-x));
        }
    }
    waitForEarlierLaunches(); // for y: the other inputs are older than the step's kernel
    letNextLaunchStart();
#pragma unroll
    for (int i = 0; i < kValuesPerLane; ++i) {
        const int column = i * 32 + lane;
        o[i] = column < valueDim ? toFloat(y[column]) : 0.f;
        sum += o[i] * o[i];
    }
    const float inverse = rsqrtf(sumOverWarp(sum) / float(valueDim) + p.epsilon);
#pragma unroll
    for (int i = 0; i < kValuesPerLane; ++i)
        if (i * 32 + lane < valueDim)
            y[i * 32 + lane] = fromFloat<T>(o[i] * inverse * factor[i]);
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
    const int batch = index / int(p.heads), head = index % int(p.heads), shared = head / int(p.heads / p.groups);
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
    if (inside)
        for (int row = group; row < keyDim; row += kGroups)
            copyOnce16(tile + row * kColumns, state + row * p.valueDim);
    commitCopies();

    float qq = 0, kk = 0, kq = 0;
    const auto prepare = [&](int i, Channel<T>& forQ, Channel<T>& forK) {
        const float decay = channelDecay(p, batch, shared * p.keyDim + i);
        float q = forQ.template finish<false>(), k = forK.template finish<false>();
        if (p.siluKeys) {
            q = silu<T>(q);
            k = silu<T>(k);
        }
        rows[i] = make_float4(decay * q, decay * k, k, decay);
        qq += q * q;
        kk += k * k;
        kq += k * q;
    };
    if (thread < keyDim)
        prepare(thread, firstQ, firstK);
    for (int i = thread + kThreads; i < keyDim; i += kThreads) {
        Channel<T> forQ = queryOf(i), forK = keyOf(i);
        prepare(i, forQ, forK);
    }
    if (thread == kThreads - 1) {
        s.decay = headDecay(p, batch, head);
        s.beta = p.b.data ? 1.f / (1.f + expf(-toFloat(static_cast<const T*>(p.b.data)[batch * p.b.stride + head]))) : 1.f;
    }
    const float v = forV.template finish<true>();
    if (mine >= 0)
        s.values[mine] = p.siluValues ? silu<T>(v) : v;
    qq = sumOverWarp(qq), kk = sumOverWarp(kk), kq = sumOverWarp(kq);
    if (lane == 0) {
        s.sums[warp][0] = qq;
        s.sums[warp][1] = kk;
        s.sums[warp][2] = kq;
    }
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

    float sums[3] = {};
#pragma unroll
    for (int w = 0; w < kWarps; ++w)
#pragma unroll
        for (int i = 0; i < 3; ++i)
            sums[i] += s.sums[w][i];
    const float unitQ = p.unitLength ? rsqrtf(sums[0] + 1e-6f) : 1.f, unitK = p.unitLength ? rsqrtf(sums[1] + 1e-6f) : 1.f;
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
            u = s.beta * (u - unitK * s.decay * prediction);
        }
        written[j] = unitK * u;
    }
    if (thread < kLanes && inside) {
        T* y = static_cast<T*>(p.y) + index * p.valueDim + column;
#pragma unroll
        for (int j = 0; j < kWidth; ++j) {
            float o = 0;
#pragma unroll
            for (int w = 0; w < kWarps; ++w)
                o += s.partial[1][w][thread * kWidth + j];
            y[j] = fromFloat<T>(p.scale * unitQ * (s.decay * o + sums[2] * written[j]));
        }
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

template <typename T, typename State>
cudaError_t step(const RecurrentStep& p, unsigned* tickets, cudaStream_t stream)
{
    const std::int64_t blocks = p.batch * p.heads * ((p.valueDim + kColumns - 1) / kColumns);
    const std::size_t bytes = std::size_t(p.keyDim) * (kColumns * sizeof(State) + sizeof(float4)) + sizeof(Shared);
    const cudaError_t code = launchOverlapped(stepKernel<T, State>, dim3(unsigned(blocks)), dim3(kThreads), bytes, stream, p, tickets);
    if (code != cudaSuccess || !p.normWeight)
        return code;
    return launchOverlapped(normKernel<T>, dim3(unsigned((p.batch * p.heads + kWarps - 1) / kWarps)), dim3(kThreads), 0, stream, p);
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
    unsigned* tickets = static_cast<unsigned*>(workspace);
    return p.element == Element::BFloat16 ? step<__nv_bfloat16>(p, tickets, stream) : step<float>(p, tickets, stream);
}

} // namespace postnas::ops::cuda
