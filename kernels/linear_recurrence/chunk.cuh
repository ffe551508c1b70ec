// What the kernels of the chunked linear recurrence share: how tokens fall into chunks, tiles in shared memory, scratch arrays.
//
// A chunk is 64 tokens of one sequence and head. With G the running sum of the log decay inside the chunk (inclusive), S the state
// before it, and rows being tokens:
//   M_ij = k_i.k_j exp(G_i - G_j) for j < i       X = (I + diag(beta) M)^-1        A_ij = scale q_i.k_j exp(G_i - G_j) for j <= i
//   R = diag(beta) (V - exp(G) K S)               N = X R  (without delta: N = V)
//   O = scale exp(G) Q S + A N                    S' = exp(G_C) S + (exp(G_C - G) K)^T N
// (the "UT transform" of arXiv 2406.06484 with the decay of arXiv 2412.06464; X is applied to R instead of being folded into K and V,
// so that only X has to be stored). With a removal key, row i of M has r_i instead of k_i, and R reads exp(G) r. All exponents are at most zero, so
// nothing overflows however strong the decay is; only RWKV-7's removal keys, kappa exp(-w), are made with one that is not.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/include/launch.cuh"
#include "kernels/include/recurrence_launch.h"
#include "kernels/include/tensor_core.cuh"

namespace postnas::ops::cuda::chunk {

using Element16 = __nv_bfloat16;

constexpr int kTokens = 64;              ///< of a chunk
constexpr int kSquareStride = kTokens + 8; ///< of X and A in shared memory; an odd number of 16-byte pieces, so that loads of tiles do not collide

/// One sequence: its first row among all tokens, its length and its first chunk among all chunks.
struct Sequence {
    std::int64_t first, length, firstChunk;
};

__host__ __device__ inline Sequence sequenceAt(const RecurrenceProblem& p, std::int64_t s)
{
    if (p.starts == nullptr)
        return {s * p.length, p.length, s * ((p.length + kTokens - 1) / kTokens)};
    // Rounding down and one chunk more for each sequence before it never overlaps, and needs no table.
    const std::int64_t first = p.starts[s];
    return {first, p.starts[s + 1] - first, first / kTokens + s};
}

/// The sequence that a chunk belongs to; its length is 0 for a chunk that nobody uses.
__device__ inline Sequence findSequence(const RecurrenceProblem& p, std::int64_t chunk)
{
    if (p.starts == nullptr)
        return sequenceAt(p, chunk / ((p.length + kTokens - 1) / kTokens));
    std::int64_t low = 0, high = p.sequences - 1;
    while (low < high) {
        const std::int64_t middle = (low + high + 1) / 2;
        if (sequenceAt(p, middle).firstChunk <= chunk)
            low = middle;
        else
            high = middle - 1;
    }
    return sequenceAt(p, low);
}

inline std::int64_t sequenceCount(const RecurrenceProblem& p) { return p.starts ? p.sequences : p.batch; }
inline std::int64_t tokenCount(const RecurrenceProblem& p) { return p.batch * p.length; }
/// Chunks for which there is room; with packed sequences some stay unused.
inline std::int64_t chunkCount(const RecurrenceProblem& p)
{
    return p.starts ? tokenCount(p) / kTokens + p.sequences : p.batch * ((p.length + kTokens - 1) / kTokens);
}

/// Numbers of each token of a chunk, [chunk, head, 4, 64] in float32.
enum GateRow { kSum = 0, kDecayIn = 1, kDecayOut = 2, kBeta = 3 }; ///< G, exp(G), exp(G_C - G), beta (0 beyond the end)

/// Arrays between the kernels of one call; those that a case does not need are null.
struct Scratch {
    Element16* inverse = nullptr;      ///< X [chunk, head, 64, 64]; delta only
    Element16* attention = nullptr;    ///< A [chunk, head, 64, 64]
    float* gates = nullptr;            ///< [chunk, head, 4, 64]
    Element16* queryIn = nullptr;      ///< decay per channel: exp(G) q, [token, head, key]
    Element16* keyIn = nullptr;        ///< exp(G) k, or of the removal key; delta only
    Element16* keyOut = nullptr;       ///< exp(G_C - G) k
    float* channelDecay = nullptr;     ///< exp(G_C) [chunk, head, key]
};

/// Copies rows of 16-bit numbers to a tile; rows from `rows` and columns from `columns` on (multiples of 8) become zero.
template <int Threads>
__device__ __forceinline__ void copyTile(Element16* tile, int tileStride, int tileRows, int tileColumns, const Element16* from,
                                         std::int64_t rowStride, int rows, int columns)
{
    const int pieces = tileColumns / 8;
    for (int i = int(threadIdx.x); i < tileRows * pieces; i += Threads) {
        const int row = i / pieces, column = i % pieces * 8;
        const bool valid = row < rows && column < columns;
        copyAsync16(tile + row * tileStride + column, valid ? from + row * rowStride + column : from, valid);
    }
}

/// Copies `count` numbers, a multiple of 4, to shared memory; both addresses are on 16 bytes.
template <int Threads>
__device__ __forceinline__ void copyFloats(unsigned char* to, const float* from, int count)
{
    for (int i = int(threadIdx.x) * 4; i < count; i += Threads * 4)
        copyAsync16(to + i * 4, from + i, true);
}

/// The address that this lane gives to loadTiles for the 16 x 16 square whose upper left corner is (row, column), in the order
/// (rows 0-7, columns 0-7), (0-7, 8-15), (8-15, 0-7), (8-15, 8-15).
__device__ __forceinline__ const Element16* squareByRows(const Element16* tile, int stride, int row, int column)
{
    const int lane = int(threadIdx.x) % 32;
    return tile + (row + lane / 16 * 8 + lane % 8) * stride + column + lane / 8 % 2 * 8;
}
/// The same in the order (0-7, 0-7), (8-15, 0-7), (0-7, 8-15), (8-15, 8-15).
__device__ __forceinline__ const Element16* squareByColumns(const Element16* tile, int stride, int row, int column)
{
    const int lane = int(threadIdx.x) % 32;
    return tile + (row + lane / 8 % 2 * 8 + lane % 8) * stride + column + lane / 16 * 8;
}

/// Two neighbouring 16 x 8 results as the left operand of a product.
__device__ __forceinline__ void packPair(std::uint32_t (&a)[4], const float (&left)[4], const float (&right)[4])
{
    a[0] = pack<Element16>(left[0], left[1]);
    a[1] = pack<Element16>(left[2], left[3]);
    a[2] = pack<Element16>(right[0], right[1]);
    a[3] = pack<Element16>(right[2], right[3]);
}

/// Calls f with the smallest key width that kernels are made for and that holds keyDim, as an integral constant.
template <int Largest = 256, typename F>
cudaError_t forKeyWidth(std::int64_t keyDim, F&& f)
{
    if (keyDim <= 64)
        return f(std::integral_constant<int, 64>());
    if (keyDim <= 96)
        return f(std::integral_constant<int, 96>());
    if (keyDim <= 128)
        return f(std::integral_constant<int, 128>());
    if constexpr (Largest > 128) {
        if (keyDim <= 192)
            return f(std::integral_constant<int, 192>());
        if (keyDim <= 256)
            return f(std::integral_constant<int, 256>());
    }
    return cudaErrorInvalidValue;
}
/// The same with the key width, whether there is the delta rule and whether each channel has its own decay.
template <int Largest = 256, typename F>
cudaError_t forCase(const RecurrenceProblem& p, F&& f)
{
    return forKeyWidth<Largest>(p.keyDim, [&](auto width) {
        if (p.gatePerChannel)
            return p.beta ? f(width, std::true_type(), std::true_type()) : f(width, std::false_type(), std::true_type());
        return p.beta ? f(width, std::true_type(), std::false_type()) : f(width, std::false_type(), std::false_type());
    });
}

constexpr int kMaxRemovalKey = 128; ///< with a removal key
/// What the delta rule removes along: k, a key of its own, or in tokens of its own (RecurrenceProblem::removalRate).
enum class Removal { Key, OwnKey, OwnToken };
/// f with the problem's removal and key width, as integral constants; there is a removal key.
template <typename F>
cudaError_t forRemoval(const RecurrenceProblem& p, F&& f)
{
    return forKeyWidth<kMaxRemovalKey>(p.keyDim, [&](auto width) {
        if (p.removalRate)
            return f(width, std::integral_constant<Removal, Removal::OwnToken>());
        return f(width, std::integral_constant<Removal, Removal::OwnKey>());
    });
}

/// Writes a result of one warp, [16 rows, Columns], of which this lane has row `row` and row + 8, as rows of `to`.
template <int Columns>
__device__ __forceinline__ void storeResultRows(const float (&result)[Columns / 8][4], Element16* to, std::int64_t stride, int row,
                                                std::int64_t rows, std::int64_t columns)
{
    static_assert(Columns % 32 == 0);
    const int c = int(threadIdx.x) % 4 * 2;
#pragma unroll
    for (int n = 0; n < Columns / 8; n += 4)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            // Four lanes have two columns each of four groups of eight; afterwards each has one group, so that 16 bytes are written at once.
            std::uint32_t x[4];
#pragma unroll
            for (int i = 0; i < 4; ++i)
                x[i] = pack<Element16>(result[n + i][2 * half], result[n + i][2 * half + 1]);
            const bool odd = (c & 2) != 0, upper = (c & 4) != 0;
#pragma unroll
            for (int i = 0; i < 4; i += 2) {
                const std::uint32_t other = __shfl_xor_sync(0xffffffffu, odd ? x[i] : x[i + 1], 1);
                x[i] = odd ? other : x[i];
                x[i + 1] = odd ? x[i + 1] : other;
            }
#pragma unroll
            for (int i = 0; i < 2; ++i) {
                const std::uint32_t other = __shfl_xor_sync(0xffffffffu, upper ? x[i] : x[i + 2], 2);
                x[i] = upper ? other : x[i];
                x[i + 2] = upper ? x[i + 2] : other;
            }
            const int at = row + half * 8, column = n * 8 + c * 4;
            if (column < columns && at < rows)
                *reinterpret_cast<uint4*>(to + at * stride + column) = {x[0], x[1], x[2], x[3]};
        }
}

/// Writes a transposed state [16 values, keys], of which this lane has rows `firstColumn` and `firstColumn` + 8, as `to` [value, key].
template <int Key>
__device__ __forceinline__ void storeStateColumns(const float (&state)[Key / 8][4], Element16* to, const RecurrenceProblem& p, int firstColumn)
{
    storeResultRows<Key>(state, to, p.keyDim, firstColumn, p.valueDim, p.keyDim);
}

/// Writes a result [16 columns, 64 tokens] as rows of `to`, the chunk's first token of a [token, head, value] array, by way of `own`: 16
/// columns of a tile in shared memory that only this warp uses.
__device__ __forceinline__ void storeTokens(const float (&x)[8][4], Element16* own, int stride, Element16* to, const RecurrenceProblem& p, int rows,
                                            int firstColumn)
{
    const int lane = int(threadIdx.x) % 32, r = lane / 4, c = lane % 4 * 2, column = lane % 2 * 8;
    __syncwarp();
#pragma unroll
    for (int n = 0; n < 8; ++n)
#pragma unroll
        for (int e = 0; e < 4; ++e)
            own[(n * 8 + c + e % 2) * stride + r + e / 2 * 8] = __float2bfloat16(x[n][e]);
    __syncwarp();
    if (firstColumn + column < p.valueDim)
        for (int row = lane / 2; row < rows; row += 16)
            *reinterpret_cast<uint4*>(to + row * p.heads * p.valueDim + firstColumn + column) =
                *reinterpret_cast<const uint4*>(own + row * stride + column);
    __syncwarp();
}

/// Few sequences and heads: narrow blocks, so that more of them share the long way through the chunks.
inline bool fewBlocks(const RecurrenceProblem& p) { return sequenceCount(p) * p.heads * ((p.valueDim + 63) / 64) < 128; }

/// beta of a token as everything uses it. Zero becomes a number that is nothing beside one, as the backward pass divides by it.
__device__ inline float betaAt(const RecurrenceProblem& p, std::int64_t token, std::int64_t head)
{
    const float beta = p.beta[token * p.heads + head];
    return fabsf(beta) < 1e-15f ? 1e-15f : beta;
}

/// Fills the scratch arrays of a problem.
cudaError_t launchPrepare(const RecurrenceProblem& problem, const Scratch& scratch, cudaStream_t stream);
cudaError_t launchPrepareChannels(const RecurrenceProblem& problem, const Scratch& scratch, cudaStream_t stream);

/// What the pass over the chunks leaves.
struct ScanOutputs {
    Element16* o = nullptr;      ///< [token, head, value]
    float* finalState = nullptr; ///< [sequence, head, key, value]; null: not wanted
};
cudaError_t launchScan(const RecurrenceProblem& problem, const Scratch& scratch, const ScanOutputs& out, cudaStream_t stream);
/// The same with products of four warps, on devices that have them and up to a key width.
constexpr int kMaxGroupKey = 128;
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
template <int Key> constexpr bool kGroupsTake = Key <= kMaxGroupKey; ///< so that nobody waits for kernels that are never called to be compiled
#else
template <int Key> constexpr bool kGroupsTake = false;
#endif
bool groupScanCanTake(const RecurrenceProblem& problem);
cudaError_t launchGroupScan(const RecurrenceProblem& problem, const Scratch& scratch, const ScanOutputs& out, cudaStream_t stream);

/// What the backward pass reads and leaves between its kernels. Rows are tokens: with dX for the gradient of X,
///   dN = A^T dO + (exp(G_C - G) K) dS'      dV = diag(beta) X^T dN (without delta: dN)
///   dS = exp(G_C) dS' + scale (exp(G) Q)^T dO - (exp(G) K)^T dV
struct BackwardScratch {
    Element16* states = nullptr;         ///< S, [chunk, head, value, key]
    Element16* news = nullptr;           ///< N, [token, head, value]; without delta: v itself
    Element16* stateGradients = nullptr; ///< dS', [chunk, head, value, key]
};
/// The pass over the chunks again, for S and N alone.
cudaError_t launchStates(const RecurrenceProblem& problem, const Scratch& scratch, const BackwardScratch& backward, cudaStream_t stream);
cudaError_t launchGroupStates(const RecurrenceProblem& problem, const Scratch& scratch, const BackwardScratch& backward, cudaStream_t stream);
cudaError_t launchScanBackward(const RecurrenceProblem& problem, const Scratch& scratch, const BackwardScratch& backward,
                               const ChunkedGradients& gradients, cudaStream_t stream);
cudaError_t launchGroupScanBackward(const RecurrenceProblem& problem, const Scratch& scratch, const BackwardScratch& backward,
                                    const ChunkedGradients& gradients, cudaStream_t stream);
cudaError_t launchGradients(const RecurrenceProblem& problem, const Scratch& scratch, const BackwardScratch& backward,
                            const ChunkedGradients& gradients, cudaStream_t stream);
/// The same with products of four warps, where groupScanCanTake() says so and the decay is not a channel's.
cudaError_t launchGroupGradients(const RecurrenceProblem& problem, const Scratch& scratch, const BackwardScratch& backward,
                                 const ChunkedGradients& gradients, cudaStream_t stream);
cudaError_t launchGradientsPerChannel(const RecurrenceProblem& problem, const Scratch& scratch, const BackwardScratch& backward,
                                      const ChunkedGradients& gradients, cudaStream_t stream);

} // namespace postnas::ops::cuda::chunk
