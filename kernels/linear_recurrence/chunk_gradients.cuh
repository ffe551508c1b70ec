// What the gradients of one chunk and head need whether the decay is of a head or of each channel: products with the values and the states,
// slice by slice of the values, and the layout of their results.
#pragma once

#include "kernels/linear_recurrence/chunk_channels.cuh"

namespace postnas::ops::cuda::chunk {

/// A block of 8 warps: four blocks of 16 tokens by two halves of the channels.
template <int Key, bool Delta, int Stages>
class ChunkGradients {
public:
    static constexpr int kThreads = 256;
    static constexpr int kSlice = 32; ///< value columns at a time
    static constexpr int kKeyStride = Key + 8, kKeyTile = kTokens * kKeyStride * 2, kSquare = kTokens * kSquareStride * 2;
    static constexpr int kSliceStride = kSlice + 8, kTokenTile = kTokens * kSliceStride * 2, kStateTile = kSlice * kKeyStride * 2;
    /// Tiles of a slice, from the start of its stage.
    static constexpr int kGradO = 0, kNew = kTokenTile, kGradV = 2 * kTokenTile, kState = (Delta ? 3 : 2) * kTokenTile,
                         kStateGradient = kState + kStateTile, kStage = kStateGradient + kStateTile;
    static constexpr int kTiles = Key / 16; ///< 16 x 8 results of a warp, side by side: half of the channels
    static_assert(kTiles % 2 == 0, "half of the channels must be a multiple of 16");
    using Rows = float[kTiles][4]; ///< [16 tokens, half of the channels]

    __device__ ChunkGradients(const RecurrenceProblem& problem, const Scratch& scratchArrays, const BackwardScratch& backwardArrays,
                              const ChunkedGradients& outputs, unsigned char* memory)
        : p(problem), scratch(scratchArrays), backward(backwardArrays), out(outputs), shared(memory), chunk(blockIdx.x), head(blockIdx.y),
          slot(chunk * problem.heads + head), warp(int(threadIdx.x) / 32), block(warp % 4), half(warp / 4), r(int(threadIdx.x) % 32 / 4),
          c(int(threadIdx.x) % 4 * 2)
    {
    }

protected:
    /// False where the chunk has no tokens.
    __device__ bool find()
    {
        const Sequence sequence = findSequence(p, chunk);
        const std::int64_t before = (chunk - sequence.firstChunk) * kTokens;
        if (before >= sequence.length)
            return false;
        rows = int(min(std::int64_t(kTokens), sequence.length - before));
        first = sequence.first + before;
        return true;
    }

    __device__ Element16* tile(int offset) const { return reinterpret_cast<Element16*>(shared + offset); }
    __device__ float* floats(int offset) const { return reinterpret_cast<float*>(shared + offset); }
    __device__ int token(int e) const { return block * 16 + r + e / 2 * 8; }
    __device__ int channel(int n, int e) const { return half * (Key / 2) + n * 8 + c + e % 2; }
    /// Two neighbouring channels of a token of a tile.
    __device__ std::uint32_t& pair(int offset, int n, int e) const
    {
        return *reinterpret_cast<std::uint32_t*>(tile(offset) + token(e) * kKeyStride + channel(n, 0));
    }

    __device__ void copyKeys(int offset, const void* from)
    {
        copyTile<kThreads>(tile(offset), kKeyStride, kTokens, Key, static_cast<const Element16*>(from) + (first * p.heads + head) * p.keyDim,
                           p.heads * p.keyDim, rows, int(p.keyDim));
    }

    /// All products over the values; the stages start at `stages` and are free afterwards.
    __device__ void multiplyValues(int stages)
    {
        const int slices = int((p.valueDim + kSlice - 1) / kSlice);
        for (int s = 0; s < Stages - 1; ++s)
            copySlice(s, slices, stages);
        for (int s = 0; s < slices; ++s) {
            waitCopies<Stages - 2>();
            __syncthreads();
            copySlice(s + Stages - 1, slices, stages);
            multiplySlice(stages + s % Stages * kStage);
        }
        __syncthreads();
    }

    /// Writes dA and dM, from the diagonal down, as squares; `decay` is a function of row and column.
    template <typename F>
    __device__ void storeSquares(int attention, int system, F&& decay)
    {
#pragma unroll
        for (int n = 0; n < 4; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                const int i = token(e), j = half * 32 + n * 8 + c + e % 2;
                if (j / 16 > block)
                    continue; // above the diagonal nothing is read
                const float d = j <= i ? decay(i, j) : 0.f;
                tile(attention)[i * kSquareStride + j] = __float2bfloat16(p.scale * d * forAttention[n][e]);
                if (Delta)
                    tile(system)[i * kSquareStride + j] = __float2bfloat16(j < i ? -d * forSystem[n][e] : 0.f);
            }
    }

    /// The gradient of beta is E.U with N = beta U, and dV = beta E; beta, as prepared, is never zero. `beta` is a function of the token.
    template <typename F>
    __device__ void storeBetaGradient(F&& beta)
    {
#pragma unroll
        for (int n = 0; n < 4; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e)
                if (token(e) == half * 32 + n * 8 + c + e % 2 && token(e) < rows)
                    out.beta[(first + token(e)) * p.heads + head] = forSystem[n][e] / (beta(token(e)) * beta(token(e)));
    }

    /// Calls f(key, sum over the values of S dS') for the keys of this lane.
    template <typename F>
    __device__ void eachStateProduct(F&& f)
    {
#pragma unroll
        for (int n = 0; n < kTiles / 2; ++n)
            if (n % 4 == block && c == (r & ~1)) {
                const int key = half * (Key / 2) + n * 16 + r;
                f(key, r % 2 ? stateProducts[n / 4][0][1] : stateProducts[n / 4][0][0]);
                f(key + 8, r % 2 ? stateProducts[n / 4][1][3] : stateProducts[n / 4][1][2]);
            }
    }

    /// Writes a tile as rows of a [token, head, key] array.
    __device__ void storeKeys(int offset, void* to)
    {
        const int pieces = int(p.keyDim) / 8;
        for (int i = int(threadIdx.x); i < rows * pieces; i += kThreads) {
            const int row = i / pieces, column = i % pieces * 8;
            *reinterpret_cast<uint4*>(static_cast<Element16*>(to) + ((first + row) * p.heads + head) * p.keyDim + column) =
                *reinterpret_cast<const uint4*>(tile(offset) + row * kKeyStride + column);
        }
    }

    const RecurrenceProblem& p;
    const Scratch& scratch;
    const BackwardScratch& backward;
    const ChunkedGradients& out;
    unsigned char* shared;
    std::int64_t chunk, head, slot, first = 0;
    int rows = 0;
    int warp, block, half, r, c;
    // The products, without decay and scale; those for the delta rule are zero without it.
    float forAttention[4][4] = {}, forSystem[4][4] = {}; ///< dO N^T and dV N^T of this warp's 16 rows and 32 columns
    Rows fromState = {}, taken = {}, given = {};         ///< dO S^T, dV S^T and N dS'^T
    float stateProducts[(kTiles + 7) / 8][2][4] = {};    ///< of S and dS', of which the diagonals matter

private:
    /// Starts the copies of a slice; one that does not exist is an empty group. Each thread copies the same place of every tile.
    __device__ __forceinline__ void copySlice(int s, int slices, int stages)
    {
        if (s < slices) {
            unsigned char* stage = shared + stages + s % Stages * kStage;
            const int left = int(p.valueDim) - s * kSlice;
            static_assert(kTokens * kSlice / 8 == kThreads);
            const int row = int(threadIdx.x) / (kSlice / 8), column = int(threadIdx.x) % (kSlice / 8) * 8;
            const bool valid = row < rows && column < left;
            const std::int64_t at = valid ? ((first + row) * p.heads + head) * p.valueDim + s * kSlice + column : 0;
            auto* tokens = reinterpret_cast<Element16*>(stage) + row * kSliceStride + column;
            copyAsync16(tokens + kGradO / 2, static_cast<const Element16*>(out.gradO) + at, valid);
            copyAsync16(tokens + kNew / 2, backward.news + at, valid);
            if (Delta)
                copyAsync16(tokens + kGradV / 2, static_cast<const Element16*>(out.v) + at, valid);
            const std::int64_t states = (slot * p.valueDim + s * kSlice) * p.keyDim;
#pragma unroll
            for (int k = 0; k < (4 * Key + kThreads - 1) / kThreads; ++k) {
                const int i = k * kThreads + int(threadIdx.x), value = i / (Key / 8), key = i % (Key / 8) * 8;
                if (4 * Key % kThreads != 0 && i >= 4 * Key)
                    continue;
                const bool inside = value < left && key < p.keyDim;
                const std::int64_t from = inside ? states + value * int(p.keyDim) + key : 0;
                auto* to = reinterpret_cast<Element16*>(stage) + value * kKeyStride + key;
                copyAsync16(to + kState / 2, backward.states + from, inside);
                copyAsync16(to + kStateGradient / 2, backward.stateGradients + from, inside);
            }
        }
        commitCopies();
    }

    __device__ __forceinline__ void multiplySlice(int stage)
    {
#pragma unroll
        for (int kk = 0; kk < kSlice; kk += 16) {
            std::uint32_t gradO[4], gradV[4], news[4], b[4];
            loadTiles<false>(gradO, squareByColumns(tile(stage + kGradO), kSliceStride, block * 16, kk));
            if (Delta)
                loadTiles<false>(gradV, squareByColumns(tile(stage + kGradV), kSliceStride, block * 16, kk));
#pragma unroll
            for (int n = 0; n < 2; ++n) {
                if (half * 2 + n > block)
                    continue;
                loadTiles<false>(b, squareByRows(tile(stage + kNew), kSliceStride, half * 32 + n * 16, kk));
                multiply<Element16>(forAttention[2 * n], gradO, b[0], b[1]);
                multiply<Element16>(forAttention[2 * n + 1], gradO, b[2], b[3]);
                if (Delta) {
                    multiply<Element16>(forSystem[2 * n], gradV, b[0], b[1]);
                    multiply<Element16>(forSystem[2 * n + 1], gradV, b[2], b[3]);
                }
            }
            loadTiles<false>(news, squareByColumns(tile(stage + kNew), kSliceStride, block * 16, kk));
#pragma unroll
            for (int n = 0; n < kTiles / 2; ++n) {
                std::uint32_t after[4];
                loadTiles<true>(b, squareByColumns(tile(stage + kState), kKeyStride, kk, half * (Key / 2) + n * 16));
                multiply<Element16>(fromState[2 * n], gradO, b[0], b[1]);
                multiply<Element16>(fromState[2 * n + 1], gradO, b[2], b[3]);
                if (Delta) {
                    multiply<Element16>(taken[2 * n], gradV, b[0], b[1]);
                    multiply<Element16>(taken[2 * n + 1], gradV, b[2], b[3]);
                }
                loadTiles<true>(after, squareByColumns(tile(stage + kStateGradient), kKeyStride, kk, half * (Key / 2) + n * 16));
                multiply<Element16>(given[2 * n], news, after[0], after[1]);
                multiply<Element16>(given[2 * n + 1], news, after[2], after[3]);
                if (n % 4 == block) { // S as a right operand is S^T as a left one; each warp has other keys
                    const std::uint32_t before[4] = {b[0], b[2], b[1], b[3]};
                    multiply<Element16>(stateProducts[n / 4][0], before, after[0], after[1]);
                    multiply<Element16>(stateProducts[n / 4][1], before, after[2], after[3]);
                }
            }
        }
    }
};

template <typename Gradients, int Blocks>
__global__ void __launch_bounds__(256, Blocks) gradientsKernel(RecurrenceProblem p, Scratch scratch, BackwardScratch backward, ChunkedGradients out)
{
    POSTNAS_SHARED_MEMORY(shared);
    Gradients(p, scratch, backward, out, shared).run();
}

/// One block for each chunk and head, so many on a multiprocessor.
template <typename G, int Blocks>
cudaError_t launchGradientsKernel(const RecurrenceProblem& p, const Scratch& scratch, const BackwardScratch& backward, const ChunkedGradients& out,
                                  cudaStream_t stream)
{
    return launch(gradientsKernel<G, Blocks>, dim3(unsigned(chunkCount(p)), unsigned(p.heads)), dim3(G::kThreads), G::kBytes, stream, p, scratch,
                  backward, out);
}

/// With the kernel of the problem's key width.
template <template <int, bool> class Gradients>
cudaError_t launchGradientsOf(const RecurrenceProblem& p, const Scratch& scratch, const BackwardScratch& backward, const ChunkedGradients& out,
                              cudaStream_t stream)
{
    return forKeyWidth(p.keyDim, [&](auto width) {
        const auto run = [&](auto delta) {
            constexpr int kBlocks = decltype(width)::value <= (decltype(delta)::value ? 64 : 128) ? 2 : 1;
            return launchGradientsKernel<Gradients<decltype(width)::value, decltype(delta)::value>, kBlocks>(p, scratch, backward, out, stream);
        };
        return p.beta ? run(std::true_type()) : run(std::false_type());
    });
}

} // namespace postnas::ops::cuda::chunk
