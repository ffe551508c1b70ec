// Attention of one query token of each sequence over its cache of keys and values, split along the cache.
//
// The time is that of reading the cache once. The query heads that share a key head are the rows of one 16-row operand, so K and V
// pass once for all of them. Every warp takes 16 tokens at a time through its own stages of asynchronous copies: no warp waits for
// another before the end, and about 100 KiB of an SM's share of the cache are always under way, several times what its latency needs.
// The cache's rows of one head lie one behind the other (as core/engine lays them out), so that a warp's copy is 4 KiB in one piece.
// Large caches go to decode_tiles.cu where the GPU has what that needs.
#include "kernels/attention/decode_tiles.h"

#include <algorithm>

#include "kernels/include/overlap.cuh"

namespace postnas::ops::cuda {
namespace {

using namespace attention;

constexpr int kWarps = 4;
constexpr int kPrefetchTokens = 128, kLineBytes = 128;
constexpr int kEvenTokens = 2048;   ///< parts of large batches: small enough that all SMs end at the same time
constexpr int kMaxSplits = 128;
// Of caches that are read as tiles, as measured: few parts, but enough for two blocks on every SM, and long ones where the sequences alone
// fill the GPU, since a merge costs as much as reading some MB.
constexpr int kTileSplits = 8, kTileTurns = 16, kTilePartTokens = 4096;
constexpr int kMergeWarps = 8, kPartsAtOnce = 8;

template <int Dim> constexpr int kUsualStages = Dim <= 64 ? 6 : Dim <= 96 ? 4 : 3;

template <int Dim, int Stages>
struct Shape {
    static constexpr int kStride = Dim + 8; ///< an odd number of 16-byte pieces, so that loads of tiles do not collide
    static constexpr int kTile = kTokens * kStride;
    static constexpr int kStages = Stages;
    static constexpr int kBytes = kWarps * kStages * 2 * kTile * 2; ///< two blocks fit on an SM of Hopper
    static_assert(QueryRows<Dim, kWarps>::kResultBytes <= kBytes, "the warps' results take the place of the stages");
};

template <int Dim, int Stages>
class Decode {
public:
    using S = Shape<Dim, Stages>;

    __device__ Decode(const DecodeAttentionProblem& problem, unsigned char* sharedMemory)
        : p(problem), place(problem), shared(sharedMemory), lane(int(threadIdx.x) % 32), warp(int(threadIdx.x) / 32)
    {
    }

    __device__ __forceinline__ void run(Element16* out, const Partials& partials)
    {
        const std::int64_t cache = (place.sequence * p.keyValueHeads + place.keyHead) * p.capacity * p.dim;
        keys = static_cast<const Element16*>(p.keys) + cache;
        values = static_cast<const Element16*>(p.values) + cache;
        const int split = place.split;
        prefetch(lengthOf(p, place.sequence), partials);
        waitForEarlierLaunches();
        letNextLaunchStart();
        length = lengthOf(p, place.sequence);
        const int used = partials.used(length);
        if (split >= used)
            return;
        const std::int64_t tiles = (length + kTokens - 1) / kTokens;
        const int first = int(tiles * split / used) + warp, end = int(tiles * (split + 1) / used);
        QueryRows<Dim, kWarps> rows(p);
        rows.load(place);

#pragma unroll
        for (int stage = 0; stage < S::kStages - 1; ++stage)
            copy(first + stage * kWarps, end, stage);
        int stage = 0;
        for (int tile = first; tile < end; tile += kWarps) {
            copy(tile + (S::kStages - 1) * kWarps, end, stage == 0 ? S::kStages - 1 : stage - 1);
            waitCopies<S::kStages - 1>();
            __syncwarp();
            attend(rows, tile, stage);
            __syncwarp();
            stage = stage + 1 == S::kStages ? 0 : stage + 1;
        }
        waitCopies<0>();
        __syncthreads();
        rows.store(reinterpret_cast<float*>(shared), out, partials, place, used);
    }

private:
    /// The start of the block's part by a length that may be an older one: a hint, for a cache that small batches would wait for.
    __device__ void prefetch(int likelyLength, const Partials& partials) const
    {
        const int split = place.split;
        const std::int64_t tiles = (likelyLength + kTokens - 1) / kTokens, used = partials.used(likelyLength);
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

    __device__ __forceinline__ void attend(QueryRows<Dim, kWarps>& rows, int tile, int stage) const
    {
        const auto at = [&](int which) {
            return [corner = tileOf(stage, which)](int row, int piece) { return corner + row * S::kStride + piece * 8; };
        };
        std::uint32_t weights[4];
        rows.weigh(weights, length - tile * kTokens, at(0));
        rows.add(weights, at(1));
    }

    const DecodeAttentionProblem& p;
    const Place place;
    unsigned char* shared;
    int lane, warp, length = 0;
    const Element16* keys = nullptr;
    const Element16* values = nullptr;
};

template <int Dim, int Stages>
__global__ void __launch_bounds__(kWarps * 32, 2) decodeKernel(DecodeAttentionProblem p, Element16* out, Partials partials)
{
    POSTNAS_SHARED_MEMORY(shared);
    Decode<Dim, Stages>(p, shared).run(out, partials);
}

__global__ void __launch_bounds__(kMergeWarps * 32) mergeKernel(DecodeAttentionProblem p, Element16* out, Partials partials)
{
    POSTNAS_SHARED_MEMORY(shared);
    float* const sums = reinterpret_cast<float*>(shared); // [warp, dim]
    const std::int64_t sequence = blockIdx.y, head = sequence * p.heads + blockIdx.x;
    waitForEarlierLaunches();
    letNextLaunchStart();
    const int splits = partials.splits, used = partials.used(lengthOf(p, sequence)), width = int(p.dim);
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

/// Whether the cache is so large that reading it in the memory's own way matters more than the start of its kernel.
bool asTiles(const DecodeAttentionProblem& p)
{
    return p.batch * p.keyValueHeads * p.capacity * p.dim * 4 >= p.tileBytes && decodeTilesCanTake(p);
}

Partials cut(const DecodeAttentionProblem& p, int multiprocessors, bool tiles)
{
    Partials out;
    const std::int64_t rows = std::max<std::int64_t>(p.batch * p.keyValueHeads * blocksOfGroup(p), 1), capacity = p.capacity;
    std::int64_t splits = std::max(multiprocessors / rows, capacity / kEvenTokens);
    if (tiles) {
        const std::int64_t filling = std::max(multiprocessors / rows, std::min<std::int64_t>(2 * multiprocessors / rows, kTileSplits));
        const std::int64_t even = std::min({std::int64_t(kTileSplits), (kTileTurns * multiprocessors + rows - 1) / rows, capacity / kTilePartTokens});
        splits = std::max(filling, even);
        if (rows >= multiprocessors && p.splits == 0)
            out.leastTokens = kTilePartTokens;
    }
    splits = std::clamp<std::int64_t>(splits, 1, std::clamp<std::int64_t>(capacity / kSplitTokens, 1, kMaxSplits));
    out.splits = int(p.splits > 0 ? std::min<std::int64_t>(p.splits, kMaxSplits) : splits);
    return out;
}

template <int Dim>
cudaError_t decode(const DecodeAttentionProblem& p, Element16* out, const Partials& partials, cudaStream_t stream)
{
    const dim3 grid(unsigned(partials.splits), unsigned(p.keyValueHeads * blocksOfGroup(p)), unsigned(p.batch));
    const auto run = [&](auto stages) {
        constexpr int kStages = decltype(stages)::value;
        return launchOverlapped(decodeKernel<Dim, kStages>, grid, dim3(kWarps * 32), Shape<Dim, kStages>::kBytes, stream, p, out, partials);
    };
    constexpr int kFewer = kUsualStages<Dim> - 1;
    static_assert(Shape<Dim, kFewer>::kBytes <= 99 * 1024, "what the smallest devices have");
    if (std::size_t(Shape<Dim, kUsualStages<Dim>>::kBytes) > sharedMemoryOfBlock())
        return run(std::integral_constant<int, kFewer>());
    return run(std::integral_constant<int, kUsualStages<Dim>>());
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
    const int splits = cut(p, multiprocessors, asTiles(p)).splits;
    return splits == 1 ? 0 : std::size_t(p.batch * p.heads * splits * (p.dim + 2)) * sizeof(float);
}

cudaError_t launchDecodeAttention(const DecodeAttentionProblem& p, void* out, void* workspace, int multiprocessors, cudaStream_t stream)
{
    if (!decodeAttentionCanTake(p))
        return cudaErrorInvalidValue;
    if (p.batch * p.heads == 0)
        return cudaSuccess;
    const bool tiles = asTiles(p);
    Partials partials = cut(p, multiprocessors, tiles);
    partials.sums = static_cast<float*>(workspace);
    if (partials.splits > 1)
        partials.stats = reinterpret_cast<float2*>(partials.sums + p.batch * p.heads * partials.splits * p.dim);
    auto* const o = static_cast<Element16*>(out);
    const cudaError_t code = tiles ? launchDecodeTiles(p, o, partials, stream)
        : p.dim <= 64              ? decode<64>(p, o, partials, stream)
        : p.dim <= 80              ? decode<80>(p, o, partials, stream)
        : p.dim <= 96              ? decode<96>(p, o, partials, stream)
                                   : decode<128>(p, o, partials, stream);
    if (code != cudaSuccess || partials.splits == 1)
        return code;
    return launchOverlapped(mergeKernel, dim3(unsigned(p.heads), unsigned(p.batch)), dim3(kMergeWarps * 32), std::size_t(kMergeWarps * p.dim) * 4, stream, p, o,
                  partials);
}

} // namespace postnas::ops::cuda
