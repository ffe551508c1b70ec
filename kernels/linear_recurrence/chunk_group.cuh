// What chunk_scan_group.cu is made of besides its products: the block's shared memory, who waits for whom in it, and the helpers that bring tiles
// and take outputs away.
#pragma once

#include "kernels/include/warpgroup.cuh"
#include "kernels/linear_recurrence/chunk.cuh"

namespace postnas::ops::cuda::chunk {

using Square = Panels<kTokens, 128>;

/// One chunk's tiles in shared memory.
template <int Key, bool Delta, bool PerChannel, int Groups> struct GroupStage {
    static constexpr bool kTwoKeys = Delta && PerChannel; ///< exp(G) k and exp(G_C - G) k differ from k itself
    static constexpr int kKeyWidth = Key % 64 == 0 ? 128 : 64;
    using Keys = Panels<kTokens, kKeyWidth>;
    static constexpr int kKeyTile = Keys::bytes(Key), kSquare = Square::bytes(kTokens);
    static constexpr int kQuery = 0, kKeyOut = kKeyTile, kKeyIn = kTwoKeys ? 2 * kKeyTile : kKeyOut, kValue = (kTwoKeys ? 3 : 2) * kKeyTile,
                         kAttention = kValue + Square::bytes(64 * Groups), kInverse = kAttention + kSquare, kGates = kInverse + (Delta ? kSquare : 0),
                         kDecay = kGates + 4 * kTokens * 4, kBytes = kGates + 2048; ///< all multiples of 1024
};
constexpr int kTurned = Square::kPanel; ///< bytes of a group's results on their way out, [64 tokens, 64 columns]

/// What the scan needs of the gates, in shared memory for each two tokens: beta, -beta exp(G) (two numbers each); scale exp(G), exp(G_C - G).
enum PairOfGates { kForValues = 0, kForOutputs = 2 * kTokens };

/// Named barriers of a group and the helpers: a chunk's tiles are there (one barrier for even and one for odd chunks), the group is done with a
/// chunk and has left its outputs, the outputs have been taken.
__device__ inline int arrivedBarrier(int group, int chunk) { return 1 + group * 4 + chunk % 2; }
__device__ inline int doneBarrier(int group) { return 3 + group * 4; }
__device__ inline int takenBarrier(int group) { return 4 + group * 4; }

/// A block: groups of four warps that multiply, each for 64 value columns of one head, and as many warps as one group that help.
template <int Key, bool Delta, bool PerChannel, int Groups, int Stages>
class GroupBlock {
public:
    static_assert(Stages == 2 || Stages == 3);
    using S = GroupStage<Key, Delta, PerChannel, Groups>;
    static constexpr int kHalf = 64; ///< helpers that bring, and as many that take away
    static constexpr int kColumns = Groups * 64, kThreads = Groups * 128 + 2 * kHalf;
    static constexpr int kBytes = Stages * S::kBytes + Groups * kTurned;

    __device__ GroupBlock(const RecurrenceProblem& problem, const Scratch& scratchArrays, const ScanOutputs& outputs, unsigned char* shared)
        : p(problem)
        , scratch(scratchArrays)
        , out(outputs)
        , stages(shared)
        , turned(shared + Stages * S::kBytes)
        , head(int(blockIdx.y))
        , firstColumn(int(blockIdx.z) * kColumns)
        , group(__shfl_sync(0xffffffffu, int(threadIdx.x) / 128, 0))
        , thread(int(threadIdx.x) % 128)
        , sequence(sequenceAt(problem, blockIdx.x))
        , chunks(int((sequence.length + kTokens - 1) / kTokens))
    {
    }

protected:
    __device__ unsigned char* stageOf(int chunk) const { return stages + chunk % Stages * S::kBytes; }
    __device__ int rowsOf(int chunk) const { return int(min(std::int64_t(kTokens), sequence.length - std::int64_t(chunk) * kTokens)); }
    __device__ std::int64_t slot(int chunk) const { return (sequence.firstChunk + chunk) * p.heads + head; }

    const RecurrenceProblem& p;
    const Scratch& scratch;
    const ScanOutputs& out;
    unsigned char *stages, *turned;
    int head, firstColumn, group, thread; ///< the thread in its group
    Sequence sequence;
    int chunks;
};

template <int Key, bool Delta, bool PerChannel, int Groups, int Stages>
class GroupHelpers : GroupBlock<Key, Delta, PerChannel, Groups, Stages> {
    using Base = GroupBlock<Key, Delta, PerChannel, Groups, Stages>;
    using Base::chunks, Base::firstColumn, Base::head, Base::kColumns, Base::kHalf, Base::out, Base::p, Base::rowsOf, Base::scratch, Base::sequence,
        Base::slot, Base::stageOf, Base::thread, Base::turned;
    using typename Base::S;

public:
    using Base::Base;

    /// One half of the helpers brings tiles for the chunks to come, the other takes the outputs away.
    __device__ __forceinline__ void run()
    {
        if (Groups == 2) // with one group there are enough
            giveRegisters<40>();
        if (chunks == 0)
            return;
        if (thread < kHalf)
            bring();
        else
            take();
    }

private:
    __device__ __forceinline__ void bring()
    {
        // The tiles of chunk i take the place of those of chunk i - Stages, so the groups must have left chunk i - Stages before. A chunk is
        // published when the groups are known to have reached the one before it: there are barriers for two.
        Gates gates = copy(0);
#pragma unroll 1
        for (int i = 0; i < chunks; ++i) {
            if (i > 1)
                waitForGroups();
            if (Stages == 2 && i > 0)
                gates = copy(i);
            waitCopies<0>();
            publish(i, gates);
            if (Stages == 3 && i + 1 < chunks)
                gates = copy(i + 1);
        }
        // Everybody arrives at every barrier.
        for (int i = max(chunks - 2, 0); i < chunks; ++i)
            waitForGroups();
    }

    __device__ __forceinline__ void waitForGroups()
    {
#pragma unroll
        for (int g = 0; g < Groups; ++g)
            barrierSync(doneBarrier(g), 128 + 2 * kHalf);
    }

    __device__ __forceinline__ void take()
    {
#pragma unroll 1
        for (int i = 0; i < chunks; ++i)
#pragma unroll
            for (int g = 0; g < Groups; ++g) {
                barrierSync(doneBarrier(g), 128 + 2 * kHalf);
                storeTokens(g, i);
                if (i + 1 < chunks)
                    barrierArrive(takenBarrier(g), 128 + kHalf);
            }
    }

    /// The gates of this helper's token, on their way to shared memory.
    struct Gates {
        float beta, in, out;
    };

    /// A chunk's tiles are there: adds the gates and tells the groups.
    __device__ __forceinline__ void publish(int chunk, const Gates& gates)
    {
        unsigned char* stage = stageOf(chunk);
        float* pair = reinterpret_cast<float*>(stage + S::kGates) + thread / 2 * 4 + thread % 2;
        pair[kForValues] = gates.beta;
        pair[kForValues + 2] = -gates.beta * gates.in;
        pair[kForOutputs] = p.scale * gates.in;
        pair[kForOutputs + 2] = gates.out;
        if (!PerChannel && thread == kTokens - 1)
            *reinterpret_cast<float*>(stage + S::kDecay) = gates.in;
        sharedFence();
#pragma unroll
        for (int g = 0; g < Groups; ++g)
            barrierArrive(arrivedBarrier(g, chunk), 128 + kHalf);
    }

    /// Rows of 16-bit numbers to panels, one thread for each piece of a row of a panel; rows from `rows` and columns from `columns` on become zero.
    /// Lower: only the 16 x 16 squares on and below the diagonal, zeros above.
    template <typename To, int Columns, bool Lower>
    __device__ __forceinline__ void copyRows(unsigned char* tile, const Element16* from, std::int64_t rowStride, int rows, int columns)
    {
        constexpr int kAcross = To::kColumns / 8, kDown = kHalf / kAcross;
        const int row0 = thread / kAcross, column0 = thread % kAcross * 8;
        unsigned char* to = tile + To::at(row0, column0);
        const Element16* source = from + row0 * rowStride + column0;
#pragma unroll
        for (int i = 0; i < kTokens; i += kDown) {
#pragma unroll
            for (int j = 0; j < Columns; j += To::kColumns) {
                const bool valid = Lower ? j + column0 < (row0 + i) / 16 * 16 + 16 : row0 + i < rows && j + column0 < columns;
                copyAsync16(to + To::at(i, j), source + j, valid);
            }
            source += kDown * rowStride;
        }
        static_assert(kDown % 8 == 0, "so that the pieces' order is the same in all of a thread's rows");
    }

    /// Starts the copies of a chunk's tiles.
    __device__ __forceinline__ Gates copy(int chunk)
    {
        unsigned char* stage = stageOf(chunk);
        const int rows = rowsOf(chunk), keys = int(p.keyDim);
        const std::int64_t token = (sequence.first + std::int64_t(chunk) * kTokens) * p.heads + head, at = slot(chunk);
        const std::int64_t keyStride = p.heads * p.keyDim;
        const auto copyKeys = [&](int tile, const void* from) {
            copyRows<typename S::Keys, Key, false>(stage + tile, static_cast<const Element16*>(from) + token * p.keyDim, keyStride, rows, keys);
        };
        copyKeys(S::kQuery, PerChannel ? scratch.queryIn : p.q);
        copyKeys(S::kKeyOut, PerChannel ? scratch.keyOut : p.k);
        if (S::kTwoKeys)
            copyKeys(S::kKeyIn, scratch.keyIn);
        copyRows<Square, kColumns, false>(stage + S::kValue, static_cast<const Element16*>(p.v) + token * p.valueDim + firstColumn,
            p.heads * p.valueDim, rows, int(p.valueDim) - firstColumn);
        copyRows<Square, kTokens, true>(stage + S::kAttention, scratch.attention + at * kTokens * kTokens, kTokens, kTokens, kTokens);
        if (Delta)
            copyRows<Square, kTokens, true>(stage + S::kInverse, scratch.inverse + at * kTokens * kTokens, kTokens, kTokens, kTokens);
        if (PerChannel && thread * 4 < Key)
            copyAsync16(stage + S::kDecay + thread * 16, scratch.channelDecay + at * p.keyDim + thread * 4, thread * 4 < keys);
        commitCopies();
        const float* gates = scratch.gates + at * 4 * kTokens + thread;
        return { gates[kBeta * kTokens], gates[kDecayIn * kTokens], gates[kDecayOut * kTokens] };
    }

    /// Results of a group to rows of a [token, head, value] array.
    __device__ __forceinline__ void storeTokens(int fromGroup, int chunk)
    {
        const int row = (thread - kHalf) / 8, piece = thread % 8 * 8, columnHere = firstColumn + fromGroup * 64 + piece, rows = rowsOf(chunk);
        const unsigned char* from = turned + fromGroup * kTurned + Square::at(row, piece);
        Element16* to = out.o + ((sequence.first + std::int64_t(chunk) * kTokens + row) * p.heads + head) * p.valueDim + columnHere;
        const std::int64_t step = 8 * p.heads * p.valueDim;
#pragma unroll
        for (int i = 0; i < kTokens; i += 8) {
            if (row + i < rows && columnHere < p.valueDim)
                *reinterpret_cast<uint4*>(to) = *reinterpret_cast<const uint4*>(from + i * 128);
            to += step;
        }
    }
};

} // namespace postnas::ops::cuda::chunk
