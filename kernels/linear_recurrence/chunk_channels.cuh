// What the kernels for a decay of each channel share: running sums of the log decay, and its factors as products of numbers at most one.
//
// exp(G_i - G_j) depends on the channel, so it has to go into the factors of a product over channels, and exp(G_i) exp(-G_j) overflows. So
// the pairs j < i of a chunk are sorted by the largest power of two h in which i and j differ: such a pair lies in the two halves of one
// aligned group of 2h tokens, and with the last token a of the group's first half as anchor, exp(G_i - G_j) = exp(G_i - G_a) exp(G_a - G_j)
// has two factors that are at most one. On each of the six levels h every token has one factor, f_t = exp(-|G_t - G_a(t)|), whether it is
// the later one of its pairs (bit h set: "left", as it is the left operand of the products) or the earlier one ("right").
#pragma once

#include "kernels/linear_recurrence/chunk.cuh"

namespace postnas::ops::cuda::chunk {

/// Running sums are kept in shared memory as powers of two, [token][Key + 8].
template <int Key>
constexpr int kSumStride = Key + 8;

/// 2^x, 0 for very negative x.
__device__ __forceinline__ float powerOfTwo(float x)
{
#ifdef POSTNAS_CUDA_EMULATION
    return std::exp2(x);
#else
    float out;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(out) : "f"(x));
    return out;
#endif
}

/// Two pairs of 16-bit numbers, multiplied one by one.
__device__ __forceinline__ std::uint32_t multiplyPairs(std::uint32_t a, std::uint32_t b)
{
    const __nv_bfloat162 out = __hmul2(*reinterpret_cast<const __nv_bfloat162*>(&a), *reinterpret_cast<const __nv_bfloat162*>(&b));
    return *reinterpret_cast<const std::uint32_t*>(&out);
}

/// The token that the pairs of a level meet at.
__device__ __forceinline__ int anchorOf(int token, int level) { return (token & ~(2 * level - 1)) + level - 1; }

/// f of two neighbouring channels; both addresses are of their sums.
__device__ __forceinline__ float2 levelFactor(const float* token, const float* anchor)
{
    const float2 g = *reinterpret_cast<const float2*>(token), a = *reinterpret_cast<const float2*>(anchor);
    return {powerOfTwo(-fabsf(g.x - a.x)), powerOfTwo(-fabsf(g.y - a.y))};
}

/// How a block of Threads shares the columns of a [64 tokens, Key] array: each thread has a run of tokens of one channel.
template <int Key, int Threads>
struct ChannelRuns {
    static_assert(Threads >= Key);
    static constexpr int kRuns = Threads >= 4 * Key ? 4 : Threads >= 2 * Key ? 2 : 1, kRun = kTokens / kRuns;
    int channel = int(threadIdx.x) % Key, run = int(threadIdx.x) / Key;
    __device__ bool active() const { return run < kRuns; }
};

/// Starts the copies of a chunk of pairs to a tile, as part of the open group: even rows from `even` and odd ones from `odd`, both
/// [pair, head, key]; null: zeros, as beyond `rows` and the last channel.
template <int Key, int Threads>
__device__ __forceinline__ void copyPairs(const RecurrenceProblem& p, std::int64_t firstToken, std::int64_t head, int rows, Element16* tile,
                                          int stride, const void* even, const void* odd)
{
    const std::int64_t first = (firstToken / 2 * p.heads + head) * p.keyDim, rowStride = p.heads * p.keyDim;
    const int channels = int(p.keyDim);
    const auto* const evenRows = even ? static_cast<const Element16*>(even) + first : nullptr;
    const auto* const oddRows = odd ? static_cast<const Element16*>(odd) + first : nullptr;
    for (int i = int(threadIdx.x); i < kTokens * Key / 8; i += Threads) {
        const int row = i / (Key / 8), column = i % (Key / 8) * 8;
        const Element16* from = row % 2 ? oddRows : evenRows;
        const bool valid = from != nullptr && row < rows && column < channels;
        copyAsync16(tile + row * stride + column, valid ? from + row / 2 * rowStride + column : even ? evenRows : oddRows, valid);
    }
}

/// Starts the copies of g [token, head, key] to `sums`, as part of the open group; tokens and channels that are not there do not decay. Pairs: g has
/// a row for a pair, of which the first token decays.
template <int Key, int Threads, bool Pairs = false>
__device__ __forceinline__ void copyChannels(const RecurrenceProblem& p, std::int64_t firstToken, std::int64_t head, int rows, float* sums)
{
    const float* g = p.g + ((Pairs ? firstToken / 2 : firstToken) * p.heads + head) * p.keyDim;
    const std::int64_t stride = p.heads * p.keyDim;
    const bool aligned = reinterpret_cast<std::uintptr_t>(p.g) % 16 == 0;
#pragma unroll
    for (int k = 0; k < kTokens * Key / 4 / Threads; ++k) {
        const int i = k * Threads + int(threadIdx.x), row = i / (Key / 4), key = i % (Key / 4) * 4;
        const bool valid = row < rows && key < p.keyDim && (!Pairs || row % 2 == 0);
        const float* from = valid ? g + (Pairs ? row / 2 : row) * stride + key : g;
        float* to = sums + row * kSumStride<Key> + key;
        if (aligned)
            copyAsync16(to, from, valid);
        else
            for (int e = 0; e < 4; ++e)
                to[e] = valid ? from[e] : 0.f;
    }
    static_assert(kTokens * Key / 4 % Threads == 0);
}

/// Puts the running sums (times log2 e) in the place of the numbers. `ends` has room for 4 Key numbers. All threads call it after a barrier,
/// and wait for one another before they read.
template <int Key, int Threads>
__device__ void sumChannels(float* sums, float* ends)
{
    using Runs = ChannelRuns<Key, Threads>;
    const Runs at;
    float* own = sums + at.run * Runs::kRun * kSumStride<Key> + at.channel;
    if (at.active()) {
        float sum = 0;
#pragma unroll 16
        for (int i = 0; i < Runs::kRun; ++i) {
            sum += own[i * kSumStride<Key>] * 1.4426950408889634f;
            own[i * kSumStride<Key>] = sum;
        }
        ends[at.run * Key + at.channel] = sum;
    }
    __syncthreads();
    if (at.active() && at.run > 0) {
        float before = 0;
        for (int i = 0; i < at.run; ++i)
            before += ends[i * Key + at.channel];
#pragma unroll 16
        for (int i = 0; i < Runs::kRun; ++i)
            own[i * kSumStride<Key>] += before;
    }
}

/// exp(-w) of two channels of a removing token (an even row), from the sums.
template <int Key>
__device__ __forceinline__ float2 growth(const float* sums, int token, int channel)
{
    const float2 g = *reinterpret_cast<const float2*>(sums + token * kSumStride<Key> + channel);
    const float2 before = token > 0 ? *reinterpret_cast<const float2*>(sums + (token - 1) * kSumStride<Key> + channel) : float2{0, 0};
    return {powerOfTwo(before.x - g.x), powerOfTwo(before.y - g.y)};
}

/// Makes the keys of the removing tokens: a and kappa, in the tiles of keys and of removal keys, become a kappa and kappa exp(-w).
template <int Key, int Threads>
__device__ void finishPairs(Element16* keys, Element16* removal, int stride, const float* sums)
{
    for (int i = int(threadIdx.x); i < kTokens / 2 * (Key / 2); i += Threads) {
        const int row = i / (Key / 2) * 2, column = i % (Key / 2) * 2;
        auto &key = *reinterpret_cast<std::uint32_t*>(keys + row * stride + column),
             &removed = *reinterpret_cast<std::uint32_t*>(removal + row * stride + column);
        const float2 a = unpack<Element16>(key), kappa = unpack<Element16>(removed), grown = growth<Key>(sums, row, column);
        key = pack<Element16>(a.x * kappa.x, a.y * kappa.y);
        removed = pack<Element16>(kappa.x * grown.x, kappa.y * grown.y);
    }
}

} // namespace postnas::ops::cuda::chunk
