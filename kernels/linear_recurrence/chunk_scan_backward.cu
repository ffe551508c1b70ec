// Backward pass of the chunked linear recurrence over the chunks, last to first: carries the gradient of the state as chunk_scan.cu carries
// the state, 16 value columns a warp, and leaves what the gradients of each chunk need.
#include "kernels/linear_recurrence/chunk_pass.cuh"

namespace postnas::ops::cuda::chunk {
namespace {

template <int Key, bool Delta, bool PerChannel, int Warps>
class ScanBackward : Pass<Key, Delta, PerChannel, Warps> {
    using Base = Pass<Key, Delta, PerChannel, Warps>;
    using typename Base::S;
    using Base::p, Base::scratch, Base::sequence, Base::state, Base::warp, Base::c;
    using Base::chunkTotal, Base::column, Base::copy, Base::loadState, Base::slot, Base::stage, Base::storeColumns, Base::storeState, Base::tile;

public:
    __device__ ScanBackward(const RecurrenceProblem& problem, const Scratch& scratchArrays, const BackwardScratch& backwardArrays,
                            const ChunkedGradients& outputs, unsigned char* shared)
        : Base(problem, scratchArrays, shared), backward(backwardArrays), gradients(outputs)
    {
    }

    __device__ void run()
    {
        loadState(gradients.gradFinalState);
        const std::int64_t chunks = chunkTotal();
        if (chunks > 0)
            copy(chunks - 1, gradients.gradO);
        for (std::int64_t i = chunks - 1; i >= 0; --i) {
            waitCopies<0>();
            __syncthreads();
            if (i > 0)
                copy(i - 1, gradients.gradO);
            retreat(i);
        }
        if (gradients.initialState)
            storeState(gradients.initialState);
    }

private:
    /// x[16, 64 j] += sum over i >= j of packed[16, i] square[i, j].
    __device__ void multiplyTransposed(float (&x)[8][4], const std::uint32_t (&packed)[4][4], const Element16* square)
    {
#pragma unroll
        for (int i = 0; i < 4; ++i)
#pragma unroll
            for (int j = 0; j <= i; ++j) {
                std::uint32_t b[4];
                loadTiles<true>(b, squareByColumns(square, kSquareStride, i * 16, j * 16));
                multiply<Element16>(x[2 * j], packed[i], b[0], b[1]);
                multiply<Element16>(x[2 * j + 1], packed[i], b[2], b[3]);
            }
    }

    /// state[16, Key] += packed[16, 64 tokens] tile[64 tokens, Key].
    __device__ void addToState(const std::uint32_t (&packed)[4][4], const Element16* keys)
    {
#pragma unroll
        for (int kk = 0; kk < 4; ++kk)
#pragma unroll
            for (int n = 0; n < Key / 16; ++n) {
                std::uint32_t b[4];
                loadTiles<true>(b, squareByColumns(keys, S::kKeyStride, kk * 16, n * 16));
                multiply<Element16>(state[2 * n], packed[kk], b[0], b[1]);
                multiply<Element16>(state[2 * n + 1], packed[kk], b[2], b[3]);
            }
    }

    __device__ void retreat(std::int64_t chunk)
    {
        storeStateColumns<Key>(state, backward.stateGradients + slot(chunk) * p.keyDim * p.valueDim, p, column(0));
        const float* gates = reinterpret_cast<const float*>(stage(chunk) + S::kGates);
        const auto gate = [&](GateRow row, int n, int e) { return gates[row * kTokens + n * 8 + c + e % 2]; };

        // dN: what the state after the chunk and the outputs in it say about each written value.
        float gradient[8][4] = {};
#pragma unroll
        for (int kk = 0; kk < Key / 16; ++kk) {
            std::uint32_t s[4], b[4];
            packPair(s, state[2 * kk], state[2 * kk + 1]);
#pragma unroll
            for (int n = 0; n < 4; ++n) {
                loadTiles<false>(b, squareByRows(tile(chunk, S::kKeyOut), S::kKeyStride, n * 16, kk * 16));
                multiply<Element16>(gradient[2 * n], s, b[0], b[1]);
                multiply<Element16>(gradient[2 * n + 1], s, b[2], b[3]);
            }
        }
        if (!PerChannel) {
#pragma unroll
            for (int n = 0; n < 8; ++n)
#pragma unroll
                for (int e = 0; e < 4; ++e)
                    gradient[n][e] *= gate(kDecayOut, n, e);
        }
        std::uint32_t gradO[4][4], packed[4][4];
#pragma unroll
        for (int n = 0; n < 4; ++n)
            loadTiles<true>(gradO[n], squareByRows(tile(chunk, S::kValue), S::kValueStride, n * 16, warp * 16));
        multiplyTransposed(gradient, gradO, tile(chunk, S::kAttention));

        // The state's own gradient goes on with what outputs read from it.
        const float* channelDecay = reinterpret_cast<const float*>(stage(chunk) + S::kDecay);
        const float decay = gates[kDecayIn * kTokens + kTokens - 1];
#pragma unroll
        for (int n = 0; n < Key / 8; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e)
                state[n][e] *= PerChannel ? (n * 8 + c + e % 2 < p.keyDim ? channelDecay[n * 8 + c + e % 2] : 0.f) : decay;
#pragma unroll
        for (int n = 0; n < 4; ++n)
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const float2 pair = unpack<Element16>(gradO[n][i]);
                const int at = 2 * n + i / 2;
                packed[n][i] = pack<Element16>(pair.x * p.scale * (PerChannel ? 1.f : gate(kDecayIn, at, 0)),
                                               pair.y * p.scale * (PerChannel ? 1.f : gate(kDecayIn, at, 1)));
            }
        addToState(packed, tile(chunk, S::kQuery));
        auto* gradV = static_cast<Element16*>(gradients.v);
        if constexpr (Delta)
            takeBack(chunk, gradient, gradV, gate);
        else
            storeColumns(chunk, gradient, gradV);
    }

    /// With the delta rule the gradient of the state also goes on with what the predictions took from it. `gradient` is dN.
    template <typename Gate>
    __device__ __forceinline__ void takeBack(std::int64_t chunk, float (&gradient)[8][4], Element16* gradV, const Gate& gate)
    {
        std::uint32_t packed[4][4];
#pragma unroll
        for (int n = 0; n < 4; ++n)
            packPair(packed[n], gradient[2 * n], gradient[2 * n + 1]);
#pragma unroll
        for (int n = 0; n < 8; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e)
                gradient[n][e] = 0.f;
        multiplyTransposed(gradient, packed, tile(chunk, S::kInverse));
#pragma unroll
        for (int n = 0; n < 8; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e)
                gradient[n][e] *= gate(kBeta, n, e);
        storeColumns(chunk, gradient, gradV);
#pragma unroll
        for (int n = 0; n < 8; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e)
                gradient[n][e] *= PerChannel ? -1.f : -gate(kDecayIn, n, e);
#pragma unroll
        for (int n = 0; n < 4; ++n)
            packPair(packed[n], gradient[2 * n], gradient[2 * n + 1]);
        addToState(packed, tile(chunk, S::kKeyIn));
    }

    const BackwardScratch& backward;
    const ChunkedGradients& gradients;
};

template <int Key, bool Delta, bool PerChannel, int Warps>
__global__ void __launch_bounds__(Warps * 32)
    scanBackwardKernel(RecurrenceProblem p, Scratch scratch, BackwardScratch backward, ChunkedGradients gradients)
{
    if constexpr (!kGroupsTake<Key> || (!Delta && Warps > 2)) {
        POSTNAS_SHARED_MEMORY(shared);
        ScanBackward<Key, Delta, PerChannel, Warps>(p, scratch, backward, gradients, shared).run();
    } else {
        __trap();
    }
}

template <int Key, bool Delta, bool PerChannel, int Warps>
cudaError_t scanBackward(const RecurrenceProblem& p, const Scratch& scratch, const BackwardScratch& backward, const ChunkedGradients& gradients,
                         cudaStream_t stream)
{
    return launch(scanBackwardKernel<Key, Delta, PerChannel, Warps>, passGrid<Warps>(p), dim3(Warps * 32),
                  2 * Stage<Key, Delta, PerChannel, Warps>::kBytes, stream, p, scratch, backward, gradients);
}

} // namespace

cudaError_t launchScanBackward(const RecurrenceProblem& p, const Scratch& scratch, const BackwardScratch& backward,
                               const ChunkedGradients& gradients, cudaStream_t stream)
{
    // Without the delta rule the way through a chunk is short, and with many blocks these kernels were faster.
    if (groupScanCanTake(p) && (p.beta || fewBlocks(p)))
        return launchGroupScanBackward(p, scratch, backward, gradients, stream);
    return forCase(p, [&](auto width, auto delta, auto perChannel) {
        constexpr int kKey = width();
        const auto run = [&](auto warps) { return scanBackward<kKey, delta(), perChannel(), warps()>(p, scratch, backward, gradients, stream); };
        if (fewBlocks(p))
            return run(std::integral_constant<int, 2>());
        // Wide blocks read the keys less often; worth it where they still occupy most multiprocessors.
        if constexpr (!delta() && kKey <= 128)
            if (sequenceCount(p) * p.heads * ((p.valueDim + 127) / 128) >= 96)
                return run(std::integral_constant<int, 8>());
        return run(std::integral_constant<int, 4>());
    });
}

} // namespace postnas::ops::cuda::chunk
