// What the groups of the passes over the chunks share (chunk_group.cuh): four warps own 64 value columns of one head and keep their part of the
// state, or of its gradient, transposed, in registers; the result layout of one product is the operand layout of the next.
#pragma once

#include "kernels/linear_recurrence/chunk_group.cuh"

namespace postnas::ops::cuda::chunk {

template <int Key, bool Delta, bool PerChannel, PassFor For, typename Shape> class GroupWork : public GroupBlock<Key, Delta, PerChannel, For, Shape> {
    using Base = GroupBlock<Key, Delta, PerChannel, For, Shape>;

public:
    using Base::chunks, Base::decayOf, Base::firstColumn, Base::group, Base::head, Base::kDoneThreads, Base::kGroups, Base::kHalf, Base::kKept,
        Base::kKeptKeys, Base::kKeptStride, Base::p, Base::sequenceIndex, Base::slot, Base::stageOf, Base::thread, Base::turned;
    using typename Base::S;
    using Columns = float[8][4]; ///< [64 values, 64 tokens], 16 values a warp
    using Packed = std::uint32_t[4][4]; ///< those as left operands

    __device__ GroupWork(const RecurrenceProblem& problem, const Scratch& scratchArrays, const GroupArrays& passArrays, unsigned char* shared)
        : Base(problem, scratchArrays, passArrays, shared)
        , r(thread % 32 / 4)
        , c(thread % 4 * 2)
    {
        if constexpr (Shape::kOwn > 0)
            takeRegisters<Shape::kOwn>();
    }

protected:
    __device__ int column(int half) const { return firstColumn + group * 64 + thread / 32 * 16 + r + half * 8; }
    /// Of two tokens.
    __device__ float4 gates(const unsigned char* stage, PairOfGates which, int n) const
    {
        return *reinterpret_cast<const float4*>(stage + S::kGates + (which + n * 16 + c * 2) * 4);
    }

    /// x[64, 64 tokens] = state (packed) tile^T.
    __device__ __forceinline__ void timesKeys(Columns& x, const unsigned char* tile)
    {
        multiplyGroup<64, false, false>(x, packedState[0], columnsAsK<kTokens, S::kKeyWidth>(tile, 0));
#pragma unroll
        for (int kk = 1; kk < Key / 16; ++kk)
            multiplyGroup<64, true, false>(x, packedState[kk], columnsAsK<kTokens, S::kKeyWidth>(tile, kk * 16));
    }

    /// x[64, i] = or += sum over j of packed[64, j] square[i, j].
    template <bool Accumulate> __device__ __forceinline__ void timesSquare(Columns& x, const Packed& packed, const unsigned char* square)
    {
        multiplyGroup<64, Accumulate, false>(x, packed[0], columnsAsK<kTokens, 128>(square, 0));
#pragma unroll
        for (int j = 1; j < 4; ++j)
            multiplyGroup<64, true, false>(x, packed[j], columnsAsK<kTokens, 128>(square, j * 16));
    }
    /// x[64, j] = sum over i of packed[64, i] square[i, j].
    __device__ __forceinline__ void timesMirrored(Columns& x, const Packed& packed, const unsigned char* square)
    {
        multiplyGroup<64, false, true>(x, packed[0], rowsAsK<kTokens, 128>(square, 0));
#pragma unroll
        for (int i = 1; i < 4; ++i)
            multiplyGroup<64, true, true>(x, packed[i], rowsAsK<kTokens, 128>(square, i * 16));
    }

    __device__ __forceinline__ void addToState(const Packed& packed, const unsigned char* keys)
    {
#pragma unroll
        for (int kk = 0; kk < 4; ++kk)
            multiplyGroup<Key, true, true>(state, packed[kk], rowsAsK<kTokens, S::kKeyWidth>(keys, kk * 16));
    }

    __device__ __forceinline__ void decayState(int step)
    {
        const float* decay = decayOf(step);
#pragma unroll
        for (int n = 0; n < Key / 8; ++n) {
            const float2 factor = PerChannel ? *reinterpret_cast<const float2*>(decay + n * 8 + c) : make_float2(decay[0], decay[0]);
            state[n][0] *= factor.x;
            state[n][1] *= factor.y;
            state[n][2] *= factor.x;
            state[n][3] *= factor.y;
        }
    }

    __device__ __forceinline__ void packState()
    {
#pragma unroll
        for (int kk = 0; kk < Key / 16; ++kk)
            packPair(packedState[kk], state[2 * kk], state[2 * kk + 1]);
    }
    /// To an array [chunk, head, value, key], by way of this warp's rows in shared memory.
    __device__ __forceinline__ void storePackedState(Element16* states, int step)
    {
        const int lane = thread % 32, first = firstColumn + group * 64 + thread / 32 * 16;
        unsigned char* own = turned + kGroups * kTurned + group * kKept + thread / 32 * 8 * kKeptStride;
        Element16* to = states + slot(step) * p.keyDim * p.valueDim + first * p.keyDim;
#pragma unroll
        for (int pass = 0; pass < 2 * Key / kKeptKeys; ++pass) {
            const int half = pass % 2, firstKey = pass / 2 * kKeptKeys;
#pragma unroll
            for (int n = 0; n < kKeptKeys / 8; n += 4) {
                const auto& left = packedState[firstKey / 16 + n / 2];
                const auto& right = packedState[firstKey / 16 + n / 2 + 1];
                storeTiles<false>(own + lane % 8 * kKeptStride + (n + lane / 8) * 16, { left[half], left[2 + half], right[half], right[2 + half] });
            }
            __syncwarp();
            const int rows = int(p.valueDim) - first - half * 8;
#pragma unroll
            for (int i = 0; i < kKeptKeys; i += 32) {
                const int row = (i + lane) / (kKeptKeys / 8), key = (i + lane) % (kKeptKeys / 8) * 8;
                if (row < rows && firstKey + key < p.keyDim)
                    *reinterpret_cast<uint4*>(to + (half * 8 + row) * int(p.keyDim) + firstKey + key)
                        = *reinterpret_cast<const uint4*>(own + row * kKeptStride + key * 2);
            }
            __syncwarp();
        }
    }

    /// Where this lane finds or leaves its rows of the 16 x 16 squares of tokens n * 16 to n * 16 + 15 and its warp's columns.
    __device__ int turnedAt(int n) const
    {
        const int lane = thread % 32;
        return Square::at(n * 16 + lane / 16 * 8 + lane % 8, thread / 32 * 16 + lane / 8 % 2 * 8);
    }
    __device__ __forceinline__ void loadValues(Packed& values, const unsigned char* stage)
    {
#pragma unroll
        for (int n = 0; n < 4; ++n)
            loadTiles<true>(values[n], reinterpret_cast<const Element16*>(stage + S::kValue + group * Square::kPanel + turnedAt(n)));
    }

    /// The chunk's results to shared memory, as rows of tokens.
    __device__ __forceinline__ void leave(const Columns& x, int step)
    {
        if (step > 0)
            barrierSync(takenBarrier(group), 128 + kHalf);
#pragma unroll
        for (int n = 0; n < 4; ++n) {
            std::uint32_t pair[4];
            packPair(pair, x[2 * n], x[2 * n + 1]);
            storeTiles<true>(turned + group * kTurned + turnedAt(n), pair);
        }
    }
    /// The chunk's tiles are free, and its results have been left.
    __device__ __forceinline__ void done(int step) { barrierArrive(doneBarrier(group, step), kDoneThreads); }

    template <typename F> __device__ __forceinline__ void eachOfState(F&& f)
    {
        const std::int64_t first = (std::int64_t(sequenceIndex) * p.heads + head) * p.keyDim * p.valueDim;
#pragma unroll
        for (int n = 0; n < Key / 8; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                const int key = n * 8 + c + e % 2, value = column(e / 2);
                f(state[n][e], first + key * p.valueDim + value, key < p.keyDim && value < p.valueDim);
            }
    }
    /// From and to an array [sequence, head, key, value]; null: zeros.
    __device__ void loadState(const float* from)
    {
        eachOfState([&](float& x, std::int64_t at, bool inside) { x = from && inside ? from[at] : 0.f; });
        packState();
    }
    __device__ void storeState(float* to)
    {
        eachOfState([&](float& x, std::int64_t at, bool inside) {
            if (inside)
                to[at] = x;
        });
    }

    int r, c; ///< this lane's row and first column in a 16 x 8 result
    float state[Key / 8][4]; ///< transposed: [64 values, keys], 16 values a warp
    std::uint32_t packedState[Key / 16][4];
};

} // namespace postnas::ops::cuda::chunk
