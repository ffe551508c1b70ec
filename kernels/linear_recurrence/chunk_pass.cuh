// What the passes over the chunks share, forward and backward: a warp owns 16 value columns of one head and keeps their part of the state, or of
// its gradient, transposed, in registers; tiles of two chunks take turns in shared memory.
#pragma once

#include "kernels/linear_recurrence/chunk.cuh"

namespace postnas::ops::cuda::chunk {

/// One chunk's tiles in shared memory; two of these take turns. Queries: with those that outputs need, the queries and A.
template <int Key, bool Delta, bool PerChannel, int Warps, bool Queries = true>
struct Stage {
    static constexpr bool kTwoKeys = Delta && PerChannel; ///< exp(G) k and exp(G_C - G) k differ from k itself
    static constexpr int kKeyStride = Key + 8, kValueStride = 16 * Warps + 8;
    static constexpr int kKeyTile = kTokens * kKeyStride * 2, kSquare = kTokens * kSquareStride * 2;
    static constexpr int kQuery = 0, kKeyOut = Queries ? kKeyTile : 0, kKeyIn = kKeyOut + (kTwoKeys ? kKeyTile : 0),
                         kValue = kKeyIn + kKeyTile, kAttention = kValue + kTokens * kValueStride * 2,
                         kInverse = kAttention + (Queries ? kSquare : 0), kGates = kInverse + (Delta ? kSquare : 0),
                         kDecay = kGates + 4 * kTokens * 4, kBytes = kDecay + (PerChannel ? Key * 4 : 0);
};

/// Blocks of the same sequence and head are neighbours, so that they find the tiles they share in the cache.
template <int Warps>
__host__ __device__ inline int columnBlocks(const RecurrenceProblem& p)
{
    return int((p.valueDim + 16 * Warps - 1) / (16 * Warps));
}
template <int Warps>
dim3 passGrid(const RecurrenceProblem& p)
{
    return dim3(unsigned(sequenceCount(p) * columnBlocks<Warps>(p)), unsigned(p.heads));
}

template <int Key, bool Delta, bool PerChannel, int Warps, bool Queries = true>
class Pass {
public:
    using S = Stage<Key, Delta, PerChannel, Warps, Queries>;
    static constexpr int kThreads = Warps * 32;

    __device__ Pass(const RecurrenceProblem& problem, const Scratch& scratchArrays, unsigned char* shared)
        : p(problem), scratch(scratchArrays), stages(shared), sequenceIndex(blockIdx.x / columnBlocks<Warps>(problem)),
          head(blockIdx.y), firstColumn(int(blockIdx.x) % columnBlocks<Warps>(problem) * 16 * Warps), warp(int(threadIdx.x) / 32),
          r(int(threadIdx.x) % 32 / 4), c(int(threadIdx.x) % 4 * 2), sequence(sequenceAt(problem, sequenceIndex))
    {
    }

protected:
    __device__ std::int64_t chunkTotal() const { return (sequence.length + kTokens - 1) / kTokens; }
    __device__ unsigned char* stage(std::int64_t chunk) const { return stages + chunk % 2 * S::kBytes; }
    __device__ Element16* tile(std::int64_t chunk, int offset) const { return reinterpret_cast<Element16*>(stage(chunk) + offset); }
    __device__ std::int64_t slot(std::int64_t chunk) const { return (sequence.firstChunk + chunk) * p.heads + head; }
    __device__ int rowsOf(std::int64_t chunk) const { return int(min(std::int64_t(kTokens), sequence.length - chunk * kTokens)); }

    /// Starts the copies of a chunk; `columns` is v or the gradient of o, [token, head, value].
    __device__ void copy(std::int64_t chunk, const void* columns)
    {
        const int rows = rowsOf(chunk), keys = int(p.keyDim);
        const std::int64_t token = sequence.first + chunk * kTokens, keyStride = p.heads * p.keyDim, valueStride = p.heads * p.valueDim;
        const std::int64_t keyOffset = (token * p.heads + head) * p.keyDim;
        const Element16* queries = PerChannel ? scratch.queryIn : static_cast<const Element16*>(p.q);
        const Element16* keysOut = PerChannel ? scratch.keyOut : static_cast<const Element16*>(p.k);
        if (Queries)
            copyTile<kThreads>(tile(chunk, S::kQuery), S::kKeyStride, kTokens, Key, queries + keyOffset, keyStride, rows, keys);
        copyTile<kThreads>(tile(chunk, S::kKeyOut), S::kKeyStride, kTokens, Key, keysOut + keyOffset, keyStride, rows, keys);
        if (S::kTwoKeys)
            copyTile<kThreads>(tile(chunk, S::kKeyIn), S::kKeyStride, kTokens, Key, scratch.keyIn + keyOffset, keyStride, rows, keys);
        copyTile<kThreads>(tile(chunk, S::kValue), S::kValueStride, kTokens, 16 * Warps,
                           static_cast<const Element16*>(columns) + (token * p.heads + head) * p.valueDim + firstColumn, valueStride, rows,
                           int(p.valueDim) - firstColumn);
        const std::int64_t square = slot(chunk) * kTokens * kTokens;
        if (Queries)
            copyTile<kThreads>(tile(chunk, S::kAttention), kSquareStride, kTokens, kTokens, scratch.attention + square, kTokens, kTokens, kTokens);
        if (Delta)
            copyTile<kThreads>(tile(chunk, S::kInverse), kSquareStride, kTokens, kTokens, scratch.inverse + square, kTokens, kTokens, kTokens);
        copyFloats<kThreads>(stage(chunk) + S::kGates, scratch.gates + slot(chunk) * 4 * kTokens, 4 * kTokens);
        if (PerChannel)
            copyFloats<kThreads>(stage(chunk) + S::kDecay, scratch.channelDecay + slot(chunk) * p.keyDim, keys);
        commitCopies();
    }

    /// The value column of result row r (or r + 8) of this warp.
    __device__ int column(int half) const { return firstColumn + warp * 16 + r + half * 8; }

    template <typename F>
    __device__ void eachOfState(F&& f)
    {
#pragma unroll
        for (int n = 0; n < Key / 8; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                const int key = n * 8 + c + e % 2, value = column(e / 2);
                f(state[n][e], key, value, key < p.keyDim && value < p.valueDim);
            }
    }

    /// From an array [sequence, head, key, value]; null: zeros.
    __device__ void loadState(const float* states)
    {
        const float* from = states ? states + (sequenceIndex * p.heads + head) * p.keyDim * p.valueDim : nullptr;
        eachOfState([&](float& x, int key, int value, bool inside) { x = from && inside ? from[std::int64_t(key) * p.valueDim + value] : 0.f; });
    }

    __device__ void storeState(float* states)
    {
        float* to = states + (sequenceIndex * p.heads + head) * p.keyDim * p.valueDim;
        eachOfState([&](float& x, int key, int value, bool inside) {
            if (inside)
                to[std::int64_t(key) * p.valueDim + value] = x;
        });
    }

    /// By way of this warp's columns of the value tile, which nothing reads any more.
    __device__ void storeColumns(std::int64_t chunk, const float (&x)[8][4], Element16* to)
    {
        storeTokens(x, tile(chunk, S::kValue) + warp * 16, S::kValueStride,
                    to + ((sequence.first + chunk * kTokens) * p.heads + head) * p.valueDim, p, rowsOf(chunk), firstColumn + warp * 16);
    }

    const RecurrenceProblem& p;
    const Scratch& scratch;
    unsigned char* stages;
    std::int64_t sequenceIndex, head;
    int firstColumn, warp;
    int r, c; ///< this lane's row and first column in a 16 x 8 result
    Sequence sequence;
    float state[Key / 8][4]; ///< transposed: [16 values, keys]
};

} // namespace postnas::ops::cuda::chunk
