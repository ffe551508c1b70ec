// Gradients of the linear recurrence on CUDA, token by token: states are kept at checkpoints and made again in between.
#include <algorithm>
#include <cmath>

#include "kernels/linear_recurrence/recurrence_tokens.cuh"

namespace postnas::ops::cuda {
namespace {

using namespace tokens;

constexpr int kMaxChunk = 64; ///< tokens between two checkpoints of the backward pass, at most

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
        sum += state[i] * s.rows.removal[firstRow + i];
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
template <int Rows, bool Delta, bool Removal>
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
    [[maybe_unused]] float forRemoval[Removal ? Rows : 1];
    if (Delta) {
#pragma unroll
        for (int i = 0; i < Rows; ++i) {
            gradState[i] -= s.rows.removal[firstRow + i] * gradV;
            if constexpr (Removal)
                forRemoval[i] = -decayed[i] * gradV;
            else
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
    if constexpr (Removal) {
        const float gradRemoval = sumRowsOverLanes<Rows>(forRemoval, lane);
        if (writes)
            accumulate(grad.removalKey + index * p.keyDim + row, gradRemoval, firstTile);
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

template <int Rows, bool Delta, bool Removal>
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
                    backwardToken<Rows, Delta, Removal>(p, grad, s, gradState, states + j * plan.stateFloats, s.error[j][lane],
                                               tokenIndex(p, head, first + j), column, tile == 0, lane, warp);
                __syncthreads();
            }
            if (grad.initialState)
                storeState<Rows>(gradState, grad.initialState, p, head, firstRow, column);
        }
    }
}

template <int Rows>
cudaError_t backward(const RecurrenceProblem& p, const RecurrenceGradients& grad, float* workspace, int multiprocessors, cudaStream_t stream)
{
    const BackwardPlan chosen = plan(p, Rows, multiprocessors);
    const auto kernel = !p.beta ? backwardKernel<Rows, false, false>
        : p.removalKey          ? backwardKernel<Rows, true, true>
                                : backwardKernel<Rows, true, false>;
    return launch(kernel, dim3(unsigned(chosen.blocks)), dim3(kThreads), 0, stream, p, grad, workspace, chosen);
}

} // namespace

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
