// Second kernel of the chunked linear recurrence: goes through the chunks of a sequence and carries the state.
//
// A warp owns 16 value columns of one head and keeps their part of the state, transposed, in registers for the whole sequence. The result
// layout of one product is the operand layout of the next, so between loading a chunk's tiles and storing its outputs nothing passes
// through shared memory and no warp waits for another.
#include "kernels/linear_recurrence/chunk.cuh"

namespace postnas::ops::cuda::chunk {
namespace {

/// One chunk's tiles in shared memory; two of these take turns.
template <int Key, bool Delta, bool PerChannel, int Warps>
struct Stage {
    static constexpr bool kTwoKeys = Delta && PerChannel; ///< exp(G) k and exp(G_C - G) k differ from k itself
    static constexpr int kKeyStride = Key + 8, kValueStride = 16 * Warps + 8;
    static constexpr int kKeyTile = kTokens * kKeyStride * 2, kSquare = kTokens * kSquareStride * 2;
    static constexpr int kQuery = 0, kKeyOut = kKeyTile, kKeyIn = kTwoKeys ? 2 * kKeyTile : kKeyOut,
                         kValue = (kTwoKeys ? 3 : 2) * kKeyTile, kAttention = kValue + kTokens * kValueStride * 2,
                         kInverse = kAttention + kSquare, kGates = kInverse + (Delta ? kSquare : 0), kDecay = kGates + 4 * kTokens * 4,
                         kBytes = kDecay + (PerChannel ? Key * 4 : 0);
};

template <int Key, bool Delta, bool PerChannel, int Warps>
class Scan {
public:
    using S = Stage<Key, Delta, PerChannel, Warps>;
    static constexpr int kThreads = Warps * 32;

    __device__ Scan(const RecurrenceProblem& problem, const Scratch& scratchArrays, const ScanOutputs& outputs, unsigned char* shared)
        : p(problem), scratch(scratchArrays), out(outputs), stages(shared), sequenceIndex(blockIdx.x), head(blockIdx.y),
          firstColumn(int(blockIdx.z) * 16 * Warps), warp(int(threadIdx.x) / 32), r(int(threadIdx.x) % 32 / 4), c(int(threadIdx.x) % 4 * 2),
          sequence(sequenceAt(problem, sequenceIndex))
    {
    }

    __device__ void run()
    {
        loadState();
        const std::int64_t chunks = (sequence.length + kTokens - 1) / kTokens;
        if (chunks > 0)
            copy(0);
        for (std::int64_t i = 0; i < chunks; ++i) {
            if (i + 1 < chunks) {
                copy(i + 1);
                waitCopies<1>();
            } else {
                waitCopies<0>();
            }
            __syncthreads();
            advance(i);
            __syncthreads();
        }
        if (out.finalState)
            storeFinalState();
    }

private:
    __device__ unsigned char* stage(std::int64_t chunk) const { return stages + chunk % 2 * S::kBytes; }
    __device__ Element16* tile(std::int64_t chunk, int offset) const { return reinterpret_cast<Element16*>(stage(chunk) + offset); }
    __device__ std::int64_t slot(std::int64_t chunk) const { return (sequence.firstChunk + chunk) * p.heads + head; }
    __device__ int rowsOf(std::int64_t chunk) const { return int(min(std::int64_t(kTokens), sequence.length - chunk * kTokens)); }

    __device__ void copy(std::int64_t chunk)
    {
        const int rows = rowsOf(chunk), keys = int(p.keyDim);
        const std::int64_t token = sequence.first + chunk * kTokens, keyStride = p.heads * p.keyDim, valueStride = p.heads * p.valueDim;
        const std::int64_t keyOffset = (token * p.heads + head) * p.keyDim;
        const Element16* queries = PerChannel ? scratch.queryIn : static_cast<const Element16*>(p.q);
        const Element16* keysOut = PerChannel ? scratch.keyOut : static_cast<const Element16*>(p.k);
        copyTile<kThreads>(tile(chunk, S::kQuery), S::kKeyStride, kTokens, Key, queries + keyOffset, keyStride, rows, keys);
        copyTile<kThreads>(tile(chunk, S::kKeyOut), S::kKeyStride, kTokens, Key, keysOut + keyOffset, keyStride, rows, keys);
        if (S::kTwoKeys)
            copyTile<kThreads>(tile(chunk, S::kKeyIn), S::kKeyStride, kTokens, Key, scratch.keyIn + keyOffset, keyStride, rows, keys);
        copyTile<kThreads>(tile(chunk, S::kValue), S::kValueStride, kTokens, 16 * Warps,
                           static_cast<const Element16*>(p.v) + (token * p.heads + head) * p.valueDim + firstColumn, valueStride, rows,
                           int(p.valueDim) - firstColumn);
        const std::int64_t square = slot(chunk) * kTokens * kTokens;
        copyTile<kThreads>(tile(chunk, S::kAttention), kSquareStride, kTokens, kTokens, scratch.attention + square, kTokens, kTokens, kTokens);
        if (Delta)
            copyTile<kThreads>(tile(chunk, S::kInverse), kSquareStride, kTokens, kTokens, scratch.inverse + square, kTokens, kTokens, kTokens);
        copyFloats<kThreads>(stage(chunk) + S::kGates, scratch.gates + slot(chunk) * 4 * kTokens, 4 * kTokens);
        if (PerChannel)
            copyFloats<kThreads>(stage(chunk) + S::kDecay, scratch.channelDecay + slot(chunk) * p.keyDim, keys);
        commitCopies();
    }

    /// The value column of result row r (or r + 8) of this warp.
    __device__ int column(int half) const { return firstColumn + warp * 16 + r + half * 8; }

    template <typename F>
    __device__ void eachOfState(F&& f)
    {
#pragma unroll
        for (int n = 0; n < Key / 8; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                const int key = n * 8 + c + e % 2, value = column(e / 2);
                f(state[n][e], key, value, key < p.keyDim && value < p.valueDim);
            }
    }

    __device__ void loadState()
    {
        const float* from = p.initialState ? p.initialState + (sequenceIndex * p.heads + head) * p.keyDim * p.valueDim : nullptr;
        eachOfState([&](float& x, int key, int value, bool inside) { x = from && inside ? from[std::int64_t(key) * p.valueDim + value] : 0.f; });
    }

    __device__ void storeFinalState()
    {
        float* to = out.finalState + (sequenceIndex * p.heads + head) * p.keyDim * p.valueDim;
        eachOfState([&](float& x, int key, int value, bool inside) {
            if (inside)
                to[std::int64_t(key) * p.valueDim + value] = x;
        });
    }

    /// By way of this warp's columns of the value tile, which nothing reads any more.
    __device__ void storeColumns(std::int64_t chunk, const float (&x)[8][4], Element16* to)
    {
        storeTokens(x, tile(chunk, S::kValue) + warp * 16, S::kValueStride,
                    to + ((sequence.first + chunk * kTokens) * p.heads + head) * p.valueDim, p, rowsOf(chunk), firstColumn + warp * 16);
    }

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
        if (out.states)
            storeStateColumns<Key>(state, out.states + slot(chunk) * p.keyDim * p.valueDim, p, column(0), c);
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
        if (out.news && Delta)
            storeColumns(chunk, news, out.news);
        if (out.o)
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

    const RecurrenceProblem& p;
    const Scratch& scratch;
    const ScanOutputs& out;
    unsigned char* stages;
    std::int64_t sequenceIndex, head;
    int firstColumn, warp;
    int r, c; ///< this lane's row and first column in a 16 x 8 result
    Sequence sequence;
    float state[Key / 8][4]; ///< transposed: [16 values, keys]
};

template <int Key, bool Delta, bool PerChannel, int Warps>
__global__ void __launch_bounds__(Warps * 32) scanKernel(RecurrenceProblem p, Scratch scratch, ScanOutputs out)
{
    POSTNAS_SHARED_MEMORY(shared);
    Scan<Key, Delta, PerChannel, Warps>(p, scratch, out, shared).run();
}

template <int Key, bool Delta, bool PerChannel>
cudaError_t scan(const RecurrenceProblem& p, const Scratch& scratch, const ScanOutputs& out, cudaStream_t stream)
{
    const auto run = [&](auto warps) {
        constexpr int kWarps = decltype(warps)::value;
        const dim3 grid(unsigned(sequenceCount(p)), unsigned(p.heads), unsigned((p.valueDim + 16 * kWarps - 1) / (16 * kWarps)));
        return launch(scanKernel<Key, Delta, PerChannel, kWarps>, grid, dim3(kWarps * 32), 2 * Stage<Key, Delta, PerChannel, kWarps>::kBytes, stream,
                      p, scratch, out);
    };
    return fewBlocks(p) ? run(std::integral_constant<int, 2>()) : run(std::integral_constant<int, 4>());
}

template <int Key>
cudaError_t scan(const RecurrenceProblem& p, const Scratch& scratch, const ScanOutputs& out, cudaStream_t stream)
{
    if (p.gatePerChannel)
        return p.beta ? scan<Key, true, true>(p, scratch, out, stream) : scan<Key, false, true>(p, scratch, out, stream);
    return p.beta ? scan<Key, true, false>(p, scratch, out, stream) : scan<Key, false, false>(p, scratch, out, stream);
}

} // namespace

cudaError_t launchScan(const RecurrenceProblem& p, const Scratch& scratch, const ScanOutputs& out, cudaStream_t stream)
{
    return forKeyWidth(p.keyDim, [&](auto width) { return scan<decltype(width)::value>(p, scratch, out, stream); });
}

} // namespace postnas::ops::cuda::chunk
