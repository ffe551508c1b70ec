// First pass of the backward pass over the chunks where four warps can multiply together: the states before the chunks and the written values.
#include "kernels/linear_recurrence/chunk_group_work.cuh"

namespace postnas::ops::cuda::chunk {
namespace {

template <int Key, bool Delta, bool PerChannel, typename Shape> class GroupStates : GroupWork<Key, Delta, PerChannel, PassFor::States, Shape> {
    using Base = GroupWork<Key, Delta, PerChannel, PassFor::States, Shape>;
    using Base::addToState, Base::decayState, Base::done, Base::gates, Base::leave, Base::loadState, Base::loadValues, Base::packState,
        Base::storePackedState, Base::timesKeys;
    using Base::chunks, Base::group, Base::kHalf, Base::p, Base::stageOf, Base::state;
    using typename Base::Packed;
    using typename Base::S;

public:
    using Base::Base;

    __device__ __forceinline__ void run(Element16* states)
    {
        loadState(p.initialState);
#pragma unroll 1
        for (int i = 0; i < chunks; ++i) {
            barrierSync(arrivedBarrier(group, i), 128 + kHalf);
            advance(i, stageOf(i), states);
        }
    }

private:
    __device__ __forceinline__ void advance(int chunk, const unsigned char* stage, Element16* states)
    {
        constexpr bool kEarly = Shape::kBlocks == 3; // registers are few
        Packed values;
        float x[8][4];
        if (Delta) {
            groupFence();
            timesKeys(x, stage + S::kKeyIn); // what the state before the chunk predicts for each key
            groupCommit();
        }
        if (!Delta) {
            loadValues(values, stage);
            decayState(chunk);
        }
        if (Delta) {
            groupWait<0>();
            settle(x);
            if (kEarly)
                storePackedState(states, chunk);
            loadValues(values, stage);
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
            decayState(chunk);
            if (!kEarly)
                storePackedState(states, chunk);
            groupWait<0>();
            settle(x);
        }
        Packed decayed;
#pragma unroll
        for (int n = 0; n < 8; ++n) {
            const float4 g = gates(stage, kForOutputs, n);
            const float2 upper = Delta ? make_float2(x[n][0], x[n][1]) : unpack<Element16>(values[n / 2][n % 2 * 2]),
                         lower = Delta ? make_float2(x[n][2], x[n][3]) : unpack<Element16>(values[n / 2][n % 2 * 2 + 1]);
            decayed[n / 2][n % 2 * 2] = pack<Element16>(upper.x * g.z, upper.y * g.w);
            decayed[n / 2][n % 2 * 2 + 1] = pack<Element16>(lower.x * g.z, lower.y * g.w);
        }
        if (Delta)
            leave(x, chunk);
        groupFence();
        addToState(decayed, stage + S::kKeyOut);
        groupCommit();
        if (!Delta)
            storePackedState(states, chunk);
        groupWait<0>();
        settle(state);
        done(chunk);
        packState();
    }
};

template <int Key, bool Delta, bool PerChannel, typename Shape>
__global__ void __launch_bounds__(Shape::kGroups * 128 + 128, Shape::kBlocks)
    groupStatesKernel(RecurrenceProblem p, Scratch scratch, GroupArrays arrays, Element16* states)
{
#if POSTNAS_WARP_GROUPS
    POSTNAS_SHARED_MEMORY(shared);
    if (__shfl_sync(0xffffffffu, int(threadIdx.x) / 128, 0) == Shape::kGroups)
        GroupHelpers<Key, Delta, PerChannel, PassFor::States, Shape>(p, scratch, arrays, shared).run();
    else
        GroupStates<Key, Delta, PerChannel, Shape>(p, scratch, arrays, shared).run(states);
#else
    __trap();
#endif
}

template <int Key, bool Delta, bool PerChannel, typename Shape>
cudaError_t groupStates(const RecurrenceProblem& p, const Scratch& scratch, const BackwardScratch& backward, cudaStream_t stream)
{
    using Block = GroupBlock<Key, Delta, PerChannel, PassFor::States, Shape>;
    return launch(groupStatesKernel<Key, Delta, PerChannel, Shape>, Block::grid(p), dim3(Block::kThreads), Block::kBytes, stream, p, scratch,
        GroupArrays { p.v, backward.news }, backward.states);
}

} // namespace

cudaError_t launchGroupStates(const RecurrenceProblem& p, const Scratch& scratch, const BackwardScratch& backward, cudaStream_t stream)
{
    return forCase<kMaxGroupKey>(p, [&](auto width, auto delta, auto perChannel) {
        constexpr int kKey = width();
        constexpr bool kDelta = delta(), kPerChannel = perChannel();
        if (fewBlocks(p))
            return groupStates<kKey, kDelta, kPerChannel, GroupShape<1, kKey == 128 && kDelta && kPerChannel ? 2 : 3, 1>>(
                p, scratch, backward, stream);
        return groupStates<kKey, kDelta, kPerChannel, GroupShape<1, 2, kKey <= 96 && !kPerChannel ? 3 : 2>>(p, scratch, backward, stream);
    });
}

} // namespace postnas::ops::cuda::chunk
