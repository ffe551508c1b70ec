// Backward pass over the chunks, last to first, where four warps can multiply together: what chunk_scan_backward.cu does elsewhere.
#include "kernels/linear_recurrence/chunk_group_work.cuh"

namespace postnas::ops::cuda::chunk {
namespace {

template <int Key, bool Delta, bool PerChannel, typename Shape>
class GroupScanBackward : GroupWork<Key, Delta, PerChannel, PassFor::Gradients, Shape> {
    using Base = GroupWork<Key, Delta, PerChannel, PassFor::Gradients, Shape>;
    using Base::addToState, Base::decayState, Base::done, Base::gates, Base::leave, Base::loadState, Base::loadValues, Base::packState,
        Base::storePackedState, Base::storeState, Base::timesKeys, Base::timesMirrored;
    using Base::chunks, Base::group, Base::kHalf, Base::p, Base::stageOf, Base::state;
    using typename Base::Columns;
    using typename Base::Packed;
    using typename Base::S;

public:
    using Base::Base;

    __device__ __forceinline__ void run(Element16* stateGradients, const float* gradFinalState, float* gradInitialState)
    {
        loadState(gradFinalState);
#pragma unroll 1
        for (int i = 0; i < chunks; ++i) {
            barrierSync(arrivedBarrier(group, i), 128 + kHalf);
            retreat(i, stageOf(i), stateGradients);
        }
        if (gradInitialState)
            storeState(gradInitialState);
    }

private:
    __device__ __forceinline__ void retreat(int step, const unsigned char* stage, Element16* stateGradients)
    {
        // dN: what the state after the chunk (x) and the outputs in it (y) say about each written value.
        Columns x, y;
        Packed gradO, packed;
        decayState(step);
        groupFence();
        timesKeys(x, stage + S::kKeyOut);
        groupCommit();
        loadValues(gradO, stage);
        scaleOutputs(packed, gradO, stage);
        groupFence();
        timesMirrored(y, gradO, stage + S::kAttention);
        groupCommit();
        addToState(packed, stage + S::kQuery); // the state's own gradient goes on with what outputs read from it
        groupCommit();
        groupWait<1>();
        settle(x);
        settle(y);
#pragma unroll
        for (int n = 0; n < 8; ++n) {
            const float4 g = gates(stage, kForOutputs, n);
            y[n][0] += x[n][0] * g.z;
            y[n][1] += x[n][1] * g.w;
            y[n][2] += x[n][2] * g.z;
            y[n][3] += x[n][3] * g.w;
        }
        if (Delta) {
            // It also goes on with what the predictions took from it.
#pragma unroll
            for (int n = 0; n < 4; ++n)
                packPair(gradO[n], y[2 * n], y[2 * n + 1]);
            groupFence();
            timesMirrored(x, gradO, stage + S::kInverse);
            groupCommit();
            storePackedState(stateGradients, step);
            groupWait<0>();
            settle(x);
            settle(state);
            takeBack(packed, x, y, stage);
            leave(y, step);
            groupFence();
            addToState(packed, stage + S::kKeyIn);
            groupCommit();
        } else {
            leave(y, step);
            storePackedState(stateGradients, step);
        }
        groupWait<0>();
        settle(state);
        done(step);
        packState();
    }

    /// The gradient of o as what is added to the state's.
    __device__ __forceinline__ void scaleOutputs(Packed& to, const Packed& gradO, const unsigned char* stage)
    {
#pragma unroll
        for (int n = 0; n < 8; ++n) {
            const float4 g = gates(stage, kForOutputs, n);
            const float2 upper = unpack<Element16>(gradO[n / 2][n % 2 * 2]), lower = unpack<Element16>(gradO[n / 2][n % 2 * 2 + 1]);
            to[n / 2][n % 2 * 2] = pack<Element16>(upper.x * g.x, upper.y * g.y);
            to[n / 2][n % 2 * 2 + 1] = pack<Element16>(lower.x * g.x, lower.y * g.y);
        }
    }

    /// From X^T dN, `x`: what is added to the state's gradient, and the gradient of v.
    __device__ __forceinline__ void takeBack(Packed& to, const Columns& x, Columns& gradV, const unsigned char* stage)
    {
#pragma unroll
        for (int n = 0; n < 8; ++n) {
            const float4 g = gates(stage, kForValues, n);
            to[n / 2][n % 2 * 2] = pack<Element16>(x[n][0] * g.z, x[n][1] * g.w);
            to[n / 2][n % 2 * 2 + 1] = pack<Element16>(x[n][2] * g.z, x[n][3] * g.w);
            gradV[n][0] = x[n][0] * g.x;
            gradV[n][1] = x[n][1] * g.y;
            gradV[n][2] = x[n][2] * g.x;
            gradV[n][3] = x[n][3] * g.y;
        }
    }
};

template <int Key, bool Delta, bool PerChannel, typename Shape>
__global__ void __launch_bounds__(Shape::kGroups * 128 + 128, Shape::kBlocks) groupScanBackwardKernel(
    RecurrenceProblem p, Scratch scratch, GroupArrays arrays, Element16* stateGradients, const float* gradFinalState, float* gradInitialState)
{
#if POSTNAS_WARP_GROUPS
    POSTNAS_SHARED_MEMORY(shared);
    if (__shfl_sync(0xffffffffu, int(threadIdx.x) / 128, 0) == Shape::kGroups)
        GroupHelpers<Key, Delta, PerChannel, PassFor::Gradients, Shape>(p, scratch, arrays, shared).run();
    else
        GroupScanBackward<Key, Delta, PerChannel, Shape>(p, scratch, arrays, shared).run(stateGradients, gradFinalState, gradInitialState);
#else
    __trap();
#endif
}

template <int Key, bool Delta, bool PerChannel, typename Shape>
cudaError_t groupScanBackward(
    const RecurrenceProblem& p, const Scratch& scratch, const BackwardScratch& backward, const ChunkedGradients& gradients, cudaStream_t stream)
{
    using Block = GroupBlock<Key, Delta, PerChannel, PassFor::Gradients, Shape>;
    return launch(groupScanBackwardKernel<Key, Delta, PerChannel, Shape>, Block::grid(p), dim3(Block::kThreads), Block::kBytes, stream, p, scratch,
        GroupArrays { gradients.gradO, static_cast<Element16*>(gradients.v) }, backward.stateGradients, gradients.gradFinalState,
        gradients.initialState);
}

} // namespace

cudaError_t launchGroupScanBackward(
    const RecurrenceProblem& p, const Scratch& scratch, const BackwardScratch& backward, const ChunkedGradients& gradients, cudaStream_t stream)
{
    return forCase<kMaxGroupKey>(p, [&](auto width, auto delta, auto perChannel) {
        constexpr int kKey = width();
        constexpr bool kDelta = delta(), kPerChannel = perChannel();
        using Shape = GroupShape<1, kKey == 128 && kDelta && kPerChannel ? 2 : 3, 1>;
        return groupScanBackward<kKey, kDelta, kPerChannel, Shape>(p, scratch, backward, gradients, stream);
    });
}

} // namespace postnas::ops::cuda::chunk
