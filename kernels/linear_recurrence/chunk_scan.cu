// Second kernel of the chunked linear recurrence: goes through the chunks of a sequence and carries the state. Where four warps can multiply
// together, chunk_scan_group.cu does it faster.
//
// A warp owns 16 value columns of one head and keeps their part of the state, transposed, in registers for the whole sequence. The result
// layout of one product is the operand layout of the next, so between loading a chunk's tiles and storing its outputs nothing passes
// through shared memory and no warp waits for another.
#include "kernels/linear_recurrence/chunk_pass.cuh"

namespace postnas::ops::cuda::chunk {
namespace {

template <int Key, bool Delta, bool PerChannel, int Warps>
class Scan : Pass<Key, Delta, PerChannel, Warps> {
    using Base = Pass<Key, Delta, PerChannel, Warps>;
    using typename Base::S;
    using Base::p, Base::scratch, Base::sequence, Base::state, Base::warp, Base::c;
    using Base::chunkTotal, Base::copy, Base::loadState, Base::stage, Base::storeColumns, Base::storeState, Base::tile;

public:
    __device__ Scan(const RecurrenceProblem& problem, const Scratch& scratchArrays, const ScanOutputs& outputs, unsigned char* shared)
        : Base(problem, scratchArrays, shared), out(outputs)
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
            advance(i);
        }
        if (out.finalState)
            storeState(out.finalState);
    }

private:
    /// x += packed (lower triangle of square)^T: x[16, 64 i] += sum over j <= i of packed[16, j] square[i, j].
    __device__ void multiplyTriangle(float (&x)[8][4], const std::uint32_t (&packed)[4][4], const Element16* square)
    {
#pragma unroll
        for (int i = 0; i < 4; ++i)
#pragma unroll
            for (int j = 0; j <= i; ++j) {
                std::uint32_t b[4];
                loadTiles<false>(b, squareByRows(square, kSquareStride, i * 16, j * 16));
                multiply<Element16>(x[2 * i], packed[j], b[0], b[1]);
                multiply<Element16>(x[2 * i + 1], packed[j], b[2], b[3]);
            }
    }

    __device__ void advance(std::int64_t chunk)
    {
        const float* gates = reinterpret_cast<const float*>(stage(chunk) + S::kGates);
        const auto gate = [&](GateRow row, int n, int e) { return gates[row * kTokens + n * 8 + c + e % 2]; };

        // What the state before the chunk predicts for each key, and gives to each query: state (16 x Key) times tiles (Key x 64).
        float prediction[8][4] = {}, o[8][4] = {};
#pragma unroll
        for (int kk = 0; kk < Key / 16; ++kk) {
            std::uint32_t s[4], b[4];
            packPair(s, state[2 * kk], state[2 * kk + 1]);
#pragma unroll
            for (int n = 0; n < 4; ++n) {
                if (Delta) {
                    loadTiles<false>(b, squareByRows(tile(chunk, S::kKeyIn), S::kKeyStride, n * 16, kk * 16));
                    multiply<Element16>(prediction[2 * n], s, b[0], b[1]);
                    multiply<Element16>(prediction[2 * n + 1], s, b[2], b[3]);
                }
                loadTiles<false>(b, squareByRows(tile(chunk, S::kQuery), S::kKeyStride, n * 16, kk * 16));
                multiply<Element16>(o[2 * n], s, b[0], b[1]);
                multiply<Element16>(o[2 * n + 1], s, b[2], b[3]);
            }
        }
#pragma unroll
        for (int n = 0; n < 8; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e)
                o[n][e] *= p.scale * (PerChannel ? 1.f : gate(kDecayIn, n, e));

        // N, the values that are written: [16, 64], packed as left operands of 16 tokens each.
        float news[8][4] = {};
        std::uint32_t packed[4][4];
#pragma unroll
        for (int n = 0; n < 4; ++n) {
            std::uint32_t v[4];
            loadTiles<true>(v, squareByRows(tile(chunk, S::kValue), S::kValueStride, n * 16, warp * 16));
            if (!Delta) {
#pragma unroll
                for (int i = 0; i < 4; ++i)
                    packed[n][i] = v[i];
            }
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const float2 pair = unpack<Element16>(v[i]);
                const int at = 2 * n + i / 2, e = i % 2 * 2;
                if (Delta) {
                    prediction[at][e] = gate(kBeta, at, 0) * (pair.x - (PerChannel ? 1.f : gate(kDecayIn, at, 0)) * prediction[at][e]);
                    prediction[at][e + 1] = gate(kBeta, at, 1) * (pair.y - (PerChannel ? 1.f : gate(kDecayIn, at, 1)) * prediction[at][e + 1]);
                } else {
                    news[at][e] = pair.x;
                    news[at][e + 1] = pair.y;
                }
            }
        }
        if (Delta) {
#pragma unroll
            for (int n = 0; n < 4; ++n)
                packPair(packed[n], prediction[2 * n], prediction[2 * n + 1]);
            multiplyTriangle(news, packed, tile(chunk, S::kInverse));
#pragma unroll
            for (int n = 0; n < 4; ++n)
                packPair(packed[n], news[2 * n], news[2 * n + 1]);
        }
        multiplyTriangle(o, packed, tile(chunk, S::kAttention));
        storeColumns(chunk, o, out.o);

        // The state after the chunk.
        const float* channelDecay = reinterpret_cast<const float*>(stage(chunk) + S::kDecay);
        const float decay = gates[kDecayIn * kTokens + kTokens - 1];
#pragma unroll
        for (int n = 0; n < Key / 8; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e)
                state[n][e] *= PerChannel ? (n * 8 + c + e % 2 < p.keyDim ? channelDecay[n * 8 + c + e % 2] : 0.f) : decay;
        if (!PerChannel) {
#pragma unroll
            for (int n = 0; n < 8; ++n)
#pragma unroll
                for (int e = 0; e < 4; ++e)
                    news[n][e] *= gate(kDecayOut, n, e);
#pragma unroll
            for (int n = 0; n < 4; ++n)
                packPair(packed[n], news[2 * n], news[2 * n + 1]);
        }
#pragma unroll
        for (int kk = 0; kk < 4; ++kk)
#pragma unroll
            for (int n = 0; n < Key / 16; ++n) {
                std::uint32_t b[4];
                loadTiles<true>(b, squareByColumns(tile(chunk, S::kKeyOut), S::kKeyStride, kk * 16, n * 16));
                multiply<Element16>(state[2 * n], packed[kk], b[0], b[1]);
                multiply<Element16>(state[2 * n + 1], packed[kk], b[2], b[3]);
            }
    }

    const ScanOutputs& out;
};

template <int Key, bool Delta, bool PerChannel, int Warps>
__global__ void __launch_bounds__(Warps * 32) scanKernel(RecurrenceProblem p, Scratch scratch, ScanOutputs out)
{
    if constexpr (!kGroupsTake<Key>) {
        POSTNAS_SHARED_MEMORY(shared);
        Scan<Key, Delta, PerChannel, Warps>(p, scratch, out, shared).run();
    } else {
        __trap();
    }
}

template <int Key, bool Delta, bool PerChannel, int Warps>
cudaError_t scan(const RecurrenceProblem& p, const Scratch& scratch, const ScanOutputs& out, cudaStream_t stream)
{
    return launch(scanKernel<Key, Delta, PerChannel, Warps>, passGrid<Warps>(p), dim3(Warps * 32), 2 * Stage<Key, Delta, PerChannel, Warps>::kBytes,
                  stream, p, scratch, out);
}

} // namespace

cudaError_t launchScan(const RecurrenceProblem& p, const Scratch& scratch, const ScanOutputs& out, cudaStream_t stream)
{
    if (groupScanCanTake(p))
        return launchGroupScan(p, scratch, out, stream);
    return forCase(p, [&](auto width, auto delta, auto perChannel) {
        return fewBlocks(p) ? scan<width(), delta(), perChannel(), 2>(p, scratch, out, stream)
                            : scan<width(), delta(), perChannel(), 4>(p, scratch, out, stream);
    });
}

} // namespace postnas::ops::cuda::chunk
