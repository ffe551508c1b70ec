// One token of a recurrent block with a block for each whole head: convolutions, gates, the recurrence and the gated norm in one launch.
//
// The time is that of reading and writing the state once. It lies in one piece, so the copy engine fetches it: so many bytes are on their way
// that one or two blocks a multiprocessor keep the memory busy. All the small things are asked for before that, because behind the state they
// would come late. One sum over the rows is enough, because with S the decayed state  S'^T q = S^T q + (k.q) u.
#include <algorithm>

#include "kernels/decode/recurrent_paths.h"
#include "kernels/decode/recurrent_token.cuh"
#include "kernels/include/bulk_copy.cuh"
#include "kernels/include/hopper.cuh"

namespace postnas::ops::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / 32;
constexpr int kMaxSharedBytes = 227 * 1024; ///< of a block on compute capability 9.0
constexpr unsigned kBlocksToPrefetch = 160; ///< with more of them the memory is busy anyway

/// What a block holds beside the state [key, value], in this order:
///   float4 rows[key]: decay * q, decay * k, k, decay;  float values[value]: v, later what is written;  float factors[value]: of the norm;
///   float partial[groups][2][value]: S^T k and S^T q of each group of threads;  and this.
struct Shared {
    float squares[kWarps], sums[kWarps][3]; ///< of each warp: o.o; q.q, k.k, k.q
    float decay, beta;
    Arrival arrival;
};

/// Blocks that share a multiprocessor where the states are small enough: for 96 x 256 these are all.
template <typename State>
constexpr int kBlocksAtOnce = sizeof(State) == 2 ? 3 : 2;

template <typename T, typename State>
__global__ void __launch_bounds__(kThreads, kBlocksAtOnce<State>) headKernel(RecurrentStep p)
{
    constexpr int kWidth = kVector<State>;
    POSTNAS_SHARED_MEMORY(memory);
    const int thread = int(threadIdx.x), lane = thread % 32, warp = thread / 32, keyDim = int(p.keyDim), valueDim = int(p.valueDim);
    // The state's rows go round the groups; a thread has the same columns of all rows of its group.
    const int vectors = valueDim / kWidth, groups = kThreads / vectors, group = thread / vectors, column = thread % vectors * kWidth;
    const bool active = group < groups;
    const int heads = int(p.heads), index = int(blockIdx.x), batch = index / heads, head = index % heads, shared = head / (heads / int(p.groups));
    State* const tile = reinterpret_cast<State*>(memory);
    float4* const rows = reinterpret_cast<float4*>(tile + keyDim * valueDim);
    float* const values = reinterpret_cast<float*>(rows + keyDim);
    float* const factors = values + valueDim;
    float* const partial = factors + valueDim;
    Shared& s = *reinterpret_cast<Shared*>(partial + 2 * groups * valueDim);
    State* const state = static_cast<State*>(p.state) + std::int64_t(index) * keyDim * valueDim;

    // Each warp fetches a part of the state.
    const int pieces = keyDim * valueDim / kWidth, firstPiece = pieces * warp / kWarps;
    const unsigned bytes = unsigned(pieces * (warp + 1) / kWarps - firstPiece) * 16;
    if (thread == 0)
        makeArrival(&s.arrival, kWarps);
    if (gridDim.x <= kBlocksToPrefetch && lane == 0)
        prefetchPiece(state + firstPiece * kWidth, bytes);
    __syncthreads();
    waitForEarlierLaunches();
    letNextLaunchStart();

    const T* const gate = p.gate.data ? static_cast<const T*>(p.gate.data) + batch * p.gate.stride + head * valueDim : nullptr;
    const auto queryOf = [&](int i) { return Channel<T>(p.q, p.convolutionQ, batch, heads * keyDim, head * keyDim + i, i < keyDim); };
    const auto keyOf = [&](int i) { return Channel<T>(p.k, p.convolutionK, batch, p.groups * keyDim, shared * keyDim + i, i < keyDim); };
    const auto valueOf = [&](int i) { return Channel<T>(p.v, p.convolutionV, batch, p.groups * valueDim, shared * valueDim + i, i < valueDim); };
    const auto gateOf = [&](int i) { return gate && i < valueDim ? gate[i] : T(0.f); };
    const auto weightOf = [&](int i) { return Number(i < valueDim ? p.normWeight : nullptr, p.parameters, i); };
    const auto decayOf = [&](int i) { return channelGate(p, batch, shared * keyDim + i, i < keyDim); };
    Channel<T> firstV = valueOf(thread), firstQ = queryOf(thread), firstK = keyOf(thread);
    const T firstGate = gateOf(thread);
    const Number firstWeight = weightOf(thread), firstDecay = decayOf(thread);
    const HeadGates<T> gates(p, batch, head);
    __syncwarp();
    if (lane == 0)
        copyPiece(tile + firstPiece * kWidth, state + firstPiece * kWidth, bytes, &s.arrival);

    QueryAndKey<T, true> keys;
    const auto prepareValue = [&](int i, Channel<T>& forV, const Number& weight, T forGate) {
        const float x = toFloat(forGate), v = forV.template finish<true>();
        values[i] = p.siluValues ? silu<T>(v) : v;
        factors[i] = weight.value() * (gate ? x / (1.f + expf(-x)) : 1.f);
    };
    if (thread < keyDim)
        rows[thread] = keys.row(p, firstQ, firstK, firstDecay);
    if (thread < valueDim)
        prepareValue(thread, firstV, firstWeight, firstGate);
    for (int i = thread + kThreads; i < valueDim; i += kThreads) {
        Channel<T> forV = valueOf(i);
        prepareValue(i, forV, weightOf(i), gateOf(i));
    }
    if (thread == kThreads - 1) {
        s.decay = gates.decay(p.decay);
        s.beta = gates.beta();
    }
    keys.sumTo(s.sums[warp], lane);
    __syncthreads();

    waitTurn(&s.arrival, 0);
    if (active) {
        float forKey[kWidth] = {}, forQuery[kWidth] = {};
#pragma unroll 4
        for (int row = group; row < keyDim; row += groups) {
            float x[kWidth];
            unpackState(x, *reinterpret_cast<const uint4*>(tile + row * valueDim + column));
            const float2 two = *reinterpret_cast<const float2*>(&rows[row]);
#pragma unroll
            for (int j = 0; j < kWidth; ++j) {
                forQuery[j] += x[j] * two.x;
                forKey[j] += x[j] * two.y;
            }
        }
        float* const mine = partial + group * 2 * valueDim + column;
#pragma unroll
        for (int j = 0; j < kWidth; j += 4) {
            *reinterpret_cast<float4*>(mine + j) = make_float4(forKey[j], forKey[j + 1], forKey[j + 2], forKey[j + 3]);
            *reinterpret_cast<float4*>(mine + valueDim + j) = make_float4(forQuery[j], forQuery[j + 1], forQuery[j + 2], forQuery[j + 3]);
        }
    }
    const KeyProducts products(p, s.sums);
    __syncthreads();

    // What is written is beta (v - S^T k) times what makes k a unit vector.
    float squares = 0;
    for (int i = thread; i < valueDim; i += kThreads) {
        float prediction = 0, o = 0;
        for (int g = 0; g < groups; ++g) {
            prediction += partial[2 * g * valueDim + i];
            o += partial[(2 * g + 1) * valueDim + i];
        }
        const float u = p.b.data ? s.beta * (values[i] - products.unitK * s.decay * prediction) : values[i];
        values[i] = products.unitK * u;
        o = rounded<T>(p.scale * products.unitQ * (s.decay * o + products.kq * products.unitK * u));
        partial[valueDim + i] = o;
        squares += o * o;
    }
    squares = sumOverWarp(squares);
    if (lane == 0)
        s.squares[warp] = squares;
    __syncthreads();

    if (active) {
        float written[kWidth];
#pragma unroll
        for (int j = 0; j < kWidth; j += 4) {
            const float4 four = *reinterpret_cast<const float4*>(values + column + j);
            written[j] = four.x, written[j + 1] = four.y, written[j + 2] = four.z, written[j + 3] = four.w;
        }
#pragma unroll 4
        for (int row = group; row < keyDim; row += groups) {
            float x[kWidth];
            unpackState(x, *reinterpret_cast<const uint4*>(tile + row * valueDim + column));
            const float2 two = *(reinterpret_cast<const float2*>(&rows[row]) + 1);
            const float decay = s.decay * two.y;
#pragma unroll
            for (int j = 0; j < kWidth; ++j)
                x[j] = decay * x[j] + two.x * written[j];
            storeOnce(reinterpret_cast<uint4*>(state + row * valueDim + column), packState(x));
        }
    }
    squares = 0;
#pragma unroll
    for (int w = 0; w < kWarps; ++w)
        squares += s.squares[w];
    const float inverse = rsqrtf(squares / float(valueDim) + p.epsilon);
    T* const y = static_cast<T*>(p.y) + std::int64_t(index) * valueDim;
    for (int i = thread; i < valueDim; i += kThreads)
        y[i] = fromFloat<T>(p.normWeight ? partial[valueDim + i] * inverse * factors[i] : partial[valueDim + i]);
}

std::size_t sharedBytes(const RecurrentStep& p)
{
    const std::int64_t width = p.stateElement == Element::BFloat16 ? 8 : 4, groups = kThreads / std::max<std::int64_t>(p.valueDim / width, 1);
    return std::size_t(16 * p.keyDim * (p.valueDim / width + 1) + 4 * p.valueDim * (2 + 2 * groups)) + sizeof(Shared);
}

template <typename T, typename State>
cudaError_t headStep(const RecurrentStep& p, cudaStream_t stream)
{
    return launchOverlapped(headKernel<T, State>, dim3(unsigned(p.batch * p.heads)), dim3(kThreads), sharedBytes(p), stream, p);
}

template <typename T>
cudaError_t headStep(const RecurrentStep& p, cudaStream_t stream)
{
    return p.stateElement == Element::BFloat16 ? headStep<T, __nv_bfloat16>(p, stream) : headStep<T, float>(p, stream);
}

} // namespace

bool headStepCanTake(const RecurrentStep& p)
{
    const std::int64_t width = p.stateElement == Element::BFloat16 ? 8 : 4;
    // Each warp copies at least one vector.
    if (p.keyDim > kThreads || p.keyDim * p.valueDim < kWarps * width || p.valueDim > kThreads * width
        || sharedBytes(p) > std::size_t(kMaxSharedBytes))
        return false;
    return runsHopperCode(headKernel<float, float>);
}

cudaError_t launchHeadStep(const RecurrentStep& p, cudaStream_t stream)
{
    return p.element == Element::BFloat16 ? headStep<__nv_bfloat16>(p, stream) : headStep<float>(p, stream);
}

} // namespace postnas::ops::cuda
