// The linear recurrence on CUDA, token by token: a block owns 32 value columns of one head, a lane one column, and each of
// the 8 warps a share of the key rows, so that the state stays in registers for the whole sequence.
#include <algorithm>
#include <cmath>

#include "kernels/include/cuda_element.cuh"
#include "kernels/include/launch.cuh"
#include "kernels/include/recurrence_launch.h"

namespace postnas::ops::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * 32;
constexpr int kMaxChunk = 64; ///< tokens between two checkpoints of the backward pass, at most

/// What one token brings, shared by the block. Rows beyond the key width are zero and decay by one.
template <int Rows>
struct TokenRows {
    float q[kWarps * Rows], k[kWarps * Rows], decay[kWarps * Rows];
};

struct TokenValues {
    float q = 0, k = 0, decay = 1;
};

/// The thread's row of token `index`; thread i reads row i.
template <typename T>
__device__ __forceinline__ TokenValues readRow(const RecurrenceProblem& p, std::int64_t index, int row)
{
    TokenValues out;
    if (row >= p.keyDim)
        return out;
    out.q = toFloat(static_cast<const T*>(p.q)[index * p.keyDim + row]);
    out.k = toFloat(static_cast<const T*>(p.k)[index * p.keyDim + row]);
    if (p.g)
        out.decay = expf(p.gatePerChannel ? p.g[index * p.keyDim + row] : p.g[index]);
    return out;
}

template <int Rows>
__device__ __forceinline__ void shareRow(TokenRows<Rows>& rows, const TokenValues& values)
{
    if (threadIdx.x < kWarps * Rows) {
        rows.q[threadIdx.x] = values.q;
        rows.k[threadIdx.x] = values.k;
        rows.decay[threadIdx.x] = values.decay;
    }
}

/// The sum over the warps of one number a lane.
__device__ __forceinline__ float sumOverWarps(const float (&partial)[kWarps][32], int lane)
{
    float sum = 0;
#pragma unroll
    for (int w = 0; w < kWarps; ++w)
        sum += partial[w][lane];
    return sum;
}

__device__ __forceinline__ float sumOverLanes(float x)
{
#pragma unroll
    for (int bit = 16; bit > 0; bit >>= 1)
        x += __shfl_xor_sync(0xffffffffu, x, bit);
    return x;
}

/// One round of the exchange below: lanes that differ in bit Step keep one half of the rows each.
template <int Step, int Rows>
__device__ __forceinline__ void exchangeHalves(float (&x)[Rows], int lane)
{
    if constexpr (Step > 0) {
        const bool upper = (lane & Step) != 0;
#pragma unroll
        for (int i = 0; i < Step; ++i) {
            const float send = upper ? x[i] : x[i + Step];
            const float keep = upper ? x[i + Step] : x[i];
            x[i] = keep + __shfl_xor_sync(0xffffffffu, send, Step);
        }
        exchangeHalves<Step / 2>(x, lane);
    }
}

/// Sums each of the Rows numbers over the 32 lanes; lane l returns the sum of row l % Rows. Exchanging halves costs Rows - 1
/// shuffles where separate sums would cost 5 * Rows. Destroys x.
template <int Rows>
__device__ __forceinline__ float sumRowsOverLanes(float (&x)[Rows], int lane)
{
    exchangeHalves<Rows / 2>(x, lane);
#pragma unroll
    for (int bit = Rows; bit < 32; bit <<= 1)
        x[0] += __shfl_xor_sync(0xffffffffu, x[0], bit);
    return x[0];
}

template <int Rows>
__device__ __forceinline__ void loadState(float (&state)[Rows], const float* states, const RecurrenceProblem& p, std::int64_t head,
                                          int firstRow, std::int64_t column)
{
#pragma unroll
    for (int i = 0; i < Rows; ++i) {
        const bool inside = states && firstRow + i < p.keyDim && column < p.valueDim;
        state[i] = inside ? states[(head * p.keyDim + firstRow + i) * p.valueDim + column] : 0.f;
    }
}

template <int Rows>
__device__ __forceinline__ void storeState(const float (&state)[Rows], float* states, const RecurrenceProblem& p, std::int64_t head,
                                           int firstRow, std::int64_t column)
{
#pragma unroll
    for (int i = 0; i < Rows; ++i)
        if (firstRow + i < p.keyDim && column < p.valueDim)
            states[(head * p.keyDim + firstRow + i) * p.valueDim + column] = state[i];
}

/// Position of token t of head `head` (batch * heads + head) among [batch, length, heads].
__device__ __forceinline__ std::int64_t tokenIndex(const RecurrenceProblem& p, std::int64_t head, std::int64_t t)
{
    return ((head / p.heads) * p.length + t) * p.heads + head % p.heads;
}

template <typename T, int Rows, bool Delta>
__global__ void __launch_bounds__(kThreads) forwardKernel(RecurrenceProblem p, T* o, float* finalState)
{
    __shared__ TokenRows<Rows> shared[2];
    __shared__ float prediction[kWarps][32];
    __shared__ float output[2][kWarps][32];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, firstRow = warp * Rows;
    const std::int64_t head = blockIdx.x, column = std::int64_t(blockIdx.y) * 32 + lane;
    const bool inside = column < p.valueDim;

    float state[Rows];
    loadState<Rows>(state, p.initialState, p, head, firstRow, column);
    TokenValues next;
    float nextValue = 0, nextBeta = 1;
    const auto prefetch = [&](std::int64_t t) {
        const std::int64_t index = tokenIndex(p, head, t);
        next = readRow<T>(p, index, threadIdx.x);
        nextValue = inside ? toFloat(static_cast<const T*>(p.v)[index * p.valueDim + column]) : 0.f;
        if (Delta)
            nextBeta = p.beta[index];
    };
    if (p.length > 0)
        prefetch(0);
    for (std::int64_t t = 0; t < p.length; ++t) {
        TokenRows<Rows>& rows = shared[t % 2];
        shareRow<Rows>(rows, next);
        float u = nextValue;
        const float beta = nextBeta;
        __syncthreads();
        if (t + 1 < p.length)
            prefetch(t + 1);
        float sum = 0;
#pragma unroll
        for (int i = 0; i < Rows; ++i) {
            state[i] *= rows.decay[firstRow + i];
            sum += state[i] * rows.k[firstRow + i];
        }
        if (Delta) {
            prediction[warp][lane] = sum;
            __syncthreads();
            u = beta * (u - sumOverWarps(prediction, lane));
        }
        sum = 0;
#pragma unroll
        for (int i = 0; i < Rows; ++i) {
            state[i] += rows.k[firstRow + i] * u;
            sum += state[i] * rows.q[firstRow + i];
        }
        output[t % 2][warp][lane] = sum;
        __syncthreads();
        if (warp == 0 && inside)
            o[tokenIndex(p, head, t) * p.valueDim + column] = fromFloat<T>(p.scale * sumOverWarps(output[t % 2], lane));
    }
    storeState<Rows>(state, finalState, p, head, firstRow, column);
}

/// Scratch of one block: checkpoints every `chunk` tokens and the states inside one chunk, each [8 * Rows, 32].
struct BackwardPlan {
    std::int64_t chunk, chunks, blocks, stateFloats;
};

BackwardPlan plan(const RecurrenceProblem& p, int rows, int multiprocessors)
{
    BackwardPlan out;
    out.chunk = std::clamp<std::int64_t>(std::int64_t(std::ceil(std::sqrt(double(p.length)))), 16, kMaxChunk);
    out.chunks = (p.length + out.chunk - 1) / out.chunk;
    out.blocks = std::min<std::int64_t>(p.batch * p.heads, 2 * std::int64_t(multiprocessors));
    out.stateFloats = std::int64_t(kWarps) * rows * 32;
    return out;
}

template <int Rows>
struct BackwardShared {
    TokenRows<Rows> rows;
    float partial[kWarps][32];
    float error[kMaxChunk][32]; ///< v minus the prediction (or v) of each token of the chunk
    float gate[kWarps];
};

/// Advances the state by token `index`; the token's error goes to `error` of every thread.
template <int Rows, bool Delta>
__device__ __forceinline__ float step(const RecurrenceProblem& p, BackwardShared<Rows>& s, float (&state)[Rows], std::int64_t index,
                                      std::int64_t column, int lane, int warp)
{
    __syncthreads();
    shareRow<Rows>(s.rows, readRow<float>(p, index, threadIdx.x));
    float error = column < p.valueDim ? static_cast<const float*>(p.v)[index * p.valueDim + column] : 0.f;
    __syncthreads();
    const int firstRow = warp * Rows;
    float sum = 0;
#pragma unroll
    for (int i = 0; i < Rows; ++i) {
        state[i] *= s.rows.decay[firstRow + i];
        sum += state[i] * s.rows.k[firstRow + i];
    }
    float u = error;
    if (Delta) {
        s.partial[warp][lane] = sum;
        __syncthreads();
        error -= sumOverWarps(s.partial, lane);
        u = p.beta[index] * error;
    }
#pragma unroll
    for (int i = 0; i < Rows; ++i)
        state[i] += s.rows.k[firstRow + i] * u;
    return error;
}

/// Writes, or adds to what earlier column tiles of the same block wrote.
__device__ __forceinline__ void accumulate(float* to, float value, bool first)
{
    *to = first ? value : *to + value;
}

/// The gradients of one token; `gradState` enters as dL/dS_t of later tokens and leaves as dL/dS_{t-1}.
template <int Rows, bool Delta>
__device__ __forceinline__ void backwardToken(const RecurrenceProblem& p, const RecurrenceGradients& grad, BackwardShared<Rows>& s,
                                              float (&gradState)[Rows], const float* before, float error, std::int64_t index,
                                              std::int64_t column, bool firstTile, int lane, int warp)
{
    const int firstRow = warp * Rows;
    const bool inside = column < p.valueDim;
    __syncthreads();
    shareRow<Rows>(s.rows, readRow<float>(p, index, threadIdx.x));
    const float gradO = grad.gradO && inside ? p.scale * grad.gradO[index * p.valueDim + column] : 0.f;
    const float beta = Delta ? p.beta[index] : 1.f;
    const float u = beta * error;
    __syncthreads();

    float forQ[Rows], forK[Rows], decayed[Rows];
    float gradU = 0;
#pragma unroll
    for (int i = 0; i < Rows; ++i) {
        const float k = s.rows.k[firstRow + i];
        decayed[i] = s.rows.decay[firstRow + i] * before[(firstRow + i) * 32 + lane];
        gradState[i] += s.rows.q[firstRow + i] * gradO;
        forQ[i] = (decayed[i] + k * u) * gradO;
        forK[i] = gradState[i] * u;
        gradU += k * gradState[i];
    }
    s.partial[warp][lane] = gradU;
    __syncthreads();
    gradU = sumOverWarps(s.partial, lane);
    const float gradV = beta * gradU;
    if (Delta) {
#pragma unroll
        for (int i = 0; i < Rows; ++i) {
            gradState[i] -= s.rows.k[firstRow + i] * gradV;
            forK[i] -= decayed[i] * gradV;
        }
    }
    float gate = 0;
#pragma unroll
    for (int i = 0; i < Rows; ++i) {
        decayed[i] *= gradState[i]; // from here the gradient of the log decay, row by row
        gate += decayed[i];
        gradState[i] *= s.rows.decay[firstRow + i];
    }
    if (warp == 0) {
        if (inside)
            grad.v[index * p.valueDim + column] = gradV;
        if (Delta) {
            const float gradBeta = sumOverLanes(gradU * error);
            if (lane == 0)
                accumulate(grad.beta + index, gradBeta, firstTile);
        }
    }
    const int row = firstRow + lane % Rows;
    const bool writes = lane < Rows && row < p.keyDim;
    const float gradQ = sumRowsOverLanes<Rows>(forQ, lane), gradK = sumRowsOverLanes<Rows>(forK, lane);
    if (writes) {
        accumulate(grad.q + index * p.keyDim + row, gradQ, firstTile);
        accumulate(grad.k + index * p.keyDim + row, gradK, firstTile);
    }
    if (p.g && p.gatePerChannel) {
        const float gradG = sumRowsOverLanes<Rows>(decayed, lane);
        if (writes)
            accumulate(grad.g + index * p.keyDim + row, gradG, firstTile);
    } else if (p.g) {
        gate = sumOverLanes(gate);
        if (lane == 0)
            s.gate[warp] = gate;
        __syncthreads();
        if (threadIdx.x == 0) {
            gate = 0;
            for (int w = 0; w < kWarps; ++w)
                gate += s.gate[w];
            accumulate(grad.g + index, gate, firstTile);
        }
    }
}

template <int Rows, bool Delta>
__global__ void __launch_bounds__(kThreads) backwardKernel(RecurrenceProblem p, RecurrenceGradients grad, float* workspace, BackwardPlan plan)
{
    __shared__ BackwardShared<Rows> s;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, firstRow = warp * Rows;
    float* checkpoints = workspace + std::int64_t(blockIdx.x) * (plan.chunks + plan.chunk) * plan.stateFloats;
    float* states = checkpoints + plan.chunks * plan.stateFloats;
    // Each thread reads back only what it wrote itself, so these need no barrier.
    const auto save = [&](float* to, const float(&state)[Rows]) {
#pragma unroll
        for (int i = 0; i < Rows; ++i)
            to[(firstRow + i) * 32 + lane] = state[i];
    };
    const std::int64_t tiles = (p.valueDim + 31) / 32;
    // One block does all column tiles of a head in turn: the sums over columns then need no atomics and repeat exactly.
    for (std::int64_t head = blockIdx.x; head < p.batch * p.heads; head += gridDim.x) {
        for (std::int64_t tile = 0; tile < tiles; ++tile) {
            const std::int64_t column = tile * 32 + lane;
            float state[Rows], gradState[Rows];
            loadState<Rows>(state, p.initialState, p, head, firstRow, column);
            for (std::int64_t t = 0; t < p.length; ++t) {
                if (t % plan.chunk == 0)
                    save(checkpoints + t / plan.chunk * plan.stateFloats, state);
                if (t < (plan.chunks - 1) * plan.chunk)
                    step<Rows, Delta>(p, s, state, tokenIndex(p, head, t), column, lane, warp);
            }
            loadState<Rows>(gradState, grad.gradFinalState, p, head, firstRow, column);
            for (std::int64_t c = plan.chunks - 1; c >= 0; --c) {
                const std::int64_t first = c * plan.chunk;
                const int count = int(min(plan.chunk, p.length - first));
#pragma unroll
                for (int i = 0; i < Rows; ++i)
                    state[i] = checkpoints[c * plan.stateFloats + (firstRow + i) * 32 + lane];
                for (int j = 0; j < count; ++j) {
                    save(states + j * plan.stateFloats, state);
                    const float error = step<Rows, Delta>(p, s, state, tokenIndex(p, head, first + j), column, lane, warp);
                    if (warp == 0)
                        s.error[j][lane] = error;
                }
                __syncthreads();
                for (int j = count - 1; j >= 0; --j)
                    backwardToken<Rows, Delta>(p, grad, s, gradState, states + j * plan.stateFloats, s.error[j][lane],
                                               tokenIndex(p, head, first + j), column, tile == 0, lane, warp);
                __syncthreads();
            }
            if (grad.initialState)
                storeState<Rows>(gradState, grad.initialState, p, head, firstRow, column);
        }
    }
}

/// Key rows of one warp for a key width.
int rowsFor(std::int64_t keyDim)
{
    for (const int rows : {4, 8, 16, 32})
        if (keyDim <= std::int64_t(rows) * kWarps)
            return rows;
    return 0;
}

template <typename T, int Rows>
cudaError_t forward(const RecurrenceProblem& p, void* o, float* finalState, cudaStream_t stream)
{
    const dim3 grid(unsigned(p.batch * p.heads), unsigned((p.valueDim + 31) / 32));
    return launch(p.beta ? forwardKernel<T, Rows, true> : forwardKernel<T, Rows, false>, grid, dim3(kThreads), 0, stream, p, static_cast<T*>(o),
                  finalState);
}

template <typename T>
cudaError_t forward(const RecurrenceProblem& p, void* o, float* finalState, cudaStream_t stream)
{
    switch (rowsFor(p.keyDim)) {
    case 4: return forward<T, 4>(p, o, finalState, stream);
    case 8: return forward<T, 8>(p, o, finalState, stream);
    case 16: return forward<T, 16>(p, o, finalState, stream);
    case 32: return forward<T, 32>(p, o, finalState, stream);
    default: return cudaErrorInvalidValue;
    }
}

template <int Rows>
cudaError_t backward(const RecurrenceProblem& p, const RecurrenceGradients& grad, float* workspace, int multiprocessors, cudaStream_t stream)
{
    const BackwardPlan chosen = plan(p, Rows, multiprocessors);
    return launch(p.beta ? backwardKernel<Rows, true> : backwardKernel<Rows, false>, dim3(unsigned(chosen.blocks)), dim3(kThreads), 0, stream, p,
                  grad, workspace, chosen);
}

bool empty(const RecurrenceProblem& p) { return p.batch * p.heads == 0 || p.keyDim == 0 || p.valueDim == 0; }

} // namespace

cudaError_t launchRecurrenceForward(const RecurrenceProblem& p, void* o, float* finalState, cudaStream_t stream)
{
    if (empty(p))
        return cudaSuccess;
    switch (p.element) {
    case Element::Float32: return forward<float>(p, o, finalState, stream);
    case Element::Float16: return forward<__half>(p, o, finalState, stream);
    case Element::BFloat16: return forward<__nv_bfloat16>(p, o, finalState, stream);
    }
    return cudaErrorInvalidValue;
}

std::size_t recurrenceBackwardWorkspace(const RecurrenceProblem& p, int multiprocessors)
{
    const BackwardPlan chosen = plan(p, rowsFor(p.keyDim), multiprocessors);
    return std::size_t(chosen.blocks * (chosen.chunks + chosen.chunk) * chosen.stateFloats) * sizeof(float);
}

cudaError_t launchRecurrenceBackward(const RecurrenceProblem& p, const RecurrenceGradients& grad, void* workspace, int multiprocessors,
                                     cudaStream_t stream)
{
    if (empty(p))
        return cudaSuccess;
    if (p.element != Element::Float32)
        return cudaErrorInvalidValue;
    float* scratch = static_cast<float*>(workspace);
    switch (rowsFor(p.keyDim)) {
    case 4: return backward<4>(p, grad, scratch, multiprocessors, stream);
    case 8: return backward<8>(p, grad, scratch, multiprocessors, stream);
    case 16: return backward<16>(p, grad, scratch, multiprocessors, stream);
    case 32: return backward<32>(p, grad, scratch, multiprocessors, stream);
    default: return cudaErrorInvalidValue;
    }
}

} // namespace postnas::ops::cuda
