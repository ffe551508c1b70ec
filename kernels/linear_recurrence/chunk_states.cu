// First pass of the backward pass over the chunks: goes through a sequence as chunk_scan.cu does, for the states before the chunks and the
// written values alone.
#include "kernels/linear_recurrence/chunk_pass.cuh"

namespace postnas::ops::cuda::chunk {
namespace {

template <int Key, bool Delta, bool PerChannel, int Warps>
class States : Pass<Key, Delta, PerChannel, Warps, false> {
    using Base = Pass<Key, Delta, PerChannel, Warps, false>;
    using typename Base::S;
    using Base::p, Base::scratch, Base::state, Base::warp, Base::c;
    using Base::chunkTotal, Base::column, Base::copy, Base::loadState, Base::slot, Base::stage, Base::storeColumns, Base::tile;

public:
    __device__ States(const RecurrenceProblem& problem, const Scratch& scratchArrays, const BackwardScratch& backwardArrays, unsigned char* shared)
        : Base(problem, scratchArrays, shared), backward(backwardArrays)
    {
    }

    __device__ void run()
    {
        loadState(p.initialState);
        const std::int64_t chunks = chunkTotal();
        if (chunks > 0)
            copy(0, p.v);
        for (std::int64_t i = 0; i < chunks; ++i) {
            waitCopies<0>();
            __syncthreads();
            if (i + 1 < chunks)
                copy(i + 1, p.v);
            storeStateColumns<Key>(state, backward.states + slot(i) * p.keyDim * p.valueDim, p, column(0));
            if (Delta || i + 1 < chunks)
                advance(i);
        }
    }

private:
    __device__ void advance(std::int64_t chunk)
    {
        const float* gates = reinterpret_cast<const float*>(stage(chunk) + S::kGates);
        const auto gate = [&](GateRow row, int n, int e) { return gates[row * kTokens + n * 8 + c + e % 2]; };
        std::uint32_t packed[4][4]; // N, [16 values, 64 tokens], as left operands of 16 tokens each
#pragma unroll
        for (int n = 0; n < 4; ++n)
            loadTiles<true>(packed[n], squareByRows(tile(chunk, S::kValue), S::kValueStride, n * 16, warp * 16));
        if constexpr (Delta)
            correct(chunk, packed, gate);

        const float* channelDecay = reinterpret_cast<const float*>(stage(chunk) + S::kDecay);
        const float decay = gates[kDecayIn * kTokens + kTokens - 1];
#pragma unroll
        for (int n = 0; n < Key / 8; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e)
                state[n][e] *= PerChannel ? (n * 8 + c + e % 2 < p.keyDim ? channelDecay[n * 8 + c + e % 2] : 0.f) : decay;
#pragma unroll
        for (int kk = 0; kk < 4; ++kk) {
            if (!PerChannel)
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    const float2 pair = unpack<Element16>(packed[kk][i]);
                    packed[kk][i] = pack<Element16>(pair.x * gate(kDecayOut, 2 * kk + i / 2, 0), pair.y * gate(kDecayOut, 2 * kk + i / 2, 1));
                }
#pragma unroll
            for (int n = 0; n < Key / 16; ++n) {
                std::uint32_t b[4];
                loadTiles<true>(b, squareByColumns(tile(chunk, S::kKeyOut), S::kKeyStride, kk * 16, n * 16));
                multiply<Element16>(state[2 * n], packed[kk], b[0], b[1]);
                multiply<Element16>(state[2 * n + 1], packed[kk], b[2], b[3]);
            }
        }
    }

    /// The delta rule: from the values in `packed` to what is written of them.
    template <typename Gate>
    __device__ __forceinline__ void correct(std::int64_t chunk, std::uint32_t (&packed)[4][4], const Gate& gate)
    {
        float x[8][4] = {}; // what the state before the chunk predicts for each key
#pragma unroll
        for (int kk = 0; kk < Key / 16; ++kk) {
            std::uint32_t s[4], b[4];
            packPair(s, state[2 * kk], state[2 * kk + 1]);
#pragma unroll
            for (int n = 0; n < 4; ++n) {
                loadTiles<false>(b, squareByRows(tile(chunk, S::kKeyIn), S::kKeyStride, n * 16, kk * 16));
                multiply<Element16>(x[2 * n], s, b[0], b[1]);
                multiply<Element16>(x[2 * n + 1], s, b[2], b[3]);
            }
        }
#pragma unroll
        for (int n = 0; n < 4; ++n)
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const float2 pair = unpack<Element16>(packed[n][i]);
                const int at = 2 * n + i / 2, e = i % 2 * 2;
                packed[n][i] = pack<Element16>(gate(kBeta, at, 0) * (pair.x - (PerChannel ? 1.f : gate(kDecayIn, at, 0)) * x[at][e]),
                                               gate(kBeta, at, 1) * (pair.y - (PerChannel ? 1.f : gate(kDecayIn, at, 1)) * x[at][e + 1]));
            }
#pragma unroll
        for (int n = 0; n < 8; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e)
                x[n][e] = 0.f;
#pragma unroll
        for (int i = 0; i < 4; ++i)
#pragma unroll
            for (int j = 0; j <= i; ++j) {
                std::uint32_t b[4];
                loadTiles<false>(b, squareByRows(tile(chunk, S::kInverse), kSquareStride, i * 16, j * 16));
                multiply<Element16>(x[2 * i], packed[j], b[0], b[1]);
                multiply<Element16>(x[2 * i + 1], packed[j], b[2], b[3]);
            }
        storeColumns(chunk, x, backward.news);
#pragma unroll
        for (int n = 0; n < 4; ++n)
            packPair(packed[n], x[2 * n], x[2 * n + 1]);
    }

    const BackwardScratch& backward;
};

template <int Key, bool Delta, bool PerChannel, int Warps>
__global__ void __launch_bounds__(Warps * 32, Key <= 128 && Warps <= 4 ? 12 / Warps : 1)
    statesKernel(RecurrenceProblem p, Scratch scratch, BackwardScratch backward)
{
    if constexpr (!kGroupsTake<Key>) {
        POSTNAS_SHARED_MEMORY(shared);
        States<Key, Delta, PerChannel, Warps>(p, scratch, backward, shared).run();
    } else {
        __trap();
    }
}

template <int Key, bool Delta, bool PerChannel, int Warps>
cudaError_t states(const RecurrenceProblem& p, const Scratch& scratch, const BackwardScratch& backward, cudaStream_t stream)
{
    return launch(statesKernel<Key, Delta, PerChannel, Warps>, passGrid<Warps>(p), dim3(Warps * 32),
                  2 * Stage<Key, Delta, PerChannel, Warps, false>::kBytes, stream, p, scratch, backward);
}

} // namespace

cudaError_t launchStates(const RecurrenceProblem& p, const Scratch& scratch, const BackwardScratch& backward, cudaStream_t stream)
{
    if (groupScanCanTake(p))
        return launchGroupStates(p, scratch, backward, stream);
    return forCase(p, [&](auto width, auto delta, auto perChannel) {
        return fewBlocks(p) ? states<width(), delta(), perChannel(), 2>(p, scratch, backward, stream)
                            : states<width(), delta(), perChannel(), 4>(p, scratch, backward, stream);
    });
}

} // namespace postnas::ops::cuda::chunk
