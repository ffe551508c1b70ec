// What chunk_gradients_group.cu is made of besides its products: the block's shared memory, who waits for whom in it, and the warps that bring tiles.
#pragma once

#include "kernels/linear_recurrence/chunk_group.cuh"

namespace postnas::ops::cuda::chunk {

template <int Key, bool Delta> class GradientsBlock {
public:
    static constexpr int kStages = 3;
    static constexpr int kSlice = 64; ///< value columns of a stage
    static constexpr int kKeyWidth = Key % 64 == 0 ? 128 : 64;
    using Keys = Panels<kTokens, kKeyWidth>; ///< also of a slice of a state: values by keys
    static constexpr int kKeyTile = Keys::bytes(Key), kSquare = Square::bytes(kTokens);
    /// Tiles of a stage.
    static constexpr int kGradO = 0, kNew = kSquare, kGradV = 2 * kSquare, kState = (Delta ? 3 : 2) * kSquare, kStateGradient = kState + kKeyTile,
                         kStage = kStateGradient + kKeyTile;
    /// Tiles of a chunk.
    static constexpr int kQuery = kStages * kStage, kKey = kQuery + kKeyTile, kAttention = kKey + kKeyTile, kSystem = kAttention + kSquare,
                         kSquaresEnd = kAttention + (Delta ? 2 : 1) * kSquare;
    /// T, when it is handed over, takes the place of the squares where shared memory has no other.
    static constexpr bool kTakenForSquares = Delta && Key > 96;
    static constexpr int kTakenBytes = kTokens * Key * 2, kTaken = kTakenForSquares ? kAttention : kSquaresEnd,
                         kGates = kSquaresEnd + (Delta && !kTakenForSquares ? kTakenBytes : 0), kSums = kGates + 4 * kTokens * 4,
                         kTotals = kSums + 3 * kTokens * 4;
    static constexpr int kGroups = Delta ? 3 : 2, kTogether = kGroups * 128;
    static_assert(!kTakenForSquares || kTakenBytes <= 2 * kSquare);

    /// Named barriers. Tiles of a stage or a chunk are there, and have been read; both squares are there, and have been read; T and the sums of
    /// rows are there; nothing of a chunk is needed any more.
    static constexpr int kArrived = 1, kRead = kArrived + kStages, kKeysArrived = kRead + kStages, kKeysRead = kKeysArrived + 1,
                         kSquaresThere = kKeysRead + 1, kSquaresRead = kSquaresThere + 1, kRowsThere = kSquaresRead + 1, kDone = kRowsThere + 1,
                         kOwn = kDone + 1; ///< and one for each group alone
    static_assert(kOwn + kGroups <= 16);

    static constexpr int kThreads = kTogether + 128, kBytes = kTotals + 4 * 4;

    __device__ GradientsBlock(const RecurrenceProblem& problem, const Scratch& scratchArrays, const BackwardScratch& backwardArrays,
        const ChunkedGradients& outputs, std::int64_t chunkTotal, unsigned char* memory)
        : p(problem)
        , scratch(scratchArrays)
        , backward(backwardArrays)
        , out(outputs)
        , shared(memory)
        , total(unsigned(chunkTotal * problem.heads))
        , slices(int((problem.valueDim + kSlice - 1) / kSlice))
        , group(__shfl_sync(0xffffffffu, int(threadIdx.x) / 128, 0))
        , warp(__shfl_sync(0xffffffffu, int(threadIdx.x) % 128 / 32, 0))
        , lane(int(threadIdx.x) % 32)
    {
    }

protected:
    /// Calls f for each chunk and head of this block that has tokens.
    template <typename F> __device__ __forceinline__ void eachChunk(F&& f)
    {
        // In 32 bits, as divisions of 64 are long.
        const unsigned heads = unsigned(p.heads), each = unsigned((p.length + kTokens - 1) / kTokens);
#pragma unroll 1
        for (slot = blockIdx.x; slot < total; slot += gridDim.x) {
            const unsigned chunk = slot / heads;
            head = slot - chunk * heads;
            if (p.starts == nullptr) {
                const unsigned sequence = chunk / each, before = (chunk - sequence * each) * kTokens;
                rows = int(min(unsigned(kTokens), unsigned(p.length) - before));
                first = sequence * p.length + before;
            } else {
                const Sequence sequence = findSequence(p, chunk);
                const std::int64_t before = (chunk - sequence.firstChunk) * kTokens;
                if (before >= sequence.length)
                    continue;
                rows = int(min(std::int64_t(kTokens), sequence.length - before));
                first = sequence.first + before;
            }
            f();
        }
    }

    const RecurrenceProblem& p;
    const Scratch& scratch;
    const BackwardScratch& backward;
    const ChunkedGradients& out;
    unsigned char* shared;
    unsigned total; ///< chunks of all heads
    int slices, group, warp, lane; ///< the warp in its group
    // Of the chunk at hand.
    unsigned slot = 0, head = 0;
    std::int64_t first = 0;
    int rows = 0;
};

template <int Key, bool Delta> class GradientsHelpers : GradientsBlock<Key, Delta> {
    using Base = GradientsBlock<Key, Delta>;
    using Base::backward, Base::eachChunk, Base::first, Base::head, Base::lane, Base::out, Base::p, Base::rows, Base::scratch, Base::shared,
        Base::slices, Base::slot, Base::warp;
    using Base::kArrived, Base::kGates, Base::kGradO, Base::kGradV, Base::kKey, Base::kKeysArrived, Base::kKeysRead, Base::kNew, Base::kQuery,
        Base::kRead, Base::kSlice, Base::kStage, Base::kStages, Base::kState, Base::kStateGradient, Base::kTogether;
    using typename Base::Keys;

public:
    using Base::Base;

    __device__ __forceinline__ void run()
    {
        if (Delta)
            giveRegisters<32>();
        if (warp < kStages)
            bringSlices();
        else
            bringKeys();
    }

private:
    /// Rows of 16-bit numbers to panels by one warp; rows from `rowCount` and columns from `columns` on become zero.
    template <typename To, int Columns>
    __device__ __forceinline__ void copyRows(int tile, const Element16* from, std::int64_t stride, int rowCount, int columns)
    {
        constexpr int kAcross = To::kColumns / 8, kDown = 32 / kAcross, kWidth = kAcross * 16;
        const int row0 = lane / kAcross, column0 = lane % kAcross * 8, to0 = To::at(row0, column0);
        const Element16* source = from + row0 * stride + column0;
#pragma unroll 8
        for (int i = 0; i < kTokens; i += kDown) {
            unsigned char* to = shared + tile + (to0 ^ i * kWidth / 128 % kAcross * 16) + i * kWidth;
#pragma unroll
            for (int j = 0; j < Columns; j += To::kColumns) {
                const bool valid = row0 + i < rowCount && j + column0 < columns;
                copyAsync16(to + j / To::kColumns * To::kPanel, valid ? source + j : from, valid);
            }
            source += kDown * stride;
        }
    }

    __device__ __forceinline__ void arrive(int barrier)
    {
        commitCopies();
        waitCopies<0>();
        sharedFence();
        barrierArrive(barrier, kTogether + 32);
    }

    /// One of these warps for each stage.
    __device__ __forceinline__ void bringSlices()
    {
        int turn = 0;
        bool used = false;
        eachChunk([&] {
            for (int s = 0; s < slices; ++s) {
                const bool mine = turn == warp;
                turn = turn + 1 == kStages ? 0 : turn + 1;
                if (!mine)
                    continue;
                if (used)
                    barrierSync(kRead + warp, kTogether + 32);
                used = true;
                const int stage = warp * kStage, left = int(p.valueDim) - s * kSlice;
                const std::int64_t stride = p.heads * p.valueDim, at = (first * p.heads + head) * p.valueDim + s * kSlice,
                                   state = (std::int64_t(slot) * p.valueDim + s * kSlice) * p.keyDim;
                copyRows<Keys, Key>(stage + kState, backward.states + state, p.keyDim, left, int(p.keyDim));
                copyRows<Keys, Key>(stage + kStateGradient, backward.stateGradients + state, p.keyDim, left, int(p.keyDim));
                copyRows<Square, kSlice>(stage + kGradO, static_cast<const Element16*>(out.gradO) + at, stride, rows, left);
                copyRows<Square, kSlice>(stage + kNew, backward.news + at, stride, rows, left);
                if (Delta)
                    copyRows<Square, kSlice>(stage + kGradV, static_cast<const Element16*>(out.v) + at, stride, rows, left);
                arrive(kArrived + warp);
            }
        });
        if (used) // everybody arrives at every barrier
            barrierSync(kRead + warp, kTogether + 32);
    }

    __device__ __forceinline__ void bringKeys()
    {
        bool used = false;
        eachChunk([&] {
            if (used)
                barrierSync(kKeysRead, kTogether + 32);
            used = true;
            const std::int64_t at = (first * p.heads + head) * p.keyDim, stride = p.heads * p.keyDim;
            copyRows<Keys, Key>(kQuery, static_cast<const Element16*>(p.q) + at, stride, rows, int(p.keyDim));
            copyRows<Keys, Key>(kKey, static_cast<const Element16*>(p.k) + at, stride, rows, int(p.keyDim));
            for (int i = lane * 4; i < 4 * kTokens; i += 128)
                copyAsync16(shared + kGates + i * 4, scratch.gates + std::int64_t(slot) * 4 * kTokens + i, true);
            arrive(kKeysArrived);
        });
        if (used)
            barrierSync(kKeysRead, kTogether + 32);
    }
};

} // namespace postnas::ops::cuda::chunk
