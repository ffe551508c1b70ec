// What the kernels of the generated convolution share: the order of kernel numbers in a tile, tiles of inputs, and the product that makes
// the kernels of 128 tokens in the registers of a block.
//
// The numbers of a tile are ordered so that the lane that receives one tap of a channel from the tensor cores receives all of them:
// each 8 columns of a result are two taps of four channels.
#pragma once

#include <cstdint>

#include "kernels/include/generated_convolution_launch.h"
#include "kernels/include/launch.cuh"
#include "kernels/include/tensor_core.cuh"

namespace postnas::ops::cuda::generated {

using Element16 = __nv_bfloat16;

constexpr int kThreads = 128;
constexpr int kTokens = 128;  ///< of a block
constexpr int kNumbers = 128; ///< kernel numbers of a block, taps filled up to an even count
constexpr int kStep = 32;     ///< of the summed dimension at a time
constexpr int kStages = 4;
constexpr int kStride = kStep + 8; ///< of a tile's rows; an odd number of 16-byte pieces, so that loads of tiles do not collide
constexpr int kMaxTaps = 8;

/// Taps up to 2 * Pairs.
template <int Pairs>
struct Shape {
    static constexpr int kTaps = 2 * Pairs, kChannels = kNumbers / kTaps;
    static constexpr int kInputStride = kChannels + 8, kInputRows = kTokens + kTaps - 1;
};

struct Number {
    int channel, tap; ///< the channel within the tile
};
template <int Pairs>
__device__ __forceinline__ Number numberAt(int n)
{
    return {n / 8 / Pairs * 4 + n % 8 / 2, n / 8 % Pairs * 2 + n % 2};
}

__device__ __forceinline__ int laneIndex() { return int(threadIdx.x) % 32; }
/// The addresses that this lane gives to loadTiles for the 16 x 16 square at (row, column), for a left operand and for two right ones.
__device__ __forceinline__ const Element16* leftSquare(const Element16* tile, int stride, int row, int column)
{
    return tile + (row + laneIndex() / 8 % 2 * 8 + laneIndex() % 8) * stride + column + laneIndex() / 16 * 8;
}
__device__ __forceinline__ const Element16* rightSquare(const Element16* tile, int stride, int row, int column)
{
    return tile + (row + laneIndex() / 16 * 8 + laneIndex() % 8) * stride + column + laneIndex() / 8 % 2 * 8;
}

inline __host__ __device__ std::int64_t tokenCount(const GeneratedConvolution& p) { return p.batch * p.length; }

/// Starts copies of `rows` rows of [tokens, channels] from token `first` (which may be negative) on; zeros outside.
template <int Pairs>
__device__ __forceinline__ void copyInputs(const GeneratedConvolution& p, Element16* tile, const void* from, std::int64_t first, int rows,
                                           std::int64_t firstChannel)
{
    constexpr int kPieces = Shape<Pairs>::kChannels / 8;
    for (int i = int(threadIdx.x); i < rows * kPieces; i += kThreads) {
        const std::int64_t token = first + i / kPieces, channel = firstChannel + i % kPieces * 8;
        const bool valid = token >= 0 && token < tokenCount(p) && channel < p.channels;
        const Element16* source = static_cast<const Element16*>(from);
        copyAsync16(tile + i / kPieces * Shape<Pairs>::kInputStride + i % kPieces * 8, valid ? source + token * p.channels + channel : source, valid);
    }
}

/// How many tokens of the same sequence lie before a token, up to taps - 1.
__device__ __forceinline__ int depthOf(const GeneratedConvolution& p, std::int64_t token)
{
    return int(min(token % p.length, p.taps - 1));
}

/// The input under tap `tap` of token m of a tile of a sequence without a history; the tile begins taps - 1 tokens before token 0.
template <int Pairs>
__device__ __forceinline__ float ownInputAt(const Element16* tile, int m, int depth, int taps, int tap, int channel)
{
    return taps - 1 - tap <= depth && tap < taps ? __bfloat162float(tile[(m + tap) * Shape<Pairs>::kInputStride + channel]) : 0.f;
}

/// The input under tap `tap` of token `first` + m, from a tile that begins taps - 1 tokens before `first`.
template <int Pairs>
__device__ __forceinline__ float inputAt(const GeneratedConvolution& p, const Element16* tile, std::int64_t first, int m, int depth, int tap,
                                         std::int64_t firstChannel, int channel)
{
    const int taps = int(p.taps), back = taps - 1 - tap;
    if (back <= depth || p.history == nullptr)
        return ownInputAt<Pairs>(tile, m, depth, taps, tap, channel);
    if (first + m >= tokenCount(p) || firstChannel + channel >= p.channels)
        return 0.f;
    // This token is number `depth` of its sequence, so the history's newest row is depth + 1 tokens before it.
    return __bfloat162float(static_cast<const Element16*>(
        p.history)[((first + m) / p.length * (taps - 1) + taps - 1 + depth - back) * p.channels + firstChannel + channel]);
}

/// Shared memory of a block that makes kernels, in bytes.
template <int Pairs>
struct Layout {
    static constexpr int kTile = kTokens * kStride * 2, kStage = 2 * kTile;
    static constexpr int kInputs = kStages * kStage, kBias = kInputs + (Shape<Pairs>::kInputRows * Shape<Pairs>::kInputStride * 2 + 15) / 16 * 16,
                         kDepth = kBias + kNumbers * 4, kBytes = kDepth + kTokens * 4;
};

/// out[i][n] of warp (w / 2, w % 2): tokens 64 (w / 2) + 16 i, numbers 64 (w % 2) + 8 n of the product hidden times weight^T.
/// Copies that were started before are complete afterwards, and the stages are free.
template <int Pairs>
__device__ __forceinline__ void makeKernels(const GeneratedConvolution& p, float (&out)[4][8][4], unsigned char* memory, std::int64_t firstToken,
                                            std::int64_t firstChannel)
{
    constexpr int kPieces = kStep / 8;
    const auto hiddenTile = [&](int step) { return reinterpret_cast<Element16*>(memory + step % kStages * Layout<Pairs>::kStage); };
    const auto weightTile = [&](int step) { return hiddenTile(step) + kTokens * kStride; };
    const Element16* hidden = static_cast<const Element16*>(p.hidden);
    const Element16* weight = static_cast<const Element16*>(p.weight);
    const auto copy = [&](int step) {
#pragma unroll
        for (int i = int(threadIdx.x); i < kTokens * kPieces; i += kThreads) {
            const int row = i / kPieces, piece = i % kPieces * 8;
            const std::int64_t k = std::int64_t(step) * kStep + piece, token = firstToken + row;
            const bool valid = k < p.rank && token < tokenCount(p);
            copyAsync16(hiddenTile(step) + row * kStride + piece, valid ? hidden + token * p.rank + k : hidden, valid);
            const Number number = numberAt<Pairs>(row);
            const std::int64_t channel = firstChannel + number.channel;
            const bool inside = k < p.rank && channel < p.channels && number.tap < p.taps;
            copyAsync16(weightTile(step) + row * kStride + piece, inside ? weight + (channel * p.taps + number.tap) * p.rank + k : weight, inside);
        }
    };
    const int steps = int((p.rank + kStep - 1) / kStep), warp = int(threadIdx.x) / 32, firstRow = warp / 2 * 64, firstNumber = warp % 2 * 64;
    for (int step = 0; step < kStages - 1; ++step) {
        if (step < steps)
            copy(step);
        commitCopies();
    }
    for (int step = 0; step < steps; ++step) {
        waitCopies<kStages - 2>();
        __syncthreads();
        if (step + kStages - 1 < steps)
            copy(step + kStages - 1);
        commitCopies();
#pragma unroll
        for (int kk = 0; kk < kStep; kk += 16) {
            std::uint32_t a[4][4];
#pragma unroll
            for (int i = 0; i < 4; ++i)
                loadTiles<false>(a[i], leftSquare(hiddenTile(step), kStride, firstRow + i * 16, kk));
#pragma unroll
            for (int n = 0; n < 4; ++n) {
                std::uint32_t b[4];
                loadTiles<false>(b, rightSquare(weightTile(step), kStride, firstNumber + n * 16, kk));
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    multiply<Element16>(out[i][2 * n], a[i], b[0], b[1]);
                    multiply<Element16>(out[i][2 * n + 1], a[i], b[2], b[3]);
                }
            }
        }
    }
    waitCopies<0>();
    __syncthreads();
}

/// The bias of each number of a tile, and the depth of each token.
template <int Pairs>
__device__ __forceinline__ void loadBiasAndDepth(const GeneratedConvolution& p, unsigned char* memory, std::int64_t firstToken,
                                                 std::int64_t firstChannel)
{
    float* bias = reinterpret_cast<float*>(memory + Layout<Pairs>::kBias);
    int* depth = reinterpret_cast<int*>(memory + Layout<Pairs>::kDepth);
    const int i = int(threadIdx.x);
    const Number number = numberAt<Pairs>(i);
    const std::int64_t channel = firstChannel + number.channel;
    const bool inside = p.bias && channel < p.channels && number.tap < p.taps;
    bias[i] = inside ? __bfloat162float(static_cast<const Element16*>(p.bias)[channel * p.taps + number.tap]) : 0.f;
    depth[i] = depthOf(p, firstToken + i);
    static_assert(kThreads == kNumbers && kThreads == kTokens);
}

template <int Pairs>
inline std::int64_t channelTiles(const GeneratedConvolution& p)
{
    return (p.channels + Shape<Pairs>::kChannels - 1) / Shape<Pairs>::kChannels;
}

} // namespace postnas::ops::cuda::generated
