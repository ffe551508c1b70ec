// What the token-by-token recurrence shares, forward and backward: a block owns 32 value columns of one head, a lane one column, and each of the 8
// warps a share of the key rows, so that the state stays in registers for the whole sequence.
#pragma once

#include "kernels/include/cuda_element.cuh"
#include "kernels/include/launch.cuh"
#include "kernels/include/recurrence_launch.h"

namespace postnas::ops::cuda::tokens {

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * 32;

/// What one token brings, shared by the block. Rows beyond the key width are zero and decay by one.
template <int Rows>
struct TokenRows {
    float q[kWarps * Rows], k[kWarps * Rows], removal[kWarps * Rows], decay[kWarps * Rows];
};

struct TokenValues {
    float q = 0, k = 0, removal = 0, decay = 1;
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
    out.removal = p.removalKey ? toFloat(static_cast<const T*>(p.removalKey)[index * p.keyDim + row]) : out.k;
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
        rows.removal[threadIdx.x] = values.removal;
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

/// Key rows of one warp for a key width.
inline int rowsFor(std::int64_t keyDim)
{
    for (const int rows : {4, 8, 16, 32})
        if (keyDim <= std::int64_t(rows) * kWarps)
            return rows;
    return 0;
}

inline bool empty(const RecurrenceProblem& p) { return p.batch * p.heads == 0 || p.keyDim == 0 || p.valueDim == 0; }

} // namespace postnas::ops::cuda::tokens
