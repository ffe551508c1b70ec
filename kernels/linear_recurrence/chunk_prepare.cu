// First kernel of the chunked linear recurrence: everything of a chunk that does not depend on the state, one block for each chunk and head.
#include "kernels/linear_recurrence/chunk.cuh"

namespace postnas::ops::cuda::chunk {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * 32;
constexpr int kSystemStride = kTokens + 4; ///< of the triangular system in shared memory; rows start on 16 bytes

template <int Key, bool PerChannel>
struct Layout {
    static constexpr int kTileStride = Key + 8, kTile = kTokens * kTileStride * 2;
    static constexpr int kChannelStride = Key + 1, kChannels = PerChannel ? kTokens * kChannelStride * 4 : 0;
    static constexpr int kSquare = kTokens * kSquareStride * 2;
    static constexpr int kQuery = 0, kKey = kTile, kSums = 2 * kTile, kSystem = kSums + (kChannels + 15) / 16 * 16,
                         kAttention = kSystem + kTokens * kSystemStride * 4, kInverse = kAttention + kSquare, kGates = kInverse + kSquare,
                         kBytes = kGates + 4 * kTokens * 4;
};

/// Running sums of the 64 log decays of a head and what follows from them, by the first warp.
__device__ void scalarGates(const RecurrenceProblem& p, std::int64_t firstToken, std::int64_t head, int rows, float* gates)
{
    const int lane = int(threadIdx.x) % 32, row = 2 * lane;
    const auto gateAt = [&](int i) { return p.g && !p.gatePerChannel && i < rows ? p.g[(firstToken + i) * p.heads + head] : 0.f; };
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
        gates[kDecayIn * kTokens + row + i] = expf(g);
        gates[kDecayOut * kTokens + row + i] = expf(fminf(total - g, 0.f));
        gates[kBeta * kTokens + row + i] = p.beta && row + i < rows ? p.beta[(firstToken + row + i) * p.heads + head] : 0.f;
    }
}

/// 16 rows of a product of tiles with the same decay for all channels: out[j tile][..] = left_i . key_j for the blocks j <= i.
template <int Key>
__device__ __forceinline__ void rowProducts(float (&out)[8][4], const Element16* left, const Element16* key, int block)
{
    constexpr int kStride = Layout<Key, false>::kTileStride;
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

/// Two neighbouring channels of a token, times exp(difference of their sums).
__device__ __forceinline__ std::uint32_t decayed(const Element16* values, const float* minuend, const float* subtrahend)
{
    const float2 x = unpack<Element16>(*reinterpret_cast<const std::uint32_t*>(values));
    return pack<Element16>(x.x * expf(minuend[0] - subtrahend[0]), x.y * expf(minuend[1] - subtrahend[1]));
}

/// The same with a decay of each channel. Blocks of 16 tokens below the diagonal meet at the sums of the last token before block i, so that
/// both factors stay at most one.
template <int Key>
__device__ __forceinline__ void rowProductsPerChannel(float (&attention)[8][4], float (&system)[8][4], const Element16* query,
                                                      const Element16* key, const float* sums, int block, bool delta)
{
    constexpr int kStride = Layout<Key, true>::kTileStride, kSums = Layout<Key, true>::kChannelStride;
    const int lane = int(threadIdx.x) % 32, r = lane / 4, c = lane % 4 * 2;
    const float* anchor = sums + (block * 16 - 1) * kSums;
    for (int kk = 0; kk < Key / 16; ++kk) {
        std::uint32_t q[4], k[4];
        for (int e = 0; e < 4; ++e) {
            const int row = block * 16 + r + e % 2 * 8, column = kk * 16 + c + e / 2 * 8;
            q[e] = decayed(query + row * kStride + column, sums + row * kSums + column, anchor + column);
            k[e] = delta ? decayed(key + row * kStride + column, sums + row * kSums + column, anchor + column) : 0u;
        }
        for (int j = 0; j < 2 * block; ++j) {
            const int row = j * 8 + r, column = kk * 16 + c;
            const std::uint32_t b0 = decayed(key + row * kStride + column, anchor + column, sums + row * kSums + column);
            const std::uint32_t b1 = decayed(key + row * kStride + column + 8, anchor + column + 8, sums + row * kSums + column + 8);
            // Indexed by constants only, so that the results stay in registers.
#pragma unroll
            for (int n = 0; n < 8; ++n)
                if (n == j) {
                    multiply<Element16>(attention[n], q, b0, b1);
                    if (delta)
                        multiply<Element16>(system[n], k, b0, b1);
                }
        }
    }
}

/// The 16 x 16 block on the diagonal, number by number in float32: here no common factor is safe.
template <int Key>
__device__ __forceinline__ void diagonalPerChannel(const Element16* query, const Element16* key, const float* sums, int block, float scale,
                                                   const float* beta, Element16* attention, float* system)
{
    constexpr int kStride = Layout<Key, true>::kTileStride, kSums = Layout<Key, true>::kChannelStride;
    const int lane = int(threadIdx.x) % 32, j = block * 16 + lane % 16;
    for (int step = 0; step < 8; ++step) {
        const int i = block * 16 + lane / 16 + 2 * step;
        float forQuery = 0, forKey = 0;
        if (j <= i)
            for (int c = 0; c < Key; ++c) {
                const float k = __bfloat162float(key[j * kStride + c]) * expf(sums[i * kSums + c] - sums[j * kSums + c]);
                forQuery += __bfloat162float(query[i * kStride + c]) * k;
                forKey += __bfloat162float(key[i * kStride + c]) * k;
            }
        attention[i * kSquareStride + j] = __float2bfloat16(j <= i ? scale * forQuery : 0.f);
        system[i * kSystemStride + j] = j < i ? beta[i] * forKey : 0.f;
    }
}

/// The inverse of I + system: thread j solves for column j, which stays in registers.
__device__ void invert(const float* system, Element16* inverse)
{
    if (threadIdx.x >= kTokens)
        return;
    const int j = int(threadIdx.x);
    float x[kTokens];
#pragma unroll
    for (int i = 0; i < kTokens; ++i) {
        float sum = i == j ? 1.f : 0.f;
#pragma unroll
        for (int m = 0; m < i; m += 4) {
            const float4 row = *reinterpret_cast<const float4*>(system + i * kSystemStride + m);
            sum -= row.x * x[m];
            if (m + 1 < i)
                sum -= row.y * x[m + 1];
            if (m + 2 < i)
                sum -= row.z * x[m + 2];
            if (m + 3 < i)
                sum -= row.w * x[m + 3];
        }
        x[i] = sum;
        inverse[i * kSquareStride + j] = __float2bfloat16(sum);
    }
}

/// Writes a square of shared memory to the scratch array.
__device__ __forceinline__ void storeSquare(Element16* to, const Element16* square)
{
    for (int i = int(threadIdx.x); i < kTokens * kTokens / 8; i += kThreads) {
        const int row = i / 8, column = i % 8 * 8;
        *reinterpret_cast<uint4*>(to + row * kTokens + column) = *reinterpret_cast<const uint4*>(square + row * kSquareStride + column);
    }
}

/// The decayed queries and keys that the pass over the chunks reads, and G itself.
template <int Key>
__device__ void storeDecayed(const RecurrenceProblem& p, const Scratch& scratch, const Element16* query, const Element16* key, const float* sums,
                             std::int64_t firstToken, std::int64_t head, std::int64_t slot, int rows)
{
    constexpr int kStride = Layout<Key, true>::kTileStride, kSums = Layout<Key, true>::kChannelStride;
    const int keys = int(p.keyDim);
    const float* total = sums + (kTokens - 1) * kSums;
    for (int i = int(threadIdx.x); i < rows * keys; i += kThreads) {
        const int row = i / keys, column = i % keys;
        const std::int64_t at = ((firstToken + row) * p.heads + head) * p.keyDim + column;
        const float sum = sums[row * kSums + column], in = expf(sum), k = __bfloat162float(key[row * kStride + column]);
        scratch.queryIn[at] = __float2bfloat16(__bfloat162float(query[row * kStride + column]) * in);
        scratch.keyOut[at] = __float2bfloat16(k * expf(total[column] - sum));
        if (scratch.keyIn)
            scratch.keyIn[at] = __float2bfloat16(k * in);
        if (scratch.channelSums)
            scratch.channelSums[at] = sum;
    }
    for (int column = int(threadIdx.x); column < keys; column += kThreads)
        scratch.channelDecay[slot * p.keyDim + column] = expf(total[column]);
}

template <int Key, bool Delta, bool PerChannel>
__global__ void __launch_bounds__(kThreads) prepareKernel(RecurrenceProblem p, Scratch scratch)
{
    using L = Layout<Key, PerChannel>;
    POSTNAS_SHARED_MEMORY(shared);
    auto* query = reinterpret_cast<Element16*>(shared + L::kQuery);
    auto* key = reinterpret_cast<Element16*>(shared + L::kKey);
    auto* sums = reinterpret_cast<float*>(shared + L::kSums);
    auto* system = reinterpret_cast<float*>(shared + L::kSystem);
    auto* attention = reinterpret_cast<Element16*>(shared + L::kAttention);
    auto* inverse = reinterpret_cast<Element16*>(shared + L::kInverse);
    auto* gates = reinterpret_cast<float*>(shared + L::kGates);

    const std::int64_t chunk = blockIdx.x, head = blockIdx.y, slot = chunk * p.heads + head;
    const Sequence sequence = findSequence(p, chunk);
    const std::int64_t before = (chunk - sequence.firstChunk) * kTokens;
    if (before >= sequence.length)
        return;
    const int rows = int(min(std::int64_t(kTokens), sequence.length - before));
    const std::int64_t firstToken = sequence.first + before;
    const std::int64_t offset = (firstToken * p.heads + head) * p.keyDim, stride = p.heads * p.keyDim;
    copyTile<kThreads>(query, L::kTileStride, kTokens, Key, static_cast<const Element16*>(p.q) + offset, stride, rows, int(p.keyDim));
    copyTile<kThreads>(key, L::kTileStride, kTokens, Key, static_cast<const Element16*>(p.k) + offset, stride, rows, int(p.keyDim));
    commitCopies();

    const int warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32;
    if (warp == 0)
        scalarGates(p, firstToken, head, rows, gates);
    if (PerChannel)
        for (int c = int(threadIdx.x); c < Key; c += kThreads) {
            float sum = 0;
            for (int i = 0; i < kTokens; ++i) {
                if (i < rows && c < p.keyDim)
                    sum += p.g[((firstToken + i) * p.heads + head) * p.keyDim + c];
                sums[i * L::kChannelStride + c] = sum;
            }
        }
    waitCopies<0>();
    __syncthreads();

    // Warp w makes the 16 rows of block w.
    float forQuery[8][4] = {}, forKey[8][4] = {};
    if constexpr (PerChannel) {
        if (warp > 0)
            rowProductsPerChannel<Key>(forQuery, forKey, query, key, sums, warp, Delta);
    } else {
        rowProducts<Key>(forQuery, query, key, warp);
        if (Delta)
            rowProducts<Key>(forKey, key, key, warp);
    }
    const float* beta = gates + kBeta * kTokens;
    for (int n = 0; n < 8; ++n)
        for (int e = 0; e < 4; ++e) {
            const int i = warp * 16 + lane / 4 + e / 2 * 8, j = n * 8 + lane % 4 * 2 + e % 2;
            if (PerChannel && j / 16 == warp)
                continue;
            const float decay = PerChannel ? 1.f : expf(fminf(gates[i] - gates[j], 0.f));
            attention[i * kSquareStride + j] = __float2bfloat16(j <= i ? p.scale * forQuery[n][e] * decay : 0.f);
            if (Delta)
                system[i * kSystemStride + j] = j < i ? beta[i] * forKey[n][e] * decay : 0.f;
        }
    if constexpr (PerChannel)
        diagonalPerChannel<Key>(query, key, sums, warp, p.scale, beta, attention, system);
    __syncthreads();

    if (Delta)
        invert(system, inverse);
    storeSquare(scratch.attention + slot * kTokens * kTokens, attention);
    for (int i = int(threadIdx.x); i < 4 * kTokens; i += kThreads)
        scratch.gates[slot * 4 * kTokens + i] = gates[i];
    if constexpr (PerChannel)
        storeDecayed<Key>(p, scratch, query, key, sums, firstToken, head, slot, rows);
    if (Delta) {
        __syncthreads();
        storeSquare(scratch.inverse + slot * kTokens * kTokens, inverse);
    }
}

template <int Key, bool Delta, bool PerChannel>
cudaError_t prepare(const RecurrenceProblem& p, const Scratch& scratch, cudaStream_t stream)
{
    const dim3 grid(unsigned(chunkCount(p)), unsigned(p.heads));
    return launch(prepareKernel<Key, Delta, PerChannel>, grid, dim3(kThreads), Layout<Key, PerChannel>::kBytes, stream, p, scratch);
}

template <int Key>
cudaError_t prepare(const RecurrenceProblem& p, const Scratch& scratch, cudaStream_t stream)
{
    if (p.gatePerChannel)
        return p.beta ? prepare<Key, true, true>(p, scratch, stream) : prepare<Key, false, true>(p, scratch, stream);
    return p.beta ? prepare<Key, true, false>(p, scratch, stream) : prepare<Key, false, false>(p, scratch, stream);
}

} // namespace

cudaError_t launchPrepare(const RecurrenceProblem& p, const Scratch& scratch, cudaStream_t stream)
{
    return forKeyWidth(p.keyDim, [&](auto width) { return prepare<decltype(width)::value>(p, scratch, stream); });
}

} // namespace postnas::ops::cuda::chunk
