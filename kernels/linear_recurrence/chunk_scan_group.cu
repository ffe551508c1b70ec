// Second kernel of the chunked linear recurrence where four warps can multiply together: goes through the chunks of a sequence and carries the
// state. chunk_scan.cu does it elsewhere.
//
// A group of four warps owns 64 value columns of one head and keeps their part of the state, transposed, in registers for the whole sequence: the
// result layout of one product is the operand layout of the next, and the other operands are the chunk's tiles in shared memory. Everything else
// is the business of four more warps, the helpers: they bring the tiles of the chunks to come and take the outputs away, so that the way through a
// chunk, which the next one waits for, is products and little between them.
#include "kernels/linear_recurrence/chunk_group.cuh"

namespace postnas::ops::cuda::chunk {
namespace {

template <int Key, bool Delta, bool PerChannel, int Groups, int Stages>
class GroupScan : GroupBlock<Key, Delta, PerChannel, Groups, Stages> {
    using Base = GroupBlock<Key, Delta, PerChannel, Groups, Stages>;
    using Base::chunks, Base::firstColumn, Base::group, Base::head, Base::kHalf, Base::out, Base::p, Base::stageOf, Base::thread, Base::turned;
    using typename Base::S;

public:
    __device__ GroupScan(const RecurrenceProblem& problem, const Scratch& scratchArrays, const ScanOutputs& outputs, unsigned char* shared)
        : Base(problem, scratchArrays, outputs, shared)
        , r(thread % 32 / 4)
        , c(thread % 4 * 2)
    {
    }

    __device__ __forceinline__ void run()
    {
        if (Groups == 2)
            takeRegisters<232>();
        loadState();
        packState();
#pragma unroll
        for (int n = 0; n < 8; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                o[n][e] = 0.f;
                written[n / 2][e] = 0;
            }
#pragma unroll 1
        for (int i = 0; i < chunks; ++i) {
            barrierSync(arrivedBarrier(group, i), 128 + kHalf);
            advance(i, stageOf(i), stageOf(max(i - 1, 0)));
        }
        if (chunks > 0) {
            groupFence();
            timesSquare<true>(o, written, stageOf(chunks - 1) + S::kAttention);
            groupCommit();
            groupWait<0>();
            settle(o);
            leaveOutputs(chunks - 1);
        }
        if (out.finalState)
            storeState();
    }

private:
    __device__ int column(int half) const { return firstColumn + group * 64 + thread / 32 * 16 + r + half * 8; }

    /// x[64, 64 tokens] = state (packed) tile^T.
    __device__ __forceinline__ void timesKeys(float (&x)[8][4], const std::uint32_t (&packed)[Key / 16][4], const unsigned char* tile)
    {
        multiplyGroup<64, false, false>(x, packed[0], columnsAsK<kTokens, S::kKeyWidth>(tile, 0));
#pragma unroll
        for (int kk = 1; kk < Key / 16; ++kk)
            multiplyGroup<64, true, false>(x, packed[kk], columnsAsK<kTokens, S::kKeyWidth>(tile, kk * 16));
    }

    /// x[64, i] = or += sum over j of packed[64, j] square[i, j].
    template <bool Accumulate>
    __device__ __forceinline__ void timesSquare(float (&x)[8][4], const std::uint32_t (&packed)[4][4], const unsigned char* square)
    {
        multiplyGroup<64, Accumulate, false>(x, packed[0], columnsAsK<kTokens, 128>(square, 0));
#pragma unroll
        for (int j = 1; j < 4; ++j)
            multiplyGroup<64, true, false>(x, packed[j], columnsAsK<kTokens, 128>(square, j * 16));
    }

    /// Goes through a chunk. Its own part of the outputs, A N, is left to the next chunk, where there is time for it: `before` are the last
    /// chunk's tiles.
    __device__ __forceinline__ void advance(int chunk, const unsigned char* stage, const unsigned char* before)
    {
        const auto gates
            = [&](PairOfGates which, int n) { return *reinterpret_cast<const float4*>(stage + S::kGates + (which + n * 16 + c * 2) * 4); };
        const float* decay = reinterpret_cast<const float*>(stage + S::kDecay);
#pragma unroll
        for (int n = 0; n < Key / 8; ++n) {
            const float2 factor = PerChannel ? *reinterpret_cast<const float2*>(decay + n * 8 + c) : make_float2(decay[0], decay[0]);
            state[n][0] *= factor.x;
            state[n][1] *= factor.y;
            state[n][2] *= factor.x;
            state[n][3] *= factor.y;
        }

        // What the state before the chunk predicts for each key.
        float x[8][4];
        groupFence();
        if (Delta) {
            timesKeys(x, packedState, stage + S::kKeyIn);
            groupCommit();
        }
        timesSquare<true>(o, written, before + S::kAttention);
        groupCommit();

        // While those are under way: what does not depend on them.
        std::uint32_t values[4][4];
#pragma unroll
        for (int n = 0; n < 4; ++n)
            loadTiles<true>(values[n], stage + S::kValue + group * Square::kPanel + turnedAt(n));

        // R and N.
        if (Delta) {
            groupWait<1>();
            settle(x);
#pragma unroll
            for (int n = 0; n < 8; ++n) {
                const float4 g = gates(kForValues, n);
                const float2 upper = unpack<Element16>(values[n / 2][n % 2 * 2]), lower = unpack<Element16>(values[n / 2][n % 2 * 2 + 1]);
                values[n / 2][n % 2 * 2] = pack<Element16>(g.x * upper.x + g.z * x[n][0], g.y * upper.y + g.w * x[n][1]);
                values[n / 2][n % 2 * 2 + 1] = pack<Element16>(g.x * lower.x + g.z * x[n][2], g.y * lower.y + g.w * x[n][3]);
            }
            groupFence();
            timesSquare<false>(x, values, stage + S::kInverse);
            groupCommit();
        }
        // Meanwhile the last chunk's outputs are ready.
        groupWait<Delta ? 1 : 0>();
        settle(o);
        if (chunk > 0)
            leaveOutputs(chunk - 1);
        groupFence();
        timesKeys(o, packedState, stage + S::kQuery);
        groupCommit();
        if (Delta) {
            groupWait<1>();
            settle(x);
        }

        // The state after the chunk, and what the outputs take from the one before.
        std::uint32_t decayed[4][4];
#pragma unroll
        for (int n = 0; n < 8; ++n) {
            const float4 g = gates(kForOutputs, n);
            const float2 upper = Delta ? make_float2(x[n][0], x[n][1]) : unpack<Element16>(values[n / 2][n % 2 * 2]),
                         lower = Delta ? make_float2(x[n][2], x[n][3]) : unpack<Element16>(values[n / 2][n % 2 * 2 + 1]);
            decayed[n / 2][n % 2 * 2] = pack<Element16>(upper.x * g.z, upper.y * g.w);
            decayed[n / 2][n % 2 * 2 + 1] = pack<Element16>(lower.x * g.z, lower.y * g.w);
            written[n / 2][n % 2 * 2] = pack<Element16>(upper.x, upper.y);
            written[n / 2][n % 2 * 2 + 1] = pack<Element16>(lower.x, lower.y);
        }
        groupFence();
        addToState(decayed, stage + S::kKeyOut);
        groupCommit();
        groupWait<1>();
        settle(o);
#pragma unroll
        for (int n = 0; n < 8; ++n) {
            const float4 g = gates(kForOutputs, n);
            o[n][0] *= g.x;
            o[n][1] *= g.y;
            o[n][2] *= g.x;
            o[n][3] *= g.y;
        }
        groupWait<0>();
        settle(state);
        packState();
    }

    __device__ __forceinline__ void packState()
    {
#pragma unroll
        for (int kk = 0; kk < Key / 16; ++kk)
            packPair(packedState[kk], state[2 * kk], state[2 * kk + 1]);
    }

    __device__ __forceinline__ void addToState(const std::uint32_t (&news)[4][4], const unsigned char* keys)
    {
#pragma unroll
        for (int kk = 0; kk < 4; ++kk)
            multiplyGroup<Key, true, true>(state, news[kk], rowsAsK<kTokens, S::kKeyWidth>(keys, kk * 16));
    }

    /// Where this lane finds or leaves its rows of the 16 x 16 squares of tokens n * 16 to n * 16 + 15 and its warp's columns.
    __device__ int turnedAt(int n) const
    {
        const int lane = thread % 32;
        return Square::at(n * 16 + lane / 16 * 8 + lane % 8, thread / 32 * 16 + lane / 8 % 2 * 8);
    }

    /// The chunk's results to shared memory, as rows of tokens. The tiles of the chunk are free, too.
    __device__ __forceinline__ void leaveOutputs(int chunk)
    {
        if (chunk > 0)
            barrierSync(takenBarrier(group), 128 + kHalf);
#pragma unroll
        for (int n = 0; n < 4; ++n) {
            std::uint32_t pair[4];
            packPair(pair, o[2 * n], o[2 * n + 1]);
            storeTiles<true>(turned + group * kTurned + turnedAt(n), pair);
        }
        barrierArrive(doneBarrier(group), 128 + 2 * kHalf);
    }

    template <typename F> __device__ __forceinline__ void eachOfState(F&& f)
    {
        const std::int64_t first = (std::int64_t(blockIdx.x) * p.heads + head) * p.keyDim * p.valueDim;
#pragma unroll
        for (int n = 0; n < Key / 8; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                const int key = n * 8 + c + e % 2, value = column(e / 2);
                f(state[n][e], first + key * p.valueDim + value, key < p.keyDim && value < p.valueDim);
            }
    }
    __device__ void loadState()
    {
        eachOfState([&](float& x, std::int64_t at, bool inside) { x = p.initialState && inside ? p.initialState[at] : 0.f; });
    }
    __device__ void storeState()
    {
        eachOfState([&](float& x, std::int64_t at, bool inside) {
            if (inside)
                out.finalState[at] = x;
        });
    }

    int r, c; ///< this lane's row and first column in a 16 x 8 result
    float state[Key / 8][4]; ///< transposed: [64 values, keys], 16 values a warp
    std::uint32_t packedState[Key / 16][4];
    float o[8][4];
    std::uint32_t written[4][4]; ///< N of the last chunk
};

template <int Key, bool Delta, bool PerChannel, int Groups, int Stages>
__global__ void __launch_bounds__(Groups * 128 + 128, 1) groupScanKernel(RecurrenceProblem p, Scratch scratch, ScanOutputs out)
{
#if POSTNAS_WARP_GROUPS
    POSTNAS_SHARED_MEMORY(shared);
    if (__shfl_sync(0xffffffffu, int(threadIdx.x) / 128, 0) == Groups)
        GroupHelpers<Key, Delta, PerChannel, Groups, Stages>(p, scratch, out, shared).run();
    else
        GroupScan<Key, Delta, PerChannel, Groups, Stages>(p, scratch, out, shared).run();
#else
    __trap();
#endif
}

template <int Key, bool Delta, bool PerChannel, int Groups, int Stages>
cudaError_t groupScan(const RecurrenceProblem& p, const Scratch& scratch, const ScanOutputs& out, cudaStream_t stream)
{
    using Block = GroupBlock<Key, Delta, PerChannel, Groups, Stages>;
    const dim3 grid(unsigned(sequenceCount(p)), unsigned(p.heads), unsigned((p.valueDim + Block::kColumns - 1) / Block::kColumns));
    return launch(groupScanKernel<Key, Delta, PerChannel, Groups, Stages>, grid, dim3(Block::kThreads), Block::kBytes, stream, p, scratch, out);
}

template <int Key> cudaError_t groupScan(const RecurrenceProblem& p, const Scratch& scratch, const ScanOutputs& out, cudaStream_t stream)
{
    const auto run = [&](auto delta, auto perChannel) {
        constexpr bool kDelta = decltype(delta)::value, kPerChannel = decltype(perChannel)::value;
        // Where shared memory has room for two chunks only, two groups would wait for the helpers most of the time.
        constexpr int kStages = Key == 128 && kDelta && kPerChannel ? 2 : 3;
        if constexpr (kStages == 3)
            if (!fewBlocks(p))
                return groupScan<Key, kDelta, kPerChannel, 2, kStages>(p, scratch, out, stream);
        return groupScan<Key, kDelta, kPerChannel, 1, kStages>(p, scratch, out, stream);
    };
    if (p.gatePerChannel)
        return p.beta ? run(std::true_type(), std::true_type()) : run(std::false_type(), std::true_type());
    return p.beta ? run(std::true_type(), std::false_type()) : run(std::false_type(), std::false_type());
}

} // namespace

bool groupScanCanTake(const RecurrenceProblem& p)
{
#ifdef POSTNAS_CUDA_EMULATION
    return p.keyDim <= kMaxGroupKey && emulation::warpGroups;
#else
    // Only devices of compute capability 9.0 have the products, and only where code for them was built.
    cudaFuncAttributes code;
    return p.keyDim <= kMaxGroupKey && cudaFuncGetAttributes(&code, groupScanKernel<64, false, false, 1, 3>) == cudaSuccess && code.binaryVersion == 90
        && code.ptxVersion >= 90;
#endif
}

cudaError_t launchGroupScan(const RecurrenceProblem& p, const Scratch& scratch, const ScanOutputs& out, cudaStream_t stream)
{
    if (p.keyDim <= 64)
        return groupScan<64>(p, scratch, out, stream);
    return p.keyDim <= 96 ? groupScan<96>(p, scratch, out, stream) : groupScan<128>(p, scratch, out, stream);
}

} // namespace postnas::ops::cuda::chunk
