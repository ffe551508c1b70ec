// First kernel of the chunked linear recurrence where each channel has its own decay: what chunk_prepare.cu makes for a decay of the head, and
// the decayed queries and keys. Its products go level by level (chunk_channels.cuh), so all of them run on the tensor cores.
#include "kernels/linear_recurrence/chunk_channels.cuh"
#include "kernels/linear_recurrence/chunk_inverse.cuh"

namespace postnas::ops::cuda::chunk {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * 32;

/// The products wait in registers until nothing reads the tiles any more, and then take their place. OwnRemoval: the delta rule reads
/// along other keys than it writes.
template <int Key, bool OwnRemoval>
struct Layout {
    static constexpr int kTileStride = Key + 8, kTile = kTokens * kTileStride * 2, kSquare = kTokens * kSquareStride * 2;
    static constexpr int kQuery = 0, kKey = kTile, kRemoval = OwnRemoval ? 2 * kTile : kKey, kSums = kRemoval + kTile,
                         kGates = kSums + kTokens * kSumStride<Key> * 4,
                         kEnds = kGates + 4 * kTokens * 4, kBytes = kEnds + 4 * Key * 4;
    static constexpr int kAttention = kQuery, kInverse = kKey, kSystem = kSums;
    static_assert(kSquare <= kTile && kTokens * kSystemStride <= kTokens * kSumStride<Key>);
};

/// A 16 x 16 square of both products, lower left corner of a level or on the diagonal.
struct Products {
    float attention[2][4] = {}, system[2][4] = {};
};

template <int Key, bool Delta, Removal R>
class Prepare {
    static constexpr bool kOwnRemoval = R != Removal::Key, kPairs = R == Removal::OwnToken;

public:
    using L = Layout<Key, kOwnRemoval>;

    __device__ Prepare(const RecurrenceProblem& problem, const Scratch& scratchArrays, unsigned char* memory)
        : p(problem), scratch(scratchArrays), shared(memory), chunk(blockIdx.x), head(blockIdx.y), slot(chunk * problem.heads + head),
          warp(int(threadIdx.x) / 32), r(int(threadIdx.x) % 32 / 4), c(int(threadIdx.x) % 4 * 2)
    {
    }

    __device__ void run()
    {
        const Sequence sequence = findSequence(p, chunk);
        const std::int64_t before = (chunk - sequence.firstChunk) * kTokens;
        if (before >= sequence.length)
            return;
        rows = int(min(std::int64_t(kTokens), sequence.length - before));
        first = sequence.first + before;
        if constexpr (kPairs) {
            copyPairsTo(L::kQuery, nullptr, p.q);
            copyPairsTo(L::kKey, p.removalRate, p.k);
            copyPairsTo(L::kRemoval, p.removalKey, nullptr);
        } else {
            copyTo(L::kQuery, p.q);
            copyTo(L::kKey, p.k);
            if (kOwnRemoval)
                copyTo(L::kRemoval, p.removalKey);
        }
        copyChannels<Key, kThreads, kPairs>(p, first, head, rows, floats(L::kSums));
        commitCopies();
        gates();
        waitCopies<0>();
        __syncthreads();
        sumChannels<Key, kThreads>(floats(L::kSums), floats(L::kEnds));
        __syncthreads();
        if constexpr (kPairs) {
            finishPairs<Key, kThreads>(tile(L::kKey), tile(L::kRemoval), L::kTileStride, floats(L::kSums));
            __syncthreads();
        }
        storeDecayed();

        Products near, far;
        diagonal(near);
        apart(far);
        __syncthreads();
        // Blocks above the diagonal are zero.
        for (int i = int(threadIdx.x); i < kTokens * kTokens / 2; i += kThreads) {
            const int row = i / (kTokens / 2), column = i % (kTokens / 2) * 2;
            if (column / 16 > row / 16) {
                *reinterpret_cast<std::uint32_t*>(tile(L::kAttention) + row * kSquareStride + column) = 0;
                if (Delta)
                    *reinterpret_cast<float2*>(floats(L::kSystem) + row * kSystemStride + column) = {0, 0};
            }
        }
        putDiagonal(near);
        putApart(far);
        __syncthreads();
        storeSquare(scratch.attention, tile(L::kAttention));
        if (Delta) {
            if (warp < 4)
                invertBlock(floats(L::kSystem), tile(L::kInverse), warp);
            __syncthreads();
            if (warp < 3)
                invertBelow(floats(L::kSystem), tile(L::kInverse), warp);
            __syncthreads();
            storeSquare(scratch.inverse, tile(L::kInverse));
        }
    }

private:
    __device__ Element16* tile(int offset) const { return reinterpret_cast<Element16*>(shared + offset); }
    __device__ float* floats(int offset) const { return reinterpret_cast<float*>(shared + offset); }
    __device__ const float* sumsAt(int token, int channel) const { return floats(L::kSums) + token * kSumStride<Key> + channel; }
    __device__ float beta(int token) const { return floats(L::kGates)[kBeta * kTokens + token]; }

    __device__ void copyTo(int offset, const void* from)
    {
        copyTile<kThreads>(tile(offset), L::kTileStride, kTokens, Key, static_cast<const Element16*>(from) + (first * p.heads + head) * p.keyDim,
                           p.heads * p.keyDim, rows, int(p.keyDim));
    }
    __device__ void copyPairsTo(int offset, const void* even, const void* odd)
    {
        copyPairs<Key, kThreads>(p, first, head, rows, tile(offset), L::kTileStride, even, odd);
    }

    __device__ void gates()
    {
        for (int i = int(threadIdx.x); i < 4 * kTokens; i += kThreads) {
            const int row = i / kTokens, token = i % kTokens;
            const float value = row == kBeta ? (Delta && token < rows ? betaAt(p, first + token, head) : 0.f) : row == kSum ? 0.f : 1.f;
            floats(L::kGates)[i] = value;
            scratch.gates[slot * 4 * kTokens + i] = value;
        }
    }

    /// The decayed queries and keys that the pass over the chunks reads.
    __device__ void storeDecayed()
    {
        const int pieces = int(p.keyDim) / 8;
        for (int i = int(threadIdx.x); i < rows * pieces; i += kThreads) {
            const int row = i / pieces, column = i % pieces * 8;
            const std::int64_t at = ((first + row) * p.heads + head) * p.keyDim + column;
            std::uint32_t in[4], out[4];
#pragma unroll
            for (int w = 0; w < 4; ++w) {
                const float2 sum = *reinterpret_cast<const float2*>(sumsAt(row, column + 2 * w)),
                             total = *reinterpret_cast<const float2*>(sumsAt(kTokens - 1, column + 2 * w));
                in[w] = pack<Element16>(powerOfTwo(sum.x), powerOfTwo(sum.y));
                out[w] = pack<Element16>(powerOfTwo(total.x - sum.x), powerOfTwo(total.y - sum.y));
            }
            const uint4 query = *reinterpret_cast<const uint4*>(tile(L::kQuery) + row * L::kTileStride + column),
                        key = *reinterpret_cast<const uint4*>(tile(L::kKey) + row * L::kTileStride + column);
            store(scratch.queryIn + at, query, in);
            store(scratch.keyOut + at, key, out);
            if (Delta)
                store(scratch.keyIn + at, *reinterpret_cast<const uint4*>(tile(L::kRemoval) + row * L::kTileStride + column), in);
        }
        for (int column = int(threadIdx.x); column < p.keyDim; column += kThreads)
            scratch.channelDecay[slot * p.keyDim + column] = powerOfTwo(*sumsAt(kTokens - 1, column));
    }
    __device__ static void store(Element16* to, const uint4& x, const std::uint32_t (&factors)[4])
    {
        *reinterpret_cast<uint4*>(to) = {multiplyPairs(x.x, factors[0]), multiplyPairs(x.y, factors[1]), multiplyPairs(x.z, factors[2]),
                                         multiplyPairs(x.w, factors[3])};
    }

    /// 16 rows of a tile, from `row`, and 16 channels as a left operand. Its words 0 and 2, or 1 and 3, are a right operand of 8 of the rows.
    __device__ __forceinline__ void load(std::uint32_t (&x)[4], int offset, int row, int channel) const
    {
        loadTiles<false>(x, squareByColumns(tile(offset), L::kTileStride, row, channel));
    }
    /// The factors of such an operand.
    __device__ __forceinline__ void factors(std::uint32_t (&x)[4], int row, int channel, int level) const
    {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
            const int token = row + r + e % 2 * 8, at = channel + c + e / 2 * 8;
            const float2 f = levelFactor(sumsAt(token, at), sumsAt(anchorOf(token, level), at));
            x[e] = pack<Element16>(f.x, f.y);
        }
    }
    __device__ static __forceinline__ void scaled(std::uint32_t (&out)[4], const std::uint32_t (&x)[4], const std::uint32_t (&factors)[4])
    {
#pragma unroll
        for (int e = 0; e < 4; ++e)
            out[e] = multiplyPairs(x[e], factors[e]);
    }
    __device__ static __forceinline__ void add(float (&x)[2][4], const std::uint32_t (&left)[4], const std::uint32_t (&right)[4])
    {
        multiply<Element16>(x[0], left, right[0], right[2]);
        multiply<Element16>(x[1], left, right[1], right[3]);
    }

    /// Squares on the diagonal: warps 0 to 3 have the pairs of levels 8 and 4, warps 4 to 7 those of 2, 1 and the diagonal itself.
    __device__ void diagonal(Products& out)
    {
        const int row = warp % 4 * 16;
        Products other;
        if (warp < 4) {
            diagonalLevels<8, 4, false>(row, out, other, out);
            select(out, other, [&](int distance) { return distance >= 8; });
        } else {
            Products itself;
            diagonalLevels<2, 1, true>(row, out, other, itself);
            select(out, other, [&](int distance) { return distance >= 2; });
            select(out, itself, [&](int distance) { return distance != 0; });
        }
    }
    template <int First, int Second, bool Itself>
    __device__ __forceinline__ void diagonalLevels(int row, Products& first, Products& second, Products& itself)
    {
#pragma unroll 2
        for (int kk = 0; kk < Key; kk += 16) {
            std::uint32_t query[4], key[4], removal[4], f[4], left[4], right[4];
            load(query, L::kQuery, row, kk);
            load(key, L::kKey, row, kk);
            if (kOwnRemoval)
                load(removal, L::kRemoval, row, kk);
#pragma unroll
            for (int level = First; level >= Second; level /= 2) {
                Products& to = level == First ? first : second;
                factors(f, row, kk, level);
                scaled(left, query, f);
                scaled(right, key, f);
                add(to.attention, left, right);
                if (kOwnRemoval)
                    scaled(left, removal, f);
                if (Delta)
                    add(to.system, kOwnRemoval ? left : right, right);
            }
            if (Itself)
                add(itself.attention, query, key);
        }
    }
    /// Takes the numbers from `other` for which keep, a function of row xor column, is false.
    template <typename F>
    __device__ __forceinline__ void select(Products& x, const Products& other, F&& keep)
    {
#pragma unroll
        for (int n = 0; n < 2; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e)
                if (!keep((r + e / 2 * 8) ^ (n * 8 + c + e % 2))) {
                    x.attention[n][e] = other.attention[n][e];
                    x.system[n][e] = other.system[n][e];
                }
    }

    /// Squares below the diagonal: warps 0 to 3 have those of level 32, one each, warps 4 to 7 half a square of level 16.
    __device__ int apartLevel() const { return warp < 4 ? 32 : 16; }
    __device__ int apartRow() const { return warp < 4 ? 32 + warp / 2 * 16 : (warp - 4) / 2 * 32 + 16; }
    __device__ int apartColumn() const { return warp < 4 ? warp % 2 * 16 : (warp - 4) / 2 * 32; }
    __device__ bool apartHas(int n) const { return warp < 4 || warp % 2 == n; }
    __device__ void apart(Products& out)
    {
        const int row = apartRow(), column = apartColumn(), level = apartLevel();
#pragma unroll 2
        for (int kk = 0; kk < Key; kk += 16) {
            std::uint32_t x[4], left[4], right[4], f[4];
            load(x, L::kKey, column, kk);
            factors(f, column, kk, level);
            scaled(right, x, f);
            factors(f, row, kk, level);
            load(x, L::kQuery, row, kk);
            scaled(left, x, f);
            add(out.attention, left, right);
            if (Delta) {
                load(x, L::kRemoval, row, kk);
                scaled(left, x, f);
                add(out.system, left, right);
            }
        }
    }

    __device__ void putDiagonal(const Products& x)
    {
        const int block = warp % 4 * 16;
        put(x, block, block, [&](int n, int e) {
            const int i = r + e / 2 * 8, j = n * 8 + c + e % 2;
            return warp < 4 ? (i ^ j) >= 4 : (i ^ j) < 4;
        });
    }
    __device__ void putApart(const Products& x)
    {
        put(x, apartRow(), apartColumn(), [&](int n, int) { return apartHas(n); });
    }
    template <typename F>
    __device__ __forceinline__ void put(const Products& x, int row, int column, F&& mine)
    {
#pragma unroll
        for (int n = 0; n < 2; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                const int i = row + r + e / 2 * 8, j = column + n * 8 + c + e % 2;
                if (!mine(n, e))
                    continue;
                tile(L::kAttention)[i * kSquareStride + j] = __float2bfloat16(j <= i ? p.scale * x.attention[n][e] : 0.f);
                if (Delta)
                    floats(L::kSystem)[i * kSystemStride + j] = j < i ? beta(i) * x.system[n][e] : 0.f;
            }
    }

    __device__ void storeSquare(Element16* to, const Element16* square)
    {
        for (int i = int(threadIdx.x); i < kTokens * kTokens / 8; i += kThreads) {
            const int row = i / 8, column = i % 8 * 8;
            *reinterpret_cast<uint4*>(to + (slot * kTokens + row) * kTokens + column) =
                *reinterpret_cast<const uint4*>(square + row * kSquareStride + column);
        }
    }

    const RecurrenceProblem& p;
    const Scratch& scratch;
    unsigned char* shared;
    std::int64_t chunk, head, slot, first = 0;
    int rows = 0;
    int warp, r, c;
};

/// Blocks of a multiprocessor, as far as shared memory goes: while one waits for its inverse or its tiles, the others go on.
template <int Key, Removal R> constexpr int kBlocks = Key > 128 ? 1 : R != Removal::Key && Key > 96 ? 2 : 3;

template <int Key, bool Delta, Removal R>
__global__ void __launch_bounds__(kThreads, kBlocks<Key, R>) prepareChannelsKernel(RecurrenceProblem p, Scratch scratch)
{
    POSTNAS_SHARED_MEMORY(shared);
    Prepare<Key, Delta, R>(p, scratch, shared).run();
}

template <int Key, bool Delta, Removal R = Removal::Key>
cudaError_t prepareChannels(const RecurrenceProblem& p, const Scratch& scratch, cudaStream_t stream)
{
    const dim3 grid(unsigned(chunkCount(p)), unsigned(p.heads));
    return launch(prepareChannelsKernel<Key, Delta, R>, grid, dim3(kThreads), Layout<Key, R != Removal::Key>::kBytes, stream, p, scratch);
}

} // namespace

cudaError_t launchPrepareChannels(const RecurrenceProblem& p, const Scratch& scratch, cudaStream_t stream)
{
    if (p.removalKey)
        return forRemoval(p, [&](auto width, auto removal) {
            return prepareChannels<decltype(width)::value, true, decltype(removal)::value>(p, scratch, stream);
        });
    return forKeyWidth(p.keyDim, [&](auto width) {
        constexpr int kKey = decltype(width)::value;
        return p.beta ? prepareChannels<kKey, true>(p, scratch, stream) : prepareChannels<kKey, false>(p, scratch, stream);
    });
}

} // namespace postnas::ops::cuda::chunk
