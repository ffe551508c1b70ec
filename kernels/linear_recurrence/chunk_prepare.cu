// First kernel of the chunked linear recurrence: everything of a chunk that does not depend on the state, one block for each chunk and head.
// chunk_prepare_channels.cu does it where each channel has its own decay.
#include "kernels/linear_recurrence/chunk_inverse.cuh"

namespace postnas::ops::cuda::chunk {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * 32;

template <int Key>
struct Layout {
    static constexpr int kTileStride = Key + 8, kTile = kTokens * kTileStride * 2, kSystemBytes = kTokens * kSystemStride * 4;
    /// The system takes the place of the queries and keys.
    static constexpr int kQuery = 0, kKey = kTile, kSystem = 0, kSquare = kSystemBytes > 2 * kTile ? kSystemBytes : 2 * kTile,
                         kGates = kSquare + kTokens * kSquareStride * 2, kBytes = kGates + 4 * kTokens * 4;
};

/// Rows of 16-bit numbers to a tile, four threads a row; rows from `rows` and columns from `columns` on become zero.
template <int Columns>
__device__ __forceinline__ void copyRows(Element16* tile, const Element16* from, std::int64_t rowStride, int rows, int columns)
{
    const int row0 = int(threadIdx.x) / 4, column0 = int(threadIdx.x) % 4 * 8;
    const Element16* source = from + row0 * rowStride + column0;
#pragma unroll
    for (int i = 0; i < kTokens; i += kThreads / 4) {
#pragma unroll
        for (int j = 0; j < Columns; j += 32)
            copyAsync16(tile + (row0 + i) * (Columns + 8) + column0 + j, source + j, row0 + i < rows && j + column0 < columns);
        source += kThreads / 4 * rowStride;
    }
}

/// Running sums of the 64 log decays of a head and what follows from them, by the first warp.
__device__ void scalarGates(const RecurrenceProblem& p, std::int64_t firstToken, std::int64_t head, int rows, float* gates)
{
    const int lane = int(threadIdx.x) % 32, row = 2 * lane;
    const auto gateAt = [&](int i) { return p.g && i < rows ? p.g[(firstToken + i) * p.heads + head] : 0.f; };
    const float first = gateAt(row), second = gateAt(row + 1);
    float sum = first + second;
#pragma unroll
    for (int step = 1; step < 32; step *= 2) {
        const float other = __shfl_up_sync(0xffffffffu, sum, unsigned(step));
        if (lane >= step)
            sum += other;
    }
    const float total = __shfl_sync(0xffffffffu, sum, 31);
    for (int i = 0; i < 2; ++i) {
        const float g = i == 0 ? sum - second : sum;
        gates[kSum * kTokens + row + i] = g;
        gates[kDecayIn * kTokens + row + i] = __expf(g);
        gates[kDecayOut * kTokens + row + i] = __expf(fminf(total - g, 0.f));
        gates[kBeta * kTokens + row + i] = p.beta && row + i < rows ? betaAt(p, firstToken + row + i, head) : 0.f;
    }
}

/// 16 rows of a product of tiles with the same decay for all channels: out[j tile][..] = left_i . key_j for the blocks j <= i.
template <int Key>
__device__ __forceinline__ void rowProducts(float (&out)[8][4], const Element16* left, const Element16* key, int block)
{
    constexpr int kStride = Layout<Key>::kTileStride;
#pragma unroll
    for (int kk = 0; kk < Key / 16; ++kk) {
        std::uint32_t a[4];
        loadTiles<false>(a, squareByColumns(left, kStride, block * 16, kk * 16));
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            if (j > block)
                continue;
            std::uint32_t b[4];
            loadTiles<false>(b, squareByRows(key, kStride, j * 16, kk * 16));
            multiply<Element16>(out[2 * j], a, b[0], b[1]);
            multiply<Element16>(out[2 * j + 1], a, b[2], b[3]);
        }
    }
}

/// Writes 16 rows of a square of shared memory to the scratch array, up to the diagonal: nobody reads what is above the blocks on it.
__device__ __forceinline__ void storeRows(Element16* to, const Element16* square, int block)
{
    const int lane = int(threadIdx.x) % 32;
    for (int i = lane; i < 32 * (block + 1); i += 32) {
        const int row = block * 16 + i % 32 / 2, column = i / 32 * 16 + i % 2 * 8;
        *reinterpret_cast<uint4*>(to + row * kTokens + column) = *reinterpret_cast<const uint4*>(square + row * kSquareStride + column);
    }
}

template <int Key, bool Delta>
__global__ void __launch_bounds__(kThreads, 4) prepareKernel(RecurrenceProblem p, Scratch scratch)
{
    using L = Layout<Key>;
    POSTNAS_SHARED_MEMORY(shared);
    auto* query = reinterpret_cast<Element16*>(shared + L::kQuery);
    auto* key = reinterpret_cast<Element16*>(shared + L::kKey);
    auto* system = reinterpret_cast<float*>(shared + L::kSystem);
    auto* square = reinterpret_cast<Element16*>(shared + L::kSquare); // A, then X
    auto* gates = reinterpret_cast<float*>(shared + L::kGates);

    const std::int64_t chunk = blockIdx.x, head = blockIdx.y, slot = chunk * p.heads + head;
    const Sequence sequence = findSequence(p, chunk);
    const std::int64_t before = (chunk - sequence.firstChunk) * kTokens;
    if (before >= sequence.length)
        return;
    const int rows = int(min(std::int64_t(kTokens), sequence.length - before));
    const std::int64_t firstToken = sequence.first + before;
    const std::int64_t offset = (firstToken * p.heads + head) * p.keyDim, stride = p.heads * p.keyDim;
    copyRows<Key>(query, static_cast<const Element16*>(p.q) + offset, stride, rows, int(p.keyDim));
    copyRows<Key>(key, static_cast<const Element16*>(p.k) + offset, stride, rows, int(p.keyDim));
    commitCopies();

    const int warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32;
    if (warp == 0)
        scalarGates(p, firstToken, head, rows, gates);
    waitCopies<0>();
    __syncthreads();

    // Warp w makes 16 rows of A and 16 of the system, together the same number of 16 x 16 products for every warp.
    const int queryBlock = warp, keyBlock = 3 - warp;
    float forQuery[8][4] = {}, forKey[8][4] = {};
    rowProducts<Key>(forQuery, query, key, queryBlock);
    if (Delta)
        rowProducts<Key>(forKey, key, key, keyBlock);
    __syncthreads();
    const float* beta = gates + kBeta * kTokens;
    const auto eachPair = [&](const float (&x)[8][4], int block, auto&& f) {
        const int i = block * 16 + lane / 4, c = lane % 4 * 2;
        const float upper = gates[i], lower = gates[i + 8];
        const auto decay = [](float a, float b) { return __expf(fminf(a - b, 0.f)); };
#pragma unroll
        for (int n = 0; n < 8; ++n) {
            if (n / 2 > block)
                continue;
            const int j = n * 8 + c;
            const float2 sum = *reinterpret_cast<const float2*>(gates + j);
            f(i, j, x[n][0] * decay(upper, sum.x), x[n][1] * decay(upper, sum.y));
            f(i + 8, j, x[n][2] * decay(lower, sum.x), x[n][3] * decay(lower, sum.y));
        }
    };
    eachPair(forQuery, queryBlock, [&](int i, int j, float left, float right) {
        *reinterpret_cast<std::uint32_t*>(square + i * kSquareStride + j) =
            pack<Element16>(j <= i ? p.scale * left : 0.f, j + 1 <= i ? p.scale * right : 0.f);
    });
    if (Delta)
        eachPair(forKey, keyBlock, [&](int i, int j, float left, float right) {
            *reinterpret_cast<float2*>(system + i * kSystemStride + j) = make_float2(j < i ? beta[i] * left : 0.f, j + 1 < i ? beta[i] * right : 0.f);
        });
    __syncwarp();
    storeRows(scratch.attention + slot * kTokens * kTokens, square, queryBlock);
    for (int i = int(threadIdx.x) * 4; i < 4 * kTokens; i += kThreads * 4)
        *reinterpret_cast<float4*>(scratch.gates + slot * 4 * kTokens + i) = *reinterpret_cast<const float4*>(gates + i);
    if (Delta) {
        __syncthreads();
        invertBlock(system, square, warp);
        __syncthreads();
        if (warp < 3)
            invertBelow(system, square, warp);
        __syncthreads();
        storeRows(scratch.inverse + slot * kTokens * kTokens, square, warp);
    }
}

template <int Key, bool Delta>
cudaError_t prepare(const RecurrenceProblem& p, const Scratch& scratch, cudaStream_t stream)
{
    const dim3 grid(unsigned(chunkCount(p)), unsigned(p.heads));
    return launch(prepareKernel<Key, Delta>, grid, dim3(kThreads), Layout<Key>::kBytes, stream, p, scratch);
}

template <int Key>
cudaError_t prepare(const RecurrenceProblem& p, const Scratch& scratch, cudaStream_t stream)
{
    return p.beta ? prepare<Key, true>(p, scratch, stream) : prepare<Key, false>(p, scratch, stream);
}

} // namespace

cudaError_t launchPrepare(const RecurrenceProblem& p, const Scratch& scratch, cudaStream_t stream)
{
    if (p.gatePerChannel)
        return launchPrepareChannels(p, scratch, stream);
    return forKeyWidth(p.keyDim, [&](auto width) { return prepare<decltype(width)::value>(p, scratch, stream); });
}

} // namespace postnas::ops::cuda::chunk
