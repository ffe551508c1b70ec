// The dynamic convolution with its kernel generator, backward. With G[t, (c, w)] = gradY[t, c] x[t - taps + 1 + w, c], the gradient of the
// kernels, which is made where a product needs it and never stored:
//   gradHidden = G weight,  gradWeight = G^T hidden,  gradBias = sum of G over tokens,
//   gradX[s, c] = sum_w kernels[s + taps - 1 - w, c, w] gradY[s + taps - 1 - w, c], with the kernels made again as in the forward pass.
#include <algorithm>

#include "kernels/convolution/generated.cuh"

namespace postnas::ops::cuda {
namespace generated {
namespace {

constexpr int kSumTokens = 64; ///< at a time in the sums over tokens

/// A block makes the kernels of 128 tokens and keeps the sums that these tokens cover completely: all but the last taps - 1.
template <int Pairs>
__global__ void __launch_bounds__(kThreads, 2) inputGradientKernel(GeneratedConvolution p, const Element16* gradY, Element16* gradX)
{
    using S = Shape<Pairs>;
    using L = Layout<Pairs>;
    constexpr int kSumStride = S::kChannels + 1;
    POSTNAS_SHARED_MEMORY(memory);
    const int taps = int(p.taps), covered = kTokens - (taps - 1), warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32;
    const std::int64_t tiles = (p.channels + S::kChannels - 1) / S::kChannels;
    const std::int64_t first = blockIdx.x / tiles * covered, firstChannel = blockIdx.x % tiles * S::kChannels;
    Element16* upstream = reinterpret_cast<Element16*>(memory + L::kInputs);
    const float* bias = reinterpret_cast<const float*>(memory + L::kBias);
    const int* depths = reinterpret_cast<const int*>(memory + L::kDepth);
    copyInputs<Pairs>(p, upstream, gradY, first, kTokens, firstChannel);
    loadBiasAndDepth<Pairs>(p, memory, first, firstChannel);
    float kernels[4][8][4] = {};
    makeKernels<Pairs>(p, kernels, memory, first, firstChannel);

    float* sums = reinterpret_cast<float*>(memory); // over the stages
    for (int i = int(threadIdx.x); i < kTokens * kSumStride; i += kThreads)
        sums[i] = 0;
    // One tap after another: each number of `sums` has one writer at a time, and the order never changes.
#pragma unroll
    for (int tap = 0; tap < S::kTaps; ++tap) {
        __syncthreads();
        const int back = taps - 1 - tap;
#pragma unroll
        for (int i = 0; i < 4; ++i)
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                const int m = warp / 2 * 64 + i * 16 + half * 8 + lane / 4;
                if (back < 0 || back > depths[m] || m < back || m - back >= covered)
                    continue;
#pragma unroll
                for (int group = 0; group < 8 / Pairs; ++group) {
                    const int channel = (warp % 2 * 8 / Pairs + group) * 4 + lane % 4, n = group * Pairs + tap / 2;
                    const float kernel = kernels[i][n][half * 2 + tap % 2] + bias[warp % 2 * 64 + n * 8 + lane % 4 * 2 + tap % 2];
                    sums[(m - back) * kSumStride + channel] += kernel * __bfloat162float(upstream[m * S::kInputStride + channel]);
                }
            }
    }
    __syncthreads();
    constexpr int kPieces = S::kChannels / 8;
    for (int i = int(threadIdx.x); i < covered * kPieces; i += kThreads) {
        const std::int64_t token = first + i / kPieces, channel = firstChannel + i % kPieces * 8;
        const float* from = sums + i / kPieces * kSumStride + i % kPieces * 8;
        if (token < tokenCount(p) && channel < p.channels)
            *reinterpret_cast<uint4*>(gradX + token * p.channels + channel) =
                make_uint4(pack<Element16>(from[0], from[1]), pack<Element16>(from[2], from[3]), pack<Element16>(from[4], from[5]),
                           pack<Element16>(from[6], from[7]));
    }
}

/// How the warps of a block share a product whose right side is `kRanks` wide: few ranks need no second column of warps.
template <bool Narrow>
struct Split {
    static constexpr int kRanks = Narrow ? 32 : 128, kColumns = Narrow ? 1 : 2; ///< of warps
    static constexpr int kRowTiles = Narrow ? 2 : 4, kRankTiles = Narrow ? 4 : 8; ///< of a warp: 16 and 8 wide
    static constexpr int kRankStride = kRanks + 8;
};

/// Starts copies of rows of a [rows, rank] array; `rowOf(i)` is a row or -1 for zeros.
template <bool Narrow, typename F>
__device__ __forceinline__ void copyRanks(const GeneratedConvolution& p, Element16* tile, const void* from, int rows, std::int64_t firstRank, F&& rowOf)
{
    constexpr int kPieces = Split<Narrow>::kRanks / 8;
    const Element16* source = static_cast<const Element16*>(from);
    for (int i = int(threadIdx.x); i < rows * kPieces; i += kThreads) {
        const std::int64_t row = rowOf(i / kPieces), rank = firstRank + i % kPieces * 8;
        const bool valid = row >= 0 && rank < p.rank;
        copyAsync16(tile + i / kPieces * Split<Narrow>::kRankStride + i % kPieces * 8, valid ? source + row * p.rank + rank : source, valid);
    }
}

/// sum += left (16 rows each, 16 numbers or tokens) times 16 rows of a tile of ranks.
template <bool Narrow>
__device__ __forceinline__ void multiplyRanks(float (&sum)[Split<Narrow>::kRowTiles][Split<Narrow>::kRankTiles][4],
                                              const std::uint32_t (&left)[Split<Narrow>::kRowTiles][4], const Element16* tile, int row, int column)
{
#pragma unroll
    for (int n = 0; n < Split<Narrow>::kRankTiles / 2; ++n) {
        std::uint32_t b[4];
        loadTiles<true>(b, leftSquare(tile, Split<Narrow>::kRankStride, row, column + n * 16));
#pragma unroll
        for (int i = 0; i < Split<Narrow>::kRowTiles; ++i) {
            multiply<Element16>(sum[i][2 * n], left[i], b[0], b[1]);
            multiply<Element16>(sum[i][2 * n + 1], left[i], b[2], b[3]);
        }
    }
}

/// Two stages of what a block sums over, each: x, gradY, a tile of ranks, depths of the tokens.
template <int Pairs, bool Narrow, int Tokens, int RankRows>
struct SumLayout {
    static constexpr int kUpstream = ((Tokens + Shape<Pairs>::kTaps - 1) * Shape<Pairs>::kInputStride * 2 + 15) / 16 * 16,
                         kRankTile = kUpstream + Tokens * Shape<Pairs>::kInputStride * 2,
                         kDepth = kRankTile + RankRows * Split<Narrow>::kRankStride * 2, kStage = kDepth + Tokens * 4, kBytes = 2 * kStage;
};

/// A block sums over all channels for 128 tokens and up to 128 ranks.
template <int Pairs, bool Narrow>
__global__ void __launch_bounds__(kThreads) hiddenGradientKernel(GeneratedConvolution p, const Element16* gradY, Element16* gradHidden)
{
    using S = Shape<Pairs>;
    using R = Split<Narrow>;
    using L = SumLayout<Pairs, Narrow, kTokens, kNumbers>;
    POSTNAS_SHARED_MEMORY(memory);
    const int taps = int(p.taps), warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32;
    const std::int64_t rankTiles = (p.rank + R::kRanks - 1) / R::kRanks;
    const std::int64_t first = blockIdx.x / rankTiles * kTokens, firstRank = blockIdx.x % rankTiles * R::kRanks;
    const int firstRow = warp / R::kColumns * R::kRowTiles * 16, firstColumn = warp % R::kColumns * R::kRankTiles * 8;
    const auto tile = [&](std::int64_t step, int offset) { return reinterpret_cast<Element16*>(memory + step % 2 * L::kStage + offset); };
    const auto copy = [&](std::int64_t step) {
        const std::int64_t firstChannel = step * S::kChannels;
        copyInputs<Pairs>(p, tile(step, 0), p.x, first - (taps - 1), kTokens + taps - 1, firstChannel);
        copyInputs<Pairs>(p, tile(step, L::kUpstream), gradY, first, kTokens, firstChannel);
        copyRanks<Narrow>(p, tile(step, L::kRankTile), p.weight, kNumbers, firstRank, [&](int row) {
            const Number number = numberAt<Pairs>(row);
            const std::int64_t channel = firstChannel + number.channel;
            return channel < p.channels && number.tap < p.taps ? channel * p.taps + number.tap : std::int64_t(-1);
        });
    };
    int depths[R::kRowTiles][2];
#pragma unroll
    for (int i = 0; i < R::kRowTiles; ++i)
#pragma unroll
        for (int half = 0; half < 2; ++half)
            depths[i][half] = depthOf(p, first + firstRow + i * 16 + half * 8 + lane / 4);

    float sum[R::kRowTiles][R::kRankTiles][4] = {};
    const std::int64_t steps = (p.channels + S::kChannels - 1) / S::kChannels;
    copy(0);
    commitCopies();
    for (std::int64_t step = 0; step < steps; ++step) {
        if (step + 1 < steps)
            copy(step + 1);
        commitCopies();
        waitCopies<1>();
        __syncthreads();
        const Element16 *inputs = tile(step, 0), *upstream = tile(step, L::kUpstream);
#pragma unroll 1
        for (int kk = 0; kk < kNumbers / 16; ++kk) {
            std::uint32_t left[R::kRowTiles][4];
#pragma unroll
            for (int i = 0; i < R::kRowTiles; ++i)
#pragma unroll
                for (int e = 0; e < 4; ++e) {
                    const int m = firstRow + i * 16 + e % 2 * 8 + lane / 4, n = kk * 2 + e / 2, depth = depths[i][e % 2];
                    const int channel = n / Pairs * 4 + lane % 4, tap = n % Pairs * 2;
                    const float up = __bfloat162float(upstream[m * S::kInputStride + channel]);
                    left[i][e] = pack<Element16>(up * ownInputAt<Pairs>(inputs, m, depth, taps, tap, channel),
                                                 up * ownInputAt<Pairs>(inputs, m, depth, taps, tap + 1, channel));
                }
            multiplyRanks<Narrow>(sum, left, tile(step, L::kRankTile), kk * 16, firstColumn);
        }
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < R::kRowTiles; ++i)
#pragma unroll
        for (int n = 0; n < R::kRankTiles; ++n)
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                const std::int64_t token = first + firstRow + i * 16 + half * 8 + lane / 4, rank = firstRank + firstColumn + n * 8 + lane % 4 * 2;
                if (token < tokenCount(p) && rank < p.rank)
                    *reinterpret_cast<std::uint32_t*>(gradHidden + token * p.rank + rank) = pack<Element16>(sum[i][n][half * 2], sum[i][n][half * 2 + 1]);
            }
}

/// A block sums over the tokens of one share for the numbers of a channel tile and up to 128 ranks. Rows here are numbers in plain order.
template <int Pairs, bool Narrow>
__global__ void __launch_bounds__(kThreads) weightGradientKernel(GeneratedConvolution p, const Element16* gradY, float* gradWeight, float* gradBias,
                                                                 std::int64_t shareTokens)
{
    using S = Shape<Pairs>;
    using R = Split<Narrow>;
    using L = SumLayout<Pairs, Narrow, kSumTokens, kSumTokens>;
    POSTNAS_SHARED_MEMORY(memory);
    const int taps = int(p.taps), warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32;
    const std::int64_t rankTiles = (p.rank + R::kRanks - 1) / R::kRanks;
    const std::int64_t firstChannel = blockIdx.x / rankTiles * S::kChannels, firstRank = blockIdx.x % rankTiles * R::kRanks;
    const std::int64_t begin = blockIdx.y * shareTokens, end = min(tokenCount(p), begin + shareTokens);
    const int firstRow = warp / R::kColumns * R::kRowTiles * 16, firstColumn = warp % R::kColumns * R::kRankTiles * 8;
    const auto tile = [&](std::int64_t step, int offset) { return reinterpret_cast<Element16*>(memory + step % 2 * L::kStage + offset); };
    const auto depthsOf = [&](std::int64_t step) { return reinterpret_cast<int*>(memory + step % 2 * L::kStage + L::kDepth); };
    const auto copy = [&](std::int64_t step) {
        const std::int64_t token = begin + step * kSumTokens;
        copyInputs<Pairs>(p, tile(step, 0), p.x, token - (taps - 1), kSumTokens + taps - 1, firstChannel);
        copyInputs<Pairs>(p, tile(step, L::kUpstream), gradY, token, kSumTokens, firstChannel);
        copyRanks<Narrow>(p, tile(step, L::kRankTile), p.hidden, kSumTokens, firstRank,
                          [&](int row) { return token + row < tokenCount(p) ? token + row : std::int64_t(-1); });
        if (threadIdx.x < kSumTokens)
            depthsOf(step)[threadIdx.x] = depthOf(p, token + threadIdx.x);
    };

    float sum[R::kRowTiles][R::kRankTiles][4] = {}, total[R::kRowTiles][2] = {};
    const std::int64_t steps = end > begin ? (end - begin + kSumTokens - 1) / kSumTokens : 0;
    if (steps > 0)
        copy(0);
    commitCopies();
    for (std::int64_t step = 0; step < steps; ++step) {
        if (step + 1 < steps)
            copy(step + 1);
        commitCopies();
        waitCopies<1>();
        __syncthreads();
        const Element16 *inputs = tile(step, 0), *upstream = tile(step, L::kUpstream);
        const int* depths = depthsOf(step);
#pragma unroll 1
        for (int kk = 0; kk < kSumTokens / 16; ++kk) {
            std::uint32_t left[R::kRowTiles][4];
#pragma unroll
            for (int i = 0; i < R::kRowTiles; ++i)
#pragma unroll
                for (int e = 0; e < 4; ++e) {
                    const int row = firstRow + i * 16 + e % 2 * 8 + lane / 4, channel = row / S::kTaps, tap = row % S::kTaps;
                    float g[2];
#pragma unroll
                    for (int j = 0; j < 2; ++j) {
                        const int m = kk * 16 + e / 2 * 8 + lane % 4 * 2 + j;
                        g[j] = __bfloat162float(upstream[m * S::kInputStride + channel])
                            * ownInputAt<Pairs>(inputs, m, depths[m], taps, tap, channel);
                        total[i][e % 2] += g[j];
                    }
                    left[i][e] = pack<Element16>(g[0], g[1]);
                }
            multiplyRanks<Narrow>(sum, left, tile(step, L::kRankTile), kk * 16, firstColumn);
        }
        __syncthreads();
    }
    const std::int64_t numbers = p.channels * p.taps;
#pragma unroll
    for (int i = 0; i < R::kRowTiles; ++i)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int row = firstRow + i * 16 + half * 8 + lane / 4, tap = row % S::kTaps;
            const std::int64_t channel = firstChannel + row / S::kTaps, number = channel * p.taps + tap;
            const bool valid = channel < p.channels && tap < taps;
#pragma unroll
            for (int n = 0; n < R::kRankTiles; ++n) {
                const std::int64_t rank = firstRank + firstColumn + n * 8 + lane % 4 * 2;
                if (valid && rank < p.rank)
                    *reinterpret_cast<float2*>(gradWeight + (blockIdx.y * numbers + number) * p.rank + rank) =
                        make_float2(sum[i][n][half * 2], sum[i][n][half * 2 + 1]);
            }
            float all = total[i][half];
            all += __shfl_xor_sync(0xffffffffu, all, 1);
            all += __shfl_xor_sync(0xffffffffu, all, 2);
            if (gradBias && valid && firstRank == 0 && firstColumn == 0 && lane % 4 == 0)
                gradBias[blockIdx.y * numbers + number] = all;
        }
}

/// Adds the shares in their order.
__global__ void addSharesKernel(const float* parts, float* to, std::int64_t count, int shares)
{
    const std::int64_t i = std::int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= count)
        return;
    float sum = 0;
    for (int s = 0; s < shares; ++s)
        sum += parts[s * count + i];
    to[i] = sum;
}

bool narrow(const GeneratedConvolution& p) { return p.rank <= Split<true>::kRanks; }

/// Tokens of a share of the sum over tokens, and how many shares there are: enough blocks to fill the device twice.
struct Shares {
    std::int64_t tokens, count;
};
Shares sharesFor(const GeneratedConvolution& p, int multiprocessors)
{
    const std::int64_t ranks = narrow(p) ? 1 : (p.rank + Split<false>::kRanks - 1) / Split<false>::kRanks;
    const std::int64_t pairs = p.taps <= 2 ? 1 : p.taps <= 4 ? 2 : 4, channels = kNumbers / (2 * pairs);
    const std::int64_t tiles = (p.channels + channels - 1) / channels * ranks, steps = (tokenCount(p) + kSumTokens - 1) / kSumTokens;
    const std::int64_t wanted = std::clamp<std::int64_t>((2 * std::int64_t(multiprocessors) + tiles - 1) / tiles, 1, std::max<std::int64_t>(steps, 1));
    const std::int64_t tokens = std::max<std::int64_t>((steps + wanted - 1) / wanted, 1) * kSumTokens;
    return {tokens, std::max<std::int64_t>((tokenCount(p) + tokens - 1) / tokens, 1)};
}

cudaError_t addShares(const float* parts, float* to, std::int64_t count, std::int64_t shares, cudaStream_t stream)
{
    return launch(addSharesKernel, dim3(unsigned((count + 255) / 256)), dim3(256), 0, stream, parts, to, count, int(shares));
}

template <int Pairs, bool Narrow>
cudaError_t backward(const GeneratedConvolution& p, const GeneratedConvolutionGradients& out, float* parts, const Shares& shares, cudaStream_t stream)
{
    const Element16* gradY = static_cast<const Element16*>(out.gradY);
    const std::int64_t covered = kTokens - (p.taps - 1), tokens = tokenCount(p), numbers = p.channels * p.taps;
    const std::int64_t rankTiles = (p.rank + Split<Narrow>::kRanks - 1) / Split<Narrow>::kRanks;
    cudaError_t code = cudaSuccess;
    if (tokens > 0) {
        static_assert(kTokens * (Shape<Pairs>::kChannels + 1) * 4 <= Layout<Pairs>::kInputs);
        code = launch(inputGradientKernel<Pairs>, dim3(unsigned((tokens + covered - 1) / covered * channelTiles<Pairs>(p))), dim3(kThreads),
                      Layout<Pairs>::kBytes, stream, p, gradY, static_cast<Element16*>(out.x));
        if (code == cudaSuccess)
            code = launch(hiddenGradientKernel<Pairs, Narrow>, dim3(unsigned((tokens + kTokens - 1) / kTokens * rankTiles)), dim3(kThreads),
                          SumLayout<Pairs, Narrow, kTokens, kNumbers>::kBytes, stream, p, gradY, static_cast<Element16*>(out.hidden));
    }
    float* weight = shares.count > 1 ? parts : out.weight;
    float* bias = shares.count > 1 && out.bias ? parts + shares.count * numbers * p.rank : out.bias;
    if (code == cudaSuccess)
        code = launch(weightGradientKernel<Pairs, Narrow>, dim3(unsigned(channelTiles<Pairs>(p) * rankTiles), unsigned(shares.count)), dim3(kThreads),
                      SumLayout<Pairs, Narrow, kSumTokens, kSumTokens>::kBytes, stream, p, gradY, weight, bias, shares.tokens);
    if (code == cudaSuccess && shares.count > 1)
        code = addShares(weight, out.weight, numbers * p.rank, shares.count, stream);
    if (code == cudaSuccess && shares.count > 1 && out.bias)
        code = addShares(bias, out.bias, numbers, shares.count, stream);
    return code;
}

template <int Pairs>
cudaError_t backward(const GeneratedConvolution& p, const GeneratedConvolutionGradients& out, float* parts, const Shares& shares, cudaStream_t stream)
{
    return narrow(p) ? backward<Pairs, true>(p, out, parts, shares, stream) : backward<Pairs, false>(p, out, parts, shares, stream);
}

} // namespace
} // namespace generated

std::size_t generatedConvolutionBackwardWorkspace(const GeneratedConvolution& p, int multiprocessors)
{
    const std::int64_t shares = generated::sharesFor(p, multiprocessors).count;
    return shares > 1 ? std::size_t(shares * p.channels * p.taps * (p.rank + 1)) * sizeof(float) : 0;
}

cudaError_t launchGeneratedConvolutionBackward(const GeneratedConvolution& p, const GeneratedConvolutionGradients& out, void* workspace,
                                               int multiprocessors, cudaStream_t stream)
{
    const auto aligned = [](const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0; };
    if (!generatedConvolutionCanTake(p) || p.history || !aligned(out.gradY) || !aligned(out.x) || !aligned(out.hidden) || !aligned(out.weight))
        return cudaErrorInvalidValue;
    float* parts = static_cast<float*>(workspace);
    const generated::Shares shares = generated::sharesFor(p, multiprocessors);
    if (p.taps <= 2)
        return generated::backward<1>(p, out, parts, shares, stream);
    return p.taps <= 4 ? generated::backward<2>(p, out, parts, shares, stream) : generated::backward<4>(p, out, parts, shares, stream);
}

} // namespace postnas::ops::cuda
