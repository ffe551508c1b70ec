// Second kernel of the chunked linear recurrence where four warps can multiply together: goes through the chunks of a sequence and carries the
// state. chunk_scan.cu does it elsewhere.
//
// A group of four warps owns 64 value columns of one head and keeps their part of the state, transposed, in registers for the whole sequence: the
// result layout of one product is the operand layout of the next, and the other operands are the chunk's tiles in shared memory. Everything else
// is the business of four more warps, the helpers: they bring the tiles of the chunks to come and take the outputs away, so that the way through a
// chunk, which the next one waits for, is products and little between them.
#include "kernels/include/hopper.cuh"
#include "kernels/linear_recurrence/chunk_group_work.cuh"

namespace postnas::ops::cuda::chunk {
namespace {

template <int Key, bool Delta, bool PerChannel, typename Shape> class GroupScan : GroupWork<Key, Delta, PerChannel, PassFor::Outputs, Shape> {
    using Base = GroupWork<Key, Delta, PerChannel, PassFor::Outputs, Shape>;
    using Base::addToState, Base::decayState, Base::done, Base::gates, Base::leave, Base::loadState, Base::loadValues, Base::packState,
        Base::storeState, Base::timesKeys;
    using Base::chunks, Base::group, Base::kHalf, Base::p, Base::stageOf, Base::state;
    using typename Base::S;

public:
    using Base::Base;

    __device__ __forceinline__ void run(float* finalState)
    {
        loadState(p.initialState);
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
            this->template timesSquare<true>(o, written, stageOf(chunks - 1) + S::kAttention);
            groupCommit();
            groupWait<0>();
            settle(o);
            leave(o, chunks - 1);
            done(chunks - 1);
        }
        if (finalState)
            storeState(finalState);
    }

private:
    /// Goes through a chunk. Its own part of the outputs, A N, is left to the next chunk, where there is time for it: `before` are the last
    /// chunk's tiles.
    __device__ __forceinline__ void advance(int chunk, const unsigned char* stage, const unsigned char* before)
    {
        decayState(chunk);

        // What the state before the chunk predicts for each key.
        float x[8][4];
        groupFence();
        if (Delta) {
            timesKeys(x, stage + S::kKeyIn);
            groupCommit();
        }
        this->template timesSquare<true>(o, written, before + S::kAttention);
        groupCommit();

        // While those are under way: what does not depend on them.
        std::uint32_t values[4][4];
        loadValues(values, stage);

        // R and N.
        if (Delta) {
            groupWait<1>();
            settle(x);
#pragma unroll
            for (int n = 0; n < 8; ++n) {
                const float4 g = gates(stage, kForValues, n);
                const float2 upper = unpack<Element16>(values[n / 2][n % 2 * 2]), lower = unpack<Element16>(values[n / 2][n % 2 * 2 + 1]);
                values[n / 2][n % 2 * 2] = pack<Element16>(g.x * upper.x + g.z * x[n][0], g.y * upper.y + g.w * x[n][1]);
                values[n / 2][n % 2 * 2 + 1] = pack<Element16>(g.x * lower.x + g.z * x[n][2], g.y * lower.y + g.w * x[n][3]);
            }
            groupFence();
            this->template timesSquare<false>(x, values, stage + S::kInverse);
            groupCommit();
        }
        // Meanwhile the last chunk's outputs are ready.
        groupWait<Delta ? 1 : 0>();
        settle(o);
        if (chunk > 0) {
            leave(o, chunk - 1);
            done(chunk - 1);
        }
        groupFence();
        timesKeys(o, stage + S::kQuery);
        groupCommit();
        if (Delta) {
            groupWait<1>();
            settle(x);
        }

        // The state after the chunk, and what the outputs take from the one before.
        std::uint32_t decayed[4][4];
#pragma unroll
        for (int n = 0; n < 8; ++n) {
            const float4 g = gates(stage, kForOutputs, n);
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
            const float4 g = gates(stage, kForOutputs, n);
            o[n][0] *= g.x;
            o[n][1] *= g.y;
            o[n][2] *= g.x;
            o[n][3] *= g.y;
        }
        groupWait<0>();
        settle(state);
        packState();
    }

    float o[8][4];
    std::uint32_t written[4][4]; ///< N of the last chunk
};

template <int Key, bool Delta, bool PerChannel, typename Shape>
__global__ void __launch_bounds__(Shape::kGroups * 128 + 128, Shape::kBlocks)
    groupScanKernel(RecurrenceProblem p, Scratch scratch, GroupArrays arrays, float* finalState)
{
#if POSTNAS_WARP_GROUPS
    POSTNAS_SHARED_MEMORY(shared);
    if (__shfl_sync(0xffffffffu, int(threadIdx.x) / 128, 0) == Shape::kGroups)
        GroupHelpers<Key, Delta, PerChannel, PassFor::Outputs, Shape>(p, scratch, arrays, shared).run();
    else
        GroupScan<Key, Delta, PerChannel, Shape>(p, scratch, arrays, shared).run(finalState);
#else
    __trap();
#endif
}

template <int Key, bool Delta, bool PerChannel, typename Shape>
cudaError_t groupScan(const RecurrenceProblem& p, const Scratch& scratch, const ScanOutputs& out, cudaStream_t stream)
{
    using Block = GroupBlock<Key, Delta, PerChannel, PassFor::Outputs, Shape>;
    return launch(groupScanKernel<Key, Delta, PerChannel, Shape>, Block::grid(p), dim3(Block::kThreads), Block::kBytes, stream, p, scratch,
        GroupArrays { p.v, out.o }, out.finalState);
}

} // namespace

bool groupScanCanTake(const RecurrenceProblem& p)
{
    return p.keyDim <= kMaxGroupKey && runsHopperCode(groupScanKernel<64, false, false, GroupShape<1, 3, 1>>);
}

cudaError_t launchGroupScan(const RecurrenceProblem& p, const Scratch& scratch, const ScanOutputs& out, cudaStream_t stream)
{
    return forCase<kMaxGroupKey>(p, [&](auto width, auto delta, auto perChannel) {
        constexpr int kKey = width();
        constexpr bool kDelta = delta(), kPerChannel = perChannel();
        // Where shared memory has room for two chunks only, two groups would wait for the helpers most of the time.
        constexpr int kStages = kKey == 128 && kDelta && kPerChannel ? 2 : 3;
        if constexpr (kStages == 3)
            if (!fewBlocks(p))
                return groupScan<kKey, kDelta, kPerChannel, GroupShape<2, kStages, 1>>(p, scratch, out, stream);
        return groupScan<kKey, kDelta, kPerChannel, GroupShape<1, kStages, 1>>(p, scratch, out, stream);
    });
}

} // namespace postnas::ops::cuda::chunk
