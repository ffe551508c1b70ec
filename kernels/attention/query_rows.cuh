// What the kernels of decode attention share: the query heads of one key head as the 16 rows of a warp's products, and how a cache is cut into parts.
#pragma once

#include "kernels/include/attention_launch.h"
#include "kernels/include/tensor_core.cuh"

namespace postnas::ops::cuda::attention {

using Element16 = __nv_bfloat16;

constexpr int kRows = 16;         ///< query heads of a block
constexpr int kTokens = 16;       ///< of a warp's products
constexpr int kSplitTokens = 128; ///< a smaller part is not worth its merging
constexpr float kLog2E = 1.44269504f;

/// How a cache is cut, and the numbers of a merge to come, of each part of each query head.
struct Partials {
    int splits = 1;                 ///< parts at most
    int leastTokens = kSplitTokens; ///< of a part: short sequences use fewer of them
    float* sums = nullptr;          ///< [batch, heads, splits, dim], relative to the maximum
    float2* stats = nullptr;        ///< [batch, heads, splits]: maximum in base 2, sum of the weights

    __device__ __forceinline__ int used(int length) const { return max(1, min(splits, (length + leastTokens - 1) / leastTokens)); }
};

__device__ __forceinline__ int lengthOf(const DecodeAttentionProblem& p, std::int64_t sequence)
{
    if (p.finished && p.finished[sequence] != 0)
        return 0;
    return max(0, int(min(std::int64_t(p.lengths[sequence]), p.capacity)));
}

/// Blocks that share the query heads of one key head.
__host__ __device__ inline std::int64_t blocksOfGroup(const DecodeAttentionProblem& p) { return (p.heads / p.keyValueHeads + kRows - 1) / kRows; }

/// The grid is (parts, key heads x blocks of a group, sequences).
struct Place {
    std::int64_t sequence, keyHead, firstHead; ///< firstHead: of the block's rows, among all sequences' query heads
    int rows, split;

    __device__ explicit Place(const DecodeAttentionProblem& p)
        : sequence(blockIdx.z), split(int(blockIdx.x))
    {
        const int group = int(p.heads / p.keyValueHeads), blocks = int(blocksOfGroup(p)), firstRow = int(blockIdx.y) % blocks * kRows;
        keyHead = blockIdx.y / unsigned(blocks);
        firstHead = sequence * p.heads + keyHead * group + firstRow;
        rows = min(kRows, group - firstRow);
    }
};

/// A warp's share of a block's rows: their weighted sum of the values that it has seen.
template <int Dim, int Warps>
class QueryRows {
public:
    static constexpr int kResultBytes = Warps * kRows * (Dim + 2) * 4;

    __device__ explicit QueryRows(const DecodeAttentionProblem& problem)
        : p(problem), lane(int(threadIdx.x) % 32), warp(int(threadIdx.x) / 32), r(lane / 4), c(lane % 4 * 2)
    {
    }

    __device__ __forceinline__ void load(const Place& place)
    {
        const Element16* const q = static_cast<const Element16*>(p.q) + place.firstHead * p.dim;
#pragma unroll
        for (int k = 0; k < Dim / 16; ++k)
#pragma unroll
            for (int part = 0; part < 4; ++part) {
                const int row = r + part % 2 * 8, column = k * 16 + c + part / 2 * 8;
                query[k][part] = row < place.rows && column < p.dim ? *reinterpret_cast<const std::uint32_t*>(q + row * p.dim + column) : 0;
            }
    }

    /// The weights of 16 tokens, of which `left` (at least one) are there; keyAt(token, piece) is the address of 8 columns in shared memory.
    template <typename At>
    __device__ __forceinline__ void weigh(std::uint32_t (&weights)[4], int left, const At& keyAt)
    {
        float scores[2][4] = {};
#pragma unroll
        for (int k = 0; k < Dim / 16; ++k) {
            std::uint32_t b[4];
            loadTiles<false>(b, keyAt(lane / 16 * 8 + lane % 8, k * 2 + lane / 8 % 2));
            multiply<Element16>(scores[0], query[k], b[0], b[1]);
            multiply<Element16>(scores[1], query[k], b[2], b[3]);
        }
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
        weights[0] = pack<Element16>(scores[0][0], scores[0][1]);
        weights[1] = pack<Element16>(scores[0][2], scores[0][3]);
        weights[2] = pack<Element16>(scores[1][0], scores[1][1]);
        weights[3] = pack<Element16>(scores[1][2], scores[1][3]);
    }

    /// The values of these tokens, numbers all of them: a weight of zero does not hide what is none.
    template <typename At>
    __device__ __forceinline__ void add(const std::uint32_t (&weights)[4], const At& valueAt)
    {
#pragma unroll
        for (int n = 0; n < Dim / 16; ++n) {
            std::uint32_t b[4];
            loadTiles<true>(b, valueAt(lane % 16, n * 2 + lane / 16));
            multiply<Element16>(result[2 * n], weights, b[0], b[1]);
            multiply<Element16>(result[2 * n + 1], weights, b[2], b[3]);
        }
    }

    /// Joins the warps' results, each relative to its own maximum, in kResultBytes of shared memory that nobody else uses any more. All threads
    /// of the block call it, those of warps beyond `Warps` too.
    __device__ void store(float* shared, Element16* out, const Partials& partials, const Place& place, int used)
    {
        float* const results = shared;                      // [warp, row, dim]
        float* const stats = results + Warps * kRows * Dim; // [warp, row, 2]
        if (warp < Warps) {
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
        }
        __syncthreads();
        const int width = int(p.dim);
        for (int i = int(threadIdx.x); i < place.rows * width; i += int(blockDim.x)) {
            const int row = i / width, column = i % width;
            float top = -INFINITY, total = 0, value = 0;
            for (int w = 0; w < Warps; ++w)
                top = fmaxf(top, stats[(w * kRows + row) * 2]);
            for (int w = 0; w < Warps; ++w) {
                const float theirs = stats[(w * kRows + row) * 2];
                const float weight = theirs == -INFINITY ? 0.0f : exp2f(theirs - top);
                total += weight * stats[(w * kRows + row) * 2 + 1];
                value += weight * results[(w * kRows + row) * Dim + column];
            }
            if (used == 1) {
                out[(place.firstHead + row) * width + column] = __float2bfloat16(total > 0 ? value / total : 0.0f);
                continue;
            }
            const std::int64_t slot = (place.firstHead + row) * partials.splits + place.split;
            partials.sums[slot * width + column] = value;
            if (column == 0)
                partials.stats[slot] = make_float2(top, total);
        }
    }

private:
    const DecodeAttentionProblem& p;
    int lane, warp, r, c; ///< r and c: the row and first column that this lane has of a product
    std::uint32_t query[Dim / 16][4];
    float result[Dim / 8][4] = {};
    float maximum[2] = {-INFINITY, -INFINITY}, sum[2] = {}; ///< of rows r and r + 8; the sum over this lane's tokens
};

} // namespace postnas::ops::cuda::attention
