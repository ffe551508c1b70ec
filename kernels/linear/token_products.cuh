// Matrix products of a few tokens with several matrices in one launch; see kernels/include/linear_launch.h.
//
// Nothing but reading the weights counts. Each block owns a range of rows, equal to a row, so that all end together. Rows go 16 at a time
// through the tensor cores as the first operand, the tokens are the columns of the second: with the dimension of the sums permuted alike on
// both sides, what a lane needs of four steps are 16 neighbouring bytes of a row. They come through a ring of asynchronous copies of its own,
// so that no thread waits for another. Two blocks share a multiprocessor; where one has ended, one of the next launch fills its ring before the
// others have, and the last of a block's copies are followed by hints for what is read next. The norm of the tokens is made by every block for
// itself.
#pragma once

#include "kernels/include/cuda_element.cuh"
#include "kernels/include/linear_launch.h"
#include "kernels/include/overlap.cuh"
#include "kernels/include/tensor_core.cuh"

namespace postnas::ops::cuda {

constexpr int kProductThreads = 256, kProductWarps = kProductThreads / 32;
constexpr int kProductStep = 32; ///< columns that four lanes take at a time
constexpr int kTokenPad = 32;    ///< elements between two tokens in shared memory, so that loads of several do not collide

/// 16 bytes of a weight, with its neighbours on the way to the multiprocessor's cache; without `valid` zeros.
__device__ __forceinline__ void copyWeight(void* to, const void* from, bool valid)
{
#ifdef POSTNAS_CUDA_EMULATION
    copyAsync16(to, from, valid);
#else
    const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(to));
    const int bytes = valid ? 16 : 0;
    asm volatile("cp.async.cg.shared.global.L2::256B [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(bytes) : "memory");
#endif
}

__device__ __forceinline__ float siluOf(float x) { return x / (1.f + __expf(-x)); }

/// AlongK: warps that share the rows of a tile, each a part of the width; Steps: of 32 columns that are copied together; Depth: of the ring.
template <int AlongK, int Steps, int Depth, bool SwiGlu>
class TokenProductsBlock {
public:
    using Bf16 = __nv_bfloat16;
    static constexpr int kTileOutputs = SwiGlu ? 8 : 16;
    static constexpr std::size_t kRingBytes = std::size_t(Depth) * Steps * 2 * kProductThreads * 16;

    __device__ TokenProductsBlock(const TokenProducts& problem, unsigned char* memory)
        : p(problem), lane(int(threadIdx.x) % 32), warp(int(threadIdx.x) / 32), tokens(int(problem.tokens)), width(int(problem.width))
    {
        std::int64_t rows = 0;
        for (int i = 0; i < (SwiGlu ? 1 : p.count); ++i)
            rows += p.products[i].rows;
        first = int(rows * blockIdx.x / gridDim.x);
        count = int(rows * (blockIdx.x + 1) / gridDim.x) - first;
        tiles = (count + kTileOutputs - 1) / kTileOutputs;
        const int steps = width / kProductStep, part = warp % AlongK;
        beginStep = steps * part / AlongK;
        endStep = steps * (part + 1) / AlongK;
        ring = reinterpret_cast<uint4*>(memory) + threadIdx.x;
        x = reinterpret_cast<Bf16*>(memory + kRingBytes);
        partial = reinterpret_cast<float*>(memory + kRingBytes + tokens * (width + kTokenPad) * 2);
    }

    __device__ void run()
    {
        tile = warp / AlongK;
        step = beginStep;
        pointToTile();
#pragma unroll 1
        for (int i = 0; i < Depth; ++i)
            fetch(i);
        waitForEarlierLaunches();
        letNextLaunchStart();
        readAhead();
        loadTokens();
        int stage = 0;
        for (int t = warp / AlongK; t < tiles; t += kProductWarps / AlongK) {
            float sum[4] = {};
            for (int at = beginStep; at < endStep; at += Steps) {
                waitCopies<Depth - 1>();
                multiplyStage(sum, stage, at);
                fetch(stage);
                readAhead();
                stage = stage + 1 == Depth ? 0 : stage + 1;
            }
            keep(sum, t);
        }
        waitCopies<0>();
        __syncthreads();
        finish();
    }

private:
    /// The row of the weights that output `output` of this block's is made of, or null beyond the block's.
    __device__ __forceinline__ const Bf16* rowOf(int output, int product) const
    {
        if (output >= count)
            return nullptr;
        int row = first + output, i = product;
        if (!SwiGlu)
            while (row >= p.products[i].rows)
                row -= int(p.products[i++].rows);
        return static_cast<const Bf16*>(p.products[i].weight) + std::int64_t(row) * width + lane % 4 * 8;
    }
    __device__ __forceinline__ void pointToTile()
    {
        const int output = tile * kTileOutputs + lane / 4;
        upper = rowOf(output, 0);
        lower = SwiGlu ? rowOf(output, 1) : rowOf(output + 8, 0);
    }
    /// What later launches read first, after the last of this launch's own weights: so the memory is busy until they come to ask.
    __device__ __forceinline__ void readAhead()
    {
        if (threadIdx.x != 0 || hinted || tile < tiles)
            return;
        hinted = true;
        for (const UpcomingRead& u : p.upcoming) {
            const std::int64_t begin = u.bytes * blockIdx.x / gridDim.x / 128 * 128, end = u.bytes * (blockIdx.x + 1) / gridDim.x / 128 * 128;
            const std::int64_t some = min(end - begin, p.upcomingBytes);
            if (some > 0)
                prefetchPiece(static_cast<const unsigned char*>(u.data) + begin, unsigned(some));
        }
    }
    /// Asks for the next weights of this lane's.
    __device__ __forceinline__ void fetch(int stage)
    {
        if (tile < tiles) {
            uint4* const to = ring + stage * Steps * 2 * kProductThreads;
            const void* const any = p.products[0].weight; // an address for copies of nothing
#pragma unroll
            for (int i = 0; i < Steps; ++i) {
                const bool valid = step + i < endStep;
                const int at = (step + i) * kProductStep;
                copyWeight(to + (2 * i) * kProductThreads, valid && upper ? upper + at : any, valid && upper);
                copyWeight(to + (2 * i + 1) * kProductThreads, valid && lower ? lower + at : any, valid && lower);
            }
            step += Steps;
            if (step >= endStep) {
                step = beginStep;
                tile += kProductWarps / AlongK;
                pointToTile();
            }
        }
        commitCopies();
    }
    __device__ __forceinline__ void multiplyStage(float (&sum)[4], int stage, int at) const
    {
        const uint4* const w = ring + stage * Steps * 2 * kProductThreads;
        const int token = lane / 4;
        const Bf16* const from = x + token * (width + kTokenPad) + lane % 4 * 8;
#pragma unroll
        for (int i = 0; i < Steps; ++i) {
            uint4 b = make_uint4(0, 0, 0, 0);
            if (token < tokens && at + i < endStep)
                b = *reinterpret_cast<const uint4*>(from + (at + i) * kProductStep);
            const uint4 high = w[(2 * i) * kProductThreads], low = w[(2 * i + 1) * kProductThreads];
            const std::uint32_t a0[4] = {high.x, low.x, high.y, low.y}, a1[4] = {high.z, low.z, high.w, low.w};
            multiply<Bf16>(sum, a0, b.x, b.y);
            multiply<Bf16>(sum, a1, b.z, b.w);
        }
    }
    /// Of each tile [part, token, row]; the other lanes' columns are tokens that do not exist.
    __device__ __forceinline__ void keep(const float (&sum)[4], int of)
    {
        float* const to = partial + (of * AlongK + warp % AlongK) * tokens * 16;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const int token = lane % 4 * 2 + i % 2;
            if (token < tokens)
                to[token * 16 + lane / 4 + i / 2 * 8] = sum[i];
        }
    }
    __device__ __forceinline__ float sumOf(int of, int token, int row) const
    {
        float sum = 0;
#pragma unroll
        for (int part = 0; part < AlongK; ++part)
            sum += partial[((of * AlongK + part) * tokens + token) * 16 + row];
        return sum;
    }
    __device__ void finish() const
    {
        for (int i = int(threadIdx.x); i < count * tokens; i += kProductThreads) {
            const int token = i / count, output = i % count, of = output / kTileOutputs, row = output % kTileOutputs;
            int at = first + output, product = 0;
            if (!SwiGlu)
                while (at >= p.products[product].rows)
                    at -= int(p.products[product++].rows);
            const TokenProduct& to = p.products[product];
            float value = sumOf(of, token, row) + biasOf(to, at);
            if (SwiGlu)
                value = siluOf(value) * (sumOf(of, token, row + 8) + biasOf(p.products[1], at));
            else if (to.silu)
                value = siluOf(value);
            const std::int64_t place = token * to.rows + at;
            if (p.residual)
                value += toFloat(static_cast<const Bf16*>(p.residual)[place]);
            if (to.unrounded)
                static_cast<float*>(to.out)[place] = value;
            else
                static_cast<Bf16*>(to.out)[place] = fromFloat<Bf16>(value);
        }
    }
    __device__ __forceinline__ static float biasOf(const TokenProduct& product, int row)
    {
        return product.bias ? toFloat(static_cast<const Bf16*>(product.bias)[row]) : 0.f;
    }

    /// The tokens to shared memory, each by 256, 128, 64 or 32 neighbouring threads, through the norm where there is one.
    __device__ void loadTokens()
    {
        __shared__ float sums[kProductWarps];
        const int sharers = tokens <= 1 ? 256 : tokens <= 2 ? 128 : tokens <= 4 ? 64 : 32;
        const int token = int(threadIdx.x) / sharers, mine = int(threadIdx.x) % sharers;
        const Bf16* const from = static_cast<const Bf16*>(p.x) + std::int64_t(token) * width;
        Bf16* const to = x + token * (width + kTokenPad);
        float squares = 0;
        if (token < tokens)
            for (int at = mine * 8; at < width; at += sharers * 8) {
                const uint4 bits = *reinterpret_cast<const uint4*>(from + at);
                *reinterpret_cast<uint4*>(to + at) = bits;
                if (p.normWeight) {
                    const std::uint32_t words[4] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
                    for (int i = 0; i < 4; ++i) {
                        const float2 pair = unpack<Bf16>(words[i]);
                        squares += pair.x * pair.x + pair.y * pair.y;
                    }
                }
            }
        if (p.normWeight) {
#pragma unroll
            for (int bit = 16; bit > 0; bit >>= 1)
                squares += __shfl_xor_sync(0xffffffffu, squares, bit);
            if (lane == 0)
                sums[warp] = squares;
            __syncthreads();
            float all = 0;
            for (int i = 0; i < sharers / 32; ++i)
                all += sums[token * (sharers / 32) + i];
            const float factor = rsqrtf(all / float(width) + p.epsilon);
            if (token < tokens)
                for (int at = mine * 8; at < width; at += sharers * 8) { // what this thread itself stored
                    uint4 bits = *reinterpret_cast<uint4*>(to + at);
                    const uint4 weights = *reinterpret_cast<const uint4*>(static_cast<const Bf16*>(p.normWeight) + at);
                    bits = make_uint4(scaled(bits.x, weights.x, factor), scaled(bits.y, weights.y, factor), scaled(bits.z, weights.z, factor),
                                      scaled(bits.w, weights.w, factor));
                    *reinterpret_cast<uint4*>(to + at) = bits;
                }
        }
        __syncthreads();
    }
    __device__ __forceinline__ static std::uint32_t scaled(std::uint32_t values, std::uint32_t weights, float factor)
    {
        const float2 v = unpack<Bf16>(values), w = unpack<Bf16>(weights);
        return pack<Bf16>(v.x * factor * w.x, v.y * factor * w.y);
    }

    const TokenProducts& p;
    int lane, warp, tokens, width;
    int first, count, tiles;     ///< of the block: outputs
    int beginStep, endStep;      ///< of the warp: columns over 32
    int tile = 0, step = 0;      ///< whose weights are asked for next
    bool hinted = false;
    uint4* ring;                 ///< [stage, step, upper and lower, thread], from this thread's on
    Bf16* x;                     ///< [token, width + pad]
    float* partial;              ///< [tile, part, token, 16]
    const Bf16* upper = nullptr; ///< this lane's rows
    const Bf16* lower = nullptr;
};

template <int AlongK, int Steps, int Depth, bool SwiGlu>
__global__ void __launch_bounds__(kProductThreads, 2) tokenProductsKernel(const __grid_constant__ TokenProducts p)
{
    POSTNAS_SHARED_MEMORY(memory);
    TokenProductsBlock<AlongK, Steps, Depth, SwiGlu>(p, memory).run();
}

/// Blocks for all rows: as many as run at once, more where a block would have more than `mostRows`.
inline int productBlocks(std::int64_t rows, int atOnce, std::int64_t mostRows)
{
    const std::int64_t needed = (rows + mostRows - 1) / mostRows;
    return int(needed > atOnce ? needed : rows < atOnce ? rows : atOnce);
}

/// Of the tokens and of the results that wait for each other, beside the ring.
inline std::size_t productSharedBytes(std::int64_t tokens, std::int64_t width, std::int64_t rowsOfBlock, int tileOutputs, int alongK)
{
    const std::int64_t tiles = (rowsOfBlock + tileOutputs - 1) / tileOutputs;
    return std::size_t(tokens * (width + kTokenPad) * 2 + tiles * alongK * tokens * 16 * 4);
}

} // namespace postnas::ops::cuda
