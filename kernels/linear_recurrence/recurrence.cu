// The linear recurrence on CUDA, token by token.
#include "kernels/linear_recurrence/recurrence_tokens.cuh"

namespace postnas::ops::cuda {
namespace {

using namespace tokens;

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
            sum += state[i] * rows.removal[firstRow + i];
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

} // namespace postnas::ops::cuda
