// What the passes over the chunks with products of four warps are made of besides those: the block's shared memory, who waits for whom in it, and
// the helpers that bring tiles and take results away.
#pragma once

#include "kernels/include/warpgroup.cuh"
#include "kernels/linear_recurrence/chunk.cuh"

namespace postnas::ops::cuda::chunk {

using Square = Panels<kTokens, 128>;

/// Outputs: the forward pass. States: the forward pass again, for the states and the written values. Gradients: from the last chunk to the first.
enum class PassFor { Outputs, States, Gradients };

/// How a pass uses a multiprocessor: groups of a block, chunks whose tiles shared memory holds, blocks at a time.
template <int Groups, int Stages, int Blocks> struct GroupShape {
    static constexpr int kGroups = Groups, kStages = Stages, kBlocks = Blocks;
    /// Registers of a thread of a group, and of a helper's; 0: as many as everybody has.
    static constexpr int kOwn = Groups == 2 ? 232 : Blocks == 2 ? 208 : Blocks == 3 ? 128 : 0, kHelper = Blocks == 3 ? 32 : 40;
    static_assert(Stages == 2 || Stages == 3);
};

/// One chunk's tiles in shared memory.
template <int Key, bool Delta, bool PerChannel, int Groups, PassFor For> struct GroupStage {
    static constexpr bool kQueries = For != PassFor::States; ///< the queries and A, which outputs need
    static constexpr bool kTwoKeys = Delta && PerChannel; ///< exp(G) k and exp(G_C - G) k differ from k itself
    static constexpr int kKeyWidth = Key % 64 == 0 ? 128 : 64;
    using Keys = Panels<kTokens, kKeyWidth>;
    static constexpr int kKeyTile = Keys::bytes(Key), kSquare = Square::bytes(kTokens);
    static constexpr int kQuery = 0, kKeyOut = kQueries ? kKeyTile : 0, kKeyIn = kKeyOut + (kTwoKeys ? kKeyTile : 0), kValue = kKeyIn + kKeyTile,
                         kAttention = kValue + Square::bytes(64 * Groups), kInverse = kAttention + (kQueries ? kSquare : 0),
                         kGates = kInverse + (Delta ? kSquare : 0), kDecay = kGates + 4 * kTokens * 4,
                         kBytes = kDecay + (PerChannel ? 1024 : 0); ///< all multiples of 1024
};
constexpr int kTurned = Square::kPanel; ///< bytes of a group's results on their way out, [64 tokens, 64 columns]

/// What the passes need of the gates, in shared memory for each two tokens: beta, -beta exp(G) (two numbers each); scale exp(G), exp(G_C - G).
enum PairOfGates { kForValues = 0, kForOutputs = 2 * kTokens };

/// What the values' tiles and a pass's results are.
struct GroupArrays {
    const void* values = nullptr; ///< v or the gradient of o, [token, head, value]
    Element16* results = nullptr; ///< o, N or the gradient of v
};

/// Named barriers of a group and the helpers: a chunk's tiles are there, the group is done with a chunk and has left its results (for both one
/// barrier for even and one for odd steps, as whoever only arrives may be one step ahead), the results have been taken.
__device__ inline int arrivedBarrier(int group, int step) { return 1 + group * 5 + step % 2; }
__device__ inline int doneBarrier(int group, int step) { return 3 + group * 5 + step % 2; }
__device__ inline int takenBarrier(int group) { return 5 + group * 5; }

/// A block: groups of four warps that multiply, each for 64 value columns of one head, and as many warps as one group that help. Chunks are counted
/// in steps, in the order of the pass.
template <int Key, bool Delta, bool PerChannel, PassFor For, typename Shape> class GroupBlock {
public:
    static constexpr int kGroups = Shape::kGroups, kStages = Shape::kStages;
    using S = GroupStage<Key, Delta, PerChannel, kGroups, For>;
    static constexpr bool kResults = For != PassFor::States || Delta; ///< without delta N is v itself
    /// Of a state on its way out: eight rows, and so many keys, of each warp.
    static constexpr int kKeptKeys = Key == 128 ? 64 : Key, kKeptStride = kKeptKeys * 2 + 16,
                         kKept = For == PassFor::Outputs ? 0 : 4 * 8 * kKeptStride;
    static constexpr int kHalf = 64; ///< helpers that bring, and as many that take away
    static constexpr int kDoneThreads = 128 + (kResults ? 2 : 1) * kHalf;
    static constexpr int kColumns = kGroups * 64, kThreads = kGroups * 128 + 2 * kHalf;
    static constexpr int kBytes = kStages * S::kBytes + kGroups * (kTurned + kKept) + kStages * 16;

    /// Blocks of the same sequence and head are neighbours, so that they find the tiles they share in the cache.
    __host__ __device__ static int columnBlocks(const RecurrenceProblem& p) { return int((p.valueDim + kColumns - 1) / kColumns); }
    static dim3 grid(const RecurrenceProblem& p) { return dim3(unsigned(sequenceCount(p) * columnBlocks(p)), unsigned(p.heads)); }

    __device__ GroupBlock(const RecurrenceProblem& problem, const Scratch& scratchArrays, const GroupArrays& passArrays, unsigned char* shared)
        : p(problem)
        , scratch(scratchArrays)
        , arrays(passArrays)
        , stages(shared)
        , turned(shared + kStages * S::kBytes)
        , head(int(blockIdx.y))
        , firstColumn(int(blockIdx.x) % columnBlocks(problem) * kColumns)
        , group(__shfl_sync(0xffffffffu, int(threadIdx.x) / 128, 0))
        , thread(int(threadIdx.x) % 128)
        , sequenceIndex(int(blockIdx.x) / columnBlocks(problem))
        , sequence(sequenceAt(problem, sequenceIndex))
        , chunks(int((sequence.length + kTokens - 1) / kTokens))
    {
    }

protected:
    __device__ int chunkOf(int step) const { return For == PassFor::Gradients ? chunks - 1 - step : step; }
    __device__ unsigned char* stageOf(int step) const { return stages + step % kStages * S::kBytes; }
    /// exp(G_C), of each channel or of all.
    __device__ float* decayOf(int step) const
    {
        return reinterpret_cast<float*>(
            PerChannel ? stageOf(step) + S::kDecay : stages + kStages * S::kBytes + kGroups * (kTurned + kKept) + step % kStages * 16);
    }
    __device__ int rowsOf(int step) const { return int(min(std::int64_t(kTokens), sequence.length - std::int64_t(chunkOf(step)) * kTokens)); }
    __device__ std::int64_t slot(int step) const { return (sequence.firstChunk + chunkOf(step)) * p.heads + head; }
    __device__ std::int64_t firstToken(int step) const { return sequence.first + std::int64_t(chunkOf(step)) * kTokens; }

    const RecurrenceProblem& p;
    const Scratch& scratch;
    const GroupArrays& arrays;
    unsigned char *stages, *turned;
    int head, firstColumn, group, thread; ///< the thread in its group
    int sequenceIndex;
    Sequence sequence;
    int chunks;
};

template <int Key, bool Delta, bool PerChannel, PassFor For, typename Shape> class GroupHelpers : GroupBlock<Key, Delta, PerChannel, For, Shape> {
    using Base = GroupBlock<Key, Delta, PerChannel, For, Shape>;
    using Base::arrays, Base::chunks, Base::decayOf, Base::firstColumn, Base::firstToken, Base::head, Base::kColumns, Base::kDoneThreads,
        Base::kGroups, Base::kHalf, Base::kResults, Base::kStages, Base::p, Base::rowsOf, Base::scratch, Base::slot, Base::stageOf, Base::thread,
        Base::turned;
    using typename Base::S;

public:
    using Base::Base;

    /// One half of the helpers brings tiles for the chunks to come, the other takes the outputs away.
    __device__ __forceinline__ void run()
    {
        if constexpr (Shape::kOwn > 0)
            giveRegisters<Shape::kHelper>();
        if (chunks == 0)
            return;
        if (thread < kHalf)
            bring();
        else if (kResults)
            take();
    }

private:
    __device__ __forceinline__ void bring()
    {
        // The tiles of chunk i take the place of those of chunk i - kStages, so the groups must have left chunk i - kStages before. A chunk is
        // published when the groups are known to have left the one two before it: there are barriers for two.
        Gates gates = copy(0);
#pragma unroll 1
        for (int i = 0; i < chunks; ++i) {
            if (i > 1)
                waitForGroups(i - 2);
            if (kStages == 2 && i > 0)
                gates = copy(i);
            waitCopies<0>();
            publish(i, gates);
            if (kStages == 3 && i + 1 < chunks)
                gates = copy(i + 1);
        }
        // Everybody arrives at every barrier.
        for (int i = max(chunks - 2, 0); i < chunks; ++i)
            waitForGroups(i);
    }

    __device__ __forceinline__ void waitForGroups(int step)
    {
#pragma unroll
        for (int g = 0; g < kGroups; ++g)
            barrierSync(doneBarrier(g, step), kDoneThreads);
    }

    __device__ __forceinline__ void take()
    {
#pragma unroll 1
        for (int i = 0; i < chunks; ++i)
#pragma unroll
            for (int g = 0; g < kGroups; ++g) {
                barrierSync(doneBarrier(g, i), kDoneThreads);
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
    __device__ __forceinline__ void publish(int step, const Gates& gates)
    {
        unsigned char* stage = stageOf(step);
        float* pair = reinterpret_cast<float*>(stage + S::kGates) + thread / 2 * 4 + thread % 2;
        pair[kForValues] = gates.beta;
        pair[kForValues + 2] = -gates.beta * gates.in;
        pair[kForOutputs] = p.scale * gates.in;
        pair[kForOutputs + 2] = gates.out;
        if (!PerChannel && thread == kTokens - 1)
            *decayOf(step) = gates.in;
        sharedFence();
#pragma unroll
        for (int g = 0; g < kGroups; ++g)
            barrierArrive(arrivedBarrier(g, step), 128 + kHalf);
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
    __device__ __forceinline__ Gates copy(int step)
    {
        unsigned char* stage = stageOf(step);
        const int rows = rowsOf(step), keys = int(p.keyDim);
        const std::int64_t token = firstToken(step) * p.heads + head, at = slot(step);
        const std::int64_t keyStride = p.heads * p.keyDim;
        const auto copyKeys = [&](int tile, const void* from) {
            copyRows<typename S::Keys, Key, false>(stage + tile, static_cast<const Element16*>(from) + token * p.keyDim, keyStride, rows, keys);
        };
        if (S::kQueries)
            copyKeys(S::kQuery, PerChannel ? scratch.queryIn : p.q);
        copyKeys(S::kKeyOut, PerChannel ? scratch.keyOut : p.k);
        if (S::kTwoKeys)
            copyKeys(S::kKeyIn, scratch.keyIn);
        copyRows<Square, kColumns, false>(stage + S::kValue, static_cast<const Element16*>(arrays.values) + token * p.valueDim + firstColumn,
            p.heads * p.valueDim, rows, int(p.valueDim) - firstColumn);
        if (S::kQueries)
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
    __device__ __forceinline__ void storeTokens(int fromGroup, int step)
    {
        const int row = (thread - kHalf) / 8, piece = thread % 8 * 8, columnHere = firstColumn + fromGroup * 64 + piece, rows = rowsOf(step);
        const unsigned char* from = turned + fromGroup * kTurned + Square::at(row, piece);
        Element16* to = arrays.results + ((firstToken(step) + row) * p.heads + head) * p.valueDim + columnHere;
        const std::int64_t next = 8 * p.heads * p.valueDim;
#pragma unroll
        for (int i = 0; i < kTokens; i += 8) {
            if (row + i < rows && columnHere < p.valueDim)
                *reinterpret_cast<uint4*>(to) = *reinterpret_cast<const uint4*>(from + i * 128);
            to += next;
        }
    }
};

} // namespace postnas::ops::cuda::chunk
