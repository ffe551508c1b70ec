// Attention of one query token of each sequence over its cache of keys and values, split along the cache.
//
// The time is that of reading the cache once. The query heads that share a key head are the rows of one 16-row operand, so K and V
// pass once for all of them. Every warp takes 16 tokens at a time through its own stages of asynchronous copies: no warp waits for
// another before the end, and about 100 KiB of an SM's share of the cache are always under way, several times what its latency needs.
// The cache's rows of one head lie one behind the other (as core/engine lays them out), so that a warp's copy is 4 KiB in one piece.
#include "kernels/include/attention_launch.h"

#include <algorithm>

#include "kernels/include/overlap.cuh"
#include "kernels/include/tensor_core.cuh"

namespace postnas::ops::cuda {
namespace {

using Element16 = __nv_bfloat16;

constexpr int kWarps = 4;
constexpr int kRows = 16;           ///< query heads of a block
constexpr int kTokens = 16;         ///< of a tile
constexpr int kSplitTokens = 128;   ///< a smaller part is not worth its merging
constexpr int kPrefetchTokens = 128, kLineBytes = 128;
constexpr int kEvenTokens = 2048;   ///< parts of large batches: small enough that all SMs end at the same time
constexpr int kMaxSplits = 128;
constexpr int kMergeWarps = 8, kPartsAtOnce = 8;
constexpr float kLog2E = 1.44269504f;

/// Numbers of a merge to come, of each part of each query head.
struct Partials {
    float* sums = nullptr;  ///< [batch, heads, splits, dim], relative to the maximum
    float2* stats = nullptr; ///< [batch, heads, splits]: maximum in base 2, sum of the weights
};

__device__ __forceinline__ int lengthOf(const DecodeAttentionProblem& p, std::int64_t sequence)
{
    if (p.finished && p.finished[sequence] != 0)
        return 0;
    return max(0, int(min(std::int64_t(p.lengths[sequence]), p.capacity)));
}
/// Short sequences use fewer parts than there are blocks for.
__device__ __forceinline__ int splitsOf(int length, int splits) { return max(1, min(splits, (length + kSplitTokens - 1) / kSplitTokens)); }

template <int Dim>
struct Shape {
    static constexpr int kStride = Dim + 8; ///< an odd number of 16-byte pieces, so that loads of tiles do not collide
    static constexpr int kTile = kTokens * kStride;
    static constexpr int kStages = Dim <= 64 ? 6 : Dim <= 96 ? 4 : 3;
    static constexpr int kBytes = kWarps * kStages * 2 * kTile * 2; ///< two blocks fit on an SM
    static_assert(kWarps * kRows * (Dim + 2) * 4 <= kBytes, "the warps' results take the place of the stages");
};

template <int Dim>
class Decode {
public:
    using S = Shape<Dim>;

    __device__ Decode(const DecodeAttentionProblem& problem, unsigned char* sharedMemory)
        : p(problem), shared(sharedMemory), lane(int(threadIdx.x) % 32), warp(int(threadIdx.x) / 32), r(lane / 4), c(lane % 4 * 2)
    {
    }

    __device__ void run(Element16* out, const Partials& partials, int splits)
    {
        const std::int64_t sequence = blockIdx.z;
        const int group = int(p.heads / p.keyValueHeads), blocks = (group + kRows - 1) / kRows;
        const std::int64_t keyHead = blockIdx.y / blocks;
        const int firstRow = int(blockIdx.y) % blocks * kRows, rows = min(kRows, group - firstRow);
        const std::int64_t firstHead = sequence * p.heads + keyHead * group + firstRow;
        const std::int64_t cache = (sequence * p.keyValueHeads + keyHead) * p.capacity * p.dim;
        keys = static_cast<const Element16*>(p.keys) + cache;
        values = static_cast<const Element16*>(p.values) + cache;
        const int split = int(blockIdx.x);
        prefetch(lengthOf(p, sequence), split, splits);
        waitForEarlierLaunches();
        letNextLaunchStart();
        length = lengthOf(p, sequence);
        const int used = splitsOf(length, splits);
        if (split >= used)
            return;
        const std::int64_t tiles = (length + kTokens - 1) / kTokens;
        const int first = int(tiles * split / used) + warp, end = int(tiles * (split + 1) / used);
        loadQueries(static_cast<const Element16*>(p.q) + firstHead * p.dim, rows);

#pragma unroll
        for (int stage = 0; stage < S::kStages - 1; ++stage)
            copy(first + stage * kWarps, end, stage);
        int stage = 0;
        for (int tile = first; tile < end; tile += kWarps) {
            copy(tile + (S::kStages - 1) * kWarps, end, stage == 0 ? S::kStages - 1 : stage - 1);
            waitCopies<S::kStages - 1>();
            __syncwarp();
            attend(tile, stage);
            __syncwarp();
            stage = stage + 1 == S::kStages ? 0 : stage + 1;
        }
        waitCopies<0>();
        __syncthreads();
        store(out, partials, firstHead, rows, split, used, splits);
    }

private:
    /// The start of the block's part by a length that may be an older one: a hint, for a cache that small batches would wait for.
    __device__ void prefetch(int likelyLength, int split, int splits) const
    {
        const std::int64_t tiles = (likelyLength + kTokens - 1) / kTokens, used = splitsOf(likelyLength, splits);
        if (split >= used)
            return;
        const int first = int(tiles * split / used) * kTokens, end = min(int(tiles * (split + 1) / used) * kTokens, first + kPrefetchTokens);
        const int line = (first * int(p.dim) * 2) / kLineBytes + int(threadIdx.x), lines = (min(end, likelyLength) * int(p.dim) * 2) / kLineBytes;
        for (int i = line; i < lines; i += kWarps * 32) {
            prefetchLine(reinterpret_cast<const unsigned char*>(keys) + std::int64_t(i) * kLineBytes);
            prefetchLine(reinterpret_cast<const unsigned char*>(values) + std::int64_t(i) * kLineBytes);
        }
    }
    __device__ Element16* tileOf(int stage, int which) const
    {
        return reinterpret_cast<Element16*>(shared) + ((warp * S::kStages + stage) * 2 + which) * S::kTile;
    }

    /// Rows beyond the sequence and columns beyond the width become zeros: what the cache holds there may be anything.
    __device__ __forceinline__ void copy(int tile, int end, int stage)
    {
        if (tile < end) {
            constexpr int kPieces = Dim / 8;
            Element16* const keyTile = tileOf(stage, 0);
            Element16* const valueTile = tileOf(stage, 1);
            const std::int64_t from = std::int64_t(tile) * kTokens * p.dim;
            const int left = length - tile * kTokens;
#pragma unroll
            for (int which = 0; which < 2; ++which)
#pragma unroll
                for (int i = 0; i < kTokens * kPieces / 32; ++i) {
                    const int piece = i * 32 + lane, row = piece / kPieces, column = piece % kPieces * 8;
                    const bool valid = row < left && column < int(p.dim);
                    const Element16* source = which == 0 ? keys : values;
                    copyAsync16((which == 0 ? keyTile : valueTile) + row * S::kStride + column,
                                valid ? source + from + row * int(p.dim) + column : source, valid);
                }
        }
        commitCopies();
    }

    __device__ __forceinline__ void loadQueries(const Element16* q, int rows)
    {
#pragma unroll
        for (int k = 0; k < Dim / 16; ++k)
#pragma unroll
            for (int part = 0; part < 4; ++part) {
                const int row = r + part % 2 * 8, column = k * 16 + c + part / 2 * 8;
                query[k][part] = row < rows && column < p.dim ? *reinterpret_cast<const std::uint32_t*>(q + row * p.dim + column) : 0;
            }
    }

    __device__ __forceinline__ void attend(int tile, int stage)
    {
        float scores[2][4] = {};
        const Element16* const keyRow = tileOf(stage, 0) + (lane / 16 * 8 + lane % 8) * S::kStride + lane / 8 % 2 * 8;
#pragma unroll
        for (int k = 0; k < Dim / 16; ++k) {
            std::uint32_t b[4];
            loadTiles<false>(b, keyRow + k * 16);
            multiply<Element16>(scores[0], query[k], b[0], b[1]);
            multiply<Element16>(scores[1], query[k], b[2], b[3]);
        }
        const int left = length - tile * kTokens;
        const float scale = p.scale * kLog2E;
#pragma unroll
        for (int n = 0; n < 2; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e)
                scores[n][e] = n * 8 + c + e % 2 < left ? scores[n][e] * scale : -INFINITY;

        float correction[2];
        bool grew = false;
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            float top = fmaxf(fmaxf(scores[0][half * 2], scores[0][half * 2 + 1]), fmaxf(scores[1][half * 2], scores[1][half * 2 + 1]));
            top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 1));
            top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 2));
            const float next = fmaxf(maximum[half], top);
            correction[half] = exp2f(maximum[half] - next);
            grew |= next > maximum[half];
            maximum[half] = next;
        }
#pragma unroll
        for (int n = 0; n < 2; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e)
                scores[n][e] = exp2f(scores[n][e] - maximum[e / 2]);
        // After the first tiles the maximum seldom grows.
        if (__any_sync(0xffffffffu, grew)) {
            sum[0] *= correction[0];
            sum[1] *= correction[1];
#pragma unroll
            for (int n = 0; n < Dim / 8; ++n)
#pragma unroll
                for (int e = 0; e < 4; ++e)
                    result[n][e] *= correction[e / 2];
        }
#pragma unroll
        for (int half = 0; half < 2; ++half)
            sum[half] += (scores[0][half * 2] + scores[0][half * 2 + 1]) + (scores[1][half * 2] + scores[1][half * 2 + 1]);

        const std::uint32_t weights[4] = {pack<Element16>(scores[0][0], scores[0][1]), pack<Element16>(scores[0][2], scores[0][3]),
                                          pack<Element16>(scores[1][0], scores[1][1]), pack<Element16>(scores[1][2], scores[1][3])};
        const Element16* const valueRow = tileOf(stage, 1) + lane % 16 * S::kStride + lane / 16 * 8;
#pragma unroll
        for (int n = 0; n < Dim / 16; ++n) {
            std::uint32_t b[4];
            loadTiles<true>(b, valueRow + n * 16);
            multiply<Element16>(result[2 * n], weights, b[0], b[1]);
            multiply<Element16>(result[2 * n + 1], weights, b[2], b[3]);
        }
    }

    /// Joins the warps' results, each relative to its own maximum.
    __device__ void store(Element16* out, const Partials& partials, std::int64_t firstHead, int rows, int split, int used, int splits)
    {
        float* const results = reinterpret_cast<float*>(shared); // [warp, row, dim]
        float* const stats = results + kWarps * kRows * Dim;     // [warp, row, 2]
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            sum[half] += __shfl_xor_sync(0xffffffffu, sum[half], 1);
            sum[half] += __shfl_xor_sync(0xffffffffu, sum[half], 2);
            const int row = warp * kRows + r + half * 8;
#pragma unroll
            for (int n = 0; n < Dim / 8; ++n)
                *reinterpret_cast<float2*>(results + row * Dim + n * 8 + c) = make_float2(result[n][half * 2], result[n][half * 2 + 1]);
            if (c == 0)
                *reinterpret_cast<float2*>(stats + row * 2) = make_float2(maximum[half], sum[half]);
        }
        __syncthreads();
        const int width = int(p.dim);
        for (int i = int(threadIdx.x); i < rows * width; i += kWarps * 32) {
            const int row = i / width, column = i % width;
            float top = -INFINITY, total = 0, value = 0;
            for (int w = 0; w < kWarps; ++w)
                top = fmaxf(top, stats[(w * kRows + row) * 2]);
            for (int w = 0; w < kWarps; ++w) {
                const float theirs = stats[(w * kRows + row) * 2];
                const float weight = theirs == -INFINITY ? 0.0f : exp2f(theirs - top);
                total += weight * stats[(w * kRows + row) * 2 + 1];
                value += weight * results[(w * kRows + row) * Dim + column];
            }
            if (used == 1) {
                out[(firstHead + row) * width + column] = __float2bfloat16(total > 0 ? value / total : 0.0f);
                continue;
            }
            const std::int64_t slot = (firstHead + row) * splits + split;
            partials.sums[slot * width + column] = value;
            if (column == 0)
                partials.stats[slot] = make_float2(top, total);
        }
    }

    const DecodeAttentionProblem& p;
    unsigned char* shared;
    int lane, warp, r, c; ///< r and c: the row and first column that this lane has of a product
    int length = 0;
    const Element16* keys = nullptr;
    const Element16* values = nullptr;
    std::uint32_t query[Dim / 16][4];
    float result[Dim / 8][4] = {};
    float maximum[2] = {-INFINITY, -INFINITY}, sum[2] = {}; ///< of rows r and r + 8; the sum over this lane's tokens
};

template <int Dim>
__global__ void __launch_bounds__(kWarps * 32, 2) decodeKernel(DecodeAttentionProblem p, Element16* out, Partials partials, int splits)
{
    POSTNAS_SHARED_MEMORY(shared);
    Decode<Dim>(p, shared).run(out, partials, splits);
}

__global__ void __launch_bounds__(kMergeWarps * 32) mergeKernel(DecodeAttentionProblem p, Element16* out, Partials partials, int splits)
{
    POSTNAS_SHARED_MEMORY(shared);
    float* const sums = reinterpret_cast<float*>(shared); // [warp, dim]
    const std::int64_t sequence = blockIdx.y, head = sequence * p.heads + blockIdx.x;
    waitForEarlierLaunches();
    letNextLaunchStart();
    const int used = splitsOf(lengthOf(p, sequence), splits), width = int(p.dim);
    if (used == 1)
        return;
    const int lane = int(threadIdx.x) % 32, warp = int(threadIdx.x) / 32;
    const float2* const stats = partials.stats + head * splits;
    const int column = lane * 4; // the width is at most 128
    // The first parts are asked for before the weights are known.
    float4 parts[kPartsAtOnce];
#pragma unroll
    for (int i = 0; i < kPartsAtOnce; ++i) {
        const int s = warp + i * kMergeWarps;
        parts[i] = make_float4(0, 0, 0, 0);
        if (s < used && column < width)
            parts[i] = *reinterpret_cast<const float4*>(partials.sums + (head * splits + s) * width + column);
    }
    float top = -INFINITY, total = 0;
    for (int s = lane; s < used; s += 32)
        top = fmaxf(top, stats[s].x);
    for (int mask = 16; mask > 0; mask /= 2)
        top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, mask));
    for (int s = lane; s < used; s += 32)
        total += exp2f(stats[s].x - top) * stats[s].y;
    for (int mask = 16; mask > 0; mask /= 2)
        total += __shfl_xor_sync(0xffffffffu, total, mask);

    float4 mine = make_float4(0, 0, 0, 0);
#pragma unroll
    for (int i = 0; i < kPartsAtOnce; ++i) {
        const int s = warp + i * kMergeWarps;
        const float weight = s < used ? exp2f(stats[s].x - top) : 0.0f;
        mine = make_float4(mine.x + weight * parts[i].x, mine.y + weight * parts[i].y, mine.z + weight * parts[i].z, mine.w + weight * parts[i].w);
    }
    if (column < width) {
#pragma unroll 4
        for (int s = warp + kPartsAtOnce * kMergeWarps; s < used; s += kMergeWarps) {
            const float weight = exp2f(stats[s].x - top);
            const float4 part = *reinterpret_cast<const float4*>(partials.sums + (head * splits + s) * width + column);
            mine = make_float4(mine.x + weight * part.x, mine.y + weight * part.y, mine.z + weight * part.z, mine.w + weight * part.w);
        }
        *reinterpret_cast<float4*>(sums + warp * width + column) = mine;
    }
    __syncthreads();
    for (int i = int(threadIdx.x); i < width; i += kMergeWarps * 32) {
        float value = 0;
        for (int w = 0; w < kMergeWarps; ++w)
            value += sums[w * width + i];
        out[head * width + i] = __float2bfloat16(value / total);
    }
}

int chooseSplits(const DecodeAttentionProblem& p, int multiprocessors)
{
    if (p.splits > 0)
        return int(std::min<std::int64_t>(p.splits, kMaxSplits));
    const std::int64_t group = p.heads / p.keyValueHeads, rows = p.batch * p.keyValueHeads * ((group + kRows - 1) / kRows);
    const std::int64_t splits = std::max(multiprocessors / std::max<std::int64_t>(rows, 1), p.capacity / kEvenTokens);
    return int(std::clamp<std::int64_t>(splits, 1, std::clamp<std::int64_t>(p.capacity / kSplitTokens, 1, kMaxSplits)));
}

template <int Dim>
cudaError_t decode(const DecodeAttentionProblem& p, Element16* out, const Partials& partials, int splits, cudaStream_t stream)
{
    const std::int64_t group = p.heads / p.keyValueHeads;
    const dim3 grid(unsigned(splits), unsigned(p.keyValueHeads * ((group + kRows - 1) / kRows)), unsigned(p.batch));
    return launchOverlapped(decodeKernel<Dim>, grid, dim3(kWarps * 32), Shape<Dim>::kBytes, stream, p, out, partials, splits);
}

bool aligned(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0; }

} // namespace

bool decodeAttentionCanTake(const DecodeAttentionProblem& p)
{
    return p.dim > 0 && p.dim <= 128 && p.dim % 8 == 0 && p.keyValueHeads > 0 && p.heads % p.keyValueHeads == 0 && p.batch < 65536
        && p.heads < 65536 && p.capacity < (std::int64_t(1) << 31) && aligned(p.q) && aligned(p.keys) && aligned(p.values);
}

std::size_t decodeAttentionWorkspace(const DecodeAttentionProblem& p, int multiprocessors)
{
    const int splits = chooseSplits(p, multiprocessors);
    return splits == 1 ? 0 : std::size_t(p.batch * p.heads * splits * (p.dim + 2)) * sizeof(float);
}

cudaError_t launchDecodeAttention(const DecodeAttentionProblem& p, void* out, void* workspace, int multiprocessors, cudaStream_t stream)
{
    if (!decodeAttentionCanTake(p))
        return cudaErrorInvalidValue;
    if (p.batch * p.heads == 0)
        return cudaSuccess;
    const int splits = chooseSplits(p, multiprocessors);
    Partials partials;
    partials.sums = static_cast<float*>(workspace);
    if (splits > 1)
        partials.stats = reinterpret_cast<float2*>(partials.sums + p.batch * p.heads * splits * p.dim);
    auto* const o = static_cast<Element16*>(out);
    const cudaError_t code = p.dim <= 64 ? decode<64>(p, o, partials, splits, stream)
        : p.dim <= 80                    ? decode<80>(p, o, partials, splits, stream)
        : p.dim <= 96                    ? decode<96>(p, o, partials, splits, stream)
                                         : decode<128>(p, o, partials, splits, stream);
    if (code != cudaSuccess || splits == 1)
        return code;
    return launchOverlapped(mergeKernel, dim3(unsigned(p.heads), unsigned(p.batch)), dim3(kMergeWarps * 32), std::size_t(kMergeWarps * p.dim) * 4, stream, p, o,
                  partials, splits);
}

} // namespace postnas::ops::cuda
