// Last kernel of the chunked recurrence's backward pass: the gradients of q, k, the gates and beta of one chunk and head, from what
// chunk_scan.cu (S, N) and chunk_scan_backward.cu (E, dS') left.
//
// With D_ij = exp(G_i - G_j), dA = scale tril(dO N^T) D and dM = -tril(E N^T, -1) D, rows being tokens:
//   dQ = scale exp(G) dO S^T + dA K                                  T = dM K - exp(G) E S^T
//   dK = diag(beta) T + P,   P = exp(G_C - G) N dS'^T + dA^T Q + dM^T diag(beta) K
//   dbeta = rows of E.V + K.T
//   dG = Q.dQ + diag(beta) K.T - K.P,   dG_C = sum of K.(exp(G_C - G) N dS'^T) + exp(G_C) S.dS'
// and the gradient of the log decay of token t is the sum of dG from t to the end of the chunk, plus dG_C. With a decay of each channel
// the same holds channel by channel, otherwise summed over them.
#include "kernels/linear_recurrence/chunk.cuh"

namespace postnas::ops::cuda::chunk {
namespace {

constexpr int kWarps = 8; ///< four blocks of 16 tokens by two halves of the channels
constexpr int kThreads = kWarps * 32;
constexpr int kValues = 64; ///< value columns at a time

template <int Key>
struct Layout {
    static constexpr int kKeyStride = Key + 8, kKeyTile = kTokens * kKeyStride * 2, kSquare = kTokens * kSquareStride * 2;
    static constexpr int kQuery = 0, kKey = kKeyTile, kRight = 2 * kKeyTile, kLeft = 3 * kKeyTile, kLeft2 = kLeft + kSquare,
                         kRight2 = kLeft2 + kSquare, kAttention = kRight2 + kSquare, kSystem = kAttention + kSquare, kGates = kSystem + kSquare,
                         kSums = kGates + 4 * kTokens * 4, kBytes = kSums + (4 * kTokens + 4 * Key) * 4;
};

template <int Key, bool Delta, bool PerChannel>
class Gradients {
public:
    using L = Layout<Key>;
    static constexpr int kTiles = Key / 16; ///< 16 x 8 results of this warp, side by side: half of the channels

    __device__ Gradients(const RecurrenceProblem& problem, const Scratch& scratchArrays, const BackwardScratch& backwardArrays,
                         const ChunkedGradients& outputs, unsigned char* memory)
        : p(problem), scratch(scratchArrays), backward(backwardArrays), out(outputs), shared(memory), chunk(blockIdx.x), head(blockIdx.y),
          slot(chunk * problem.heads + head), warp(int(threadIdx.x) / 32), block(warp % 4), half(warp / 4), r(int(threadIdx.x) % 32 / 4),
          c(int(threadIdx.x) % 4 * 2)
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
        begin();
        squares();
        queries();
        keys();
        gates();
    }

private:
    __device__ Element16* tile(int offset) const { return reinterpret_cast<Element16*>(shared + offset); }
    __device__ float* floats(int offset) const { return reinterpret_cast<float*>(shared + offset); }
    __device__ float gate(GateRow row, int token) const { return floats(L::kGates)[row * kTokens + token]; }
    __device__ std::int64_t keyAt(int token, int key) const { return ((first + token) * p.heads + head) * p.keyDim + key; }
    __device__ int token(int e) const { return block * 16 + r + e / 2 * 8; }
    __device__ int channel(int n, int e) const { return half * (Key / 2) + n * 8 + c + e % 2; }

    __device__ void copyTokens(int offset, int stride, const Element16* from, std::int64_t width, std::int64_t firstColumn, int columns)
    {
        copyTile<kThreads>(tile(offset), stride, kTokens, columns, from + (first * p.heads + head) * width + firstColumn, p.heads * width, rows,
                           int(width - firstColumn));
    }

    /// Value columns of a state array [value, key] as rows of a tile.
    __device__ void copyState(const Element16* states, std::int64_t firstColumn)
    {
        copyTile<kThreads>(tile(L::kRight), L::kKeyStride, kValues, Key, states + slot * p.keyDim * p.valueDim + firstColumn * p.keyDim, p.keyDim,
                           int(p.valueDim - firstColumn), int(p.keyDim));
    }

    __device__ void arrive()
    {
        commitCopies();
        waitCopies<0>();
        __syncthreads();
    }

    /// Queries, keys and gates of the chunk, and zeroed sums.
    __device__ void begin()
    {
        copyTokens(L::kQuery, L::kKeyStride, static_cast<const Element16*>(p.q), p.keyDim, 0, Key);
        copyTokens(L::kKey, L::kKeyStride, static_cast<const Element16*>(p.k), p.keyDim, 0, Key);
        copyFloats<kThreads>(shared + L::kGates, scratch.gates + slot * 4 * kTokens, 4 * kTokens);
        for (int i = int(threadIdx.x); i < 4 * kTokens + 4 * Key; i += kThreads)
            floats(L::kSums)[i] = 0.f;
        arrive();
    }

    /// dA and dM (without and with the decay D, see below) of this warp's 16 rows and 32 columns, and the rows of E.V.
    __device__ void squares()
    {
        float forAttention[4][4] = {}, forSystem[4][4] = {};
        for (std::int64_t v = 0; v < p.valueDim; v += kValues) {
            __syncthreads();
            copyTokens(L::kLeft, kSquareStride, static_cast<const Element16*>(out.gradO), p.valueDim, v, kValues);
            copyTokens(L::kRight2, kSquareStride, backward.news, p.valueDim, v, kValues);
            if (Delta)
                copyTokens(L::kLeft2, kSquareStride, backward.errors, p.valueDim, v, kValues);
            arrive();
#pragma unroll
            for (int kk = 0; kk < kValues / 16; ++kk) {
                std::uint32_t gradO[4], error[4], b[4];
                loadTiles<false>(gradO, squareByColumns(tile(L::kLeft), kSquareStride, block * 16, kk * 16));
                if (Delta)
                    loadTiles<false>(error, squareByColumns(tile(L::kLeft2), kSquareStride, block * 16, kk * 16));
#pragma unroll
                for (int n = 0; n < 2; ++n) {
                    loadTiles<false>(b, squareByRows(tile(L::kRight2), kSquareStride, half * 32 + n * 16, kk * 16));
                    multiply<Element16>(forAttention[2 * n], gradO, b[0], b[1]);
                    multiply<Element16>(forAttention[2 * n + 1], gradO, b[2], b[3]);
                    if (Delta) {
                        multiply<Element16>(forSystem[2 * n], error, b[0], b[1]);
                        multiply<Element16>(forSystem[2 * n + 1], error, b[2], b[3]);
                    }
                }
            }
            if (Delta)
                addErrorTimesValue(v);
        }
        // With a decay of each channel D is put in later, where the channel is known.
        for (int n = 0; n < 4; ++n)
            for (int e = 0; e < 4; ++e) {
                const int i = token(e), j = half * 32 + n * 8 + c + e % 2;
                const float decay = PerChannel ? 1.f : expf(fminf(gate(kSum, i) - gate(kSum, j), 0.f));
                tile(L::kAttention)[i * kSquareStride + j] = __float2bfloat16(j <= i ? p.scale * forAttention[n][e] * decay : 0.f);
                tile(L::kSystem)[i * kSquareStride + j] = __float2bfloat16(j < i ? -forSystem[n][e] * decay : 0.f);
            }
        __syncthreads();
    }

    /// Adds this slice's part of the rows of E.V to dbeta, four threads a row.
    __device__ void addErrorTimesValue(std::int64_t v)
    {
        const int row = int(threadIdx.x) / 4;
        float sum = 0;
        if (row < rows)
            for (int column = int(threadIdx.x) % 4; column < kValues && v + column < p.valueDim; column += 4)
                sum += __bfloat162float(tile(L::kLeft2)[row * kSquareStride + column])
                    * __bfloat162float(static_cast<const Element16*>(p.v)[((first + row) * p.heads + head) * p.valueDim + v + column]);
        sum += __shfl_xor_sync(0xffffffffu, sum, 1);
        sum += __shfl_xor_sync(0xffffffffu, sum, 2);
        if (threadIdx.x % 4 == 0)
            floats(L::kSums)[2 * kTokens + row] += sum;
    }

    /// x = left states^T: x[token, key] = sum over the values of left[token, value] states[value, key].
    __device__ void timesState(float (&x)[kTiles][4], const Element16* left, const Element16* states)
    {
        for (std::int64_t v = 0; v < p.valueDim; v += kValues) {
            __syncthreads();
            copyTokens(L::kLeft, kSquareStride, left, p.valueDim, v, kValues);
            copyState(states, v);
            arrive();
#pragma unroll
            for (int kk = 0; kk < kValues / 16; ++kk) {
                std::uint32_t a[4];
                loadTiles<false>(a, squareByColumns(tile(L::kLeft), kSquareStride, block * 16, kk * 16));
                multiplyRow(x, a, tile(L::kRight), kk * 16);
            }
        }
    }

    /// x[16 tokens, channels] += a[16, 16] right[16 rows from `row`, channels].
    __device__ __forceinline__ void multiplyRow(float (&x)[kTiles][4], const std::uint32_t (&a)[4], const Element16* right, int row)
    {
#pragma unroll
        for (int n = 0; n < kTiles / 2; ++n) {
            std::uint32_t b[4];
            loadTiles<true>(b, squareByColumns(right, L::kKeyStride, row, half * (Key / 2) + n * 16));
            multiply<Element16>(x[2 * n], a, b[0], b[1]);
            multiply<Element16>(x[2 * n + 1], a, b[2], b[3]);
        }
        static_assert(kTiles % 2 == 0, "half of the channels must be a multiple of 16");
    }

    /// x += square right: sum over j <= i of square[i, j] right[j, channel], times exp(G_i - G_j) of the channel.
    __device__ void timesSquare(float (&x)[kTiles][4], const Element16* square, const Element16* right)
    {
        if constexpr (PerChannel) {
            // Token by token outside and unrolled over this lane's numbers inside: the other way round is code without end. Above the
            // diagonal the square is zero.
            float sums[kTiles][4] = {};
            each(sums, [&](float& sum, int i, int key) { sum = channelSum(i, key); });
#pragma unroll 1
            for (int j = 0; j < min(rows, block * 16 + 16); ++j) {
                const float left[2] = {__bfloat162float(square[token(0) * kSquareStride + j]), __bfloat162float(square[token(2) * kSquareStride + j])};
                addDecayed(x, sums, left, right, j, 1.f);
            }
        } else {
#pragma unroll
            for (int j = 0; j < 4; ++j)
                if (j <= block) {
                    std::uint32_t a[4];
                    loadTiles<false>(a, squareByColumns(square, kSquareStride, block * 16, j * 16));
                    multiplyRow(x, a, right, j * 16);
                }
        }
    }

    /// x += square^T right: sum over i >= j of square[i, j] right[i, channel], times exp(G_i - G_j) of the channel. ByBeta: and times beta_i.
    template <bool ByBeta>
    __device__ void timesTransposedSquare(float (&x)[kTiles][4], const Element16* square, const Element16* right)
    {
        if constexpr (PerChannel) {
            float sums[kTiles][4] = {};
            each(sums, [&](float& sum, int j, int key) { sum = channelSum(j, key); });
#pragma unroll 1
            for (int i = block * 16; i < rows; ++i) {
                const float beta = ByBeta ? gate(kBeta, i) : 1.f;
                const float left[2] = {beta * __bfloat162float(square[i * kSquareStride + token(0)]),
                                       beta * __bfloat162float(square[i * kSquareStride + token(2)])};
                addDecayed(x, sums, left, right, i, -1.f);
            }
        } else {
#pragma unroll
            for (int i = 0; i < 4; ++i)
                if (i >= block) {
                    std::uint32_t a[4];
                    loadTiles<true>(a, squareByRows(square, kSquareStride, i * 16, block * 16));
                    if (ByBeta) {
#pragma unroll
                        for (int w = 0; w < 4; ++w) {
                            const int at = i * 16 + c + w / 2 * 8;
                            const float2 pair = unpack<Element16>(a[w]);
                            a[w] = pack<Element16>(pair.x * gate(kBeta, at), pair.y * gate(kBeta, at + 1));
                        }
                    }
                    multiplyRow(x, a, right, i * 16);
                }
        }
    }

    /// x += left (of the row) right[at, channel] exp(sign (sum - G_at)), for a decay of each channel.
    __device__ __forceinline__ void addDecayed(float (&x)[kTiles][4], const float (&sums)[kTiles][4], const float (&left)[2],
                                               const Element16* right, int at, float sign)
    {
#pragma unroll
        for (int n = 0; n < kTiles; ++n)
#pragma unroll
            for (int e = 0; e < 2; ++e) {
                const int key = channel(n, e);
                if (key < p.keyDim) {
                    const float value = __bfloat162float(right[at * L::kKeyStride + key]), sum = channelSum(at, key);
                    x[n][e] += left[0] * value * __expf(fminf(sign * (sums[n][e] - sum), 0.f));
                    x[n][e + 2] += left[1] * value * __expf(fminf(sign * (sums[n][e + 2] - sum), 0.f));
                }
            }
    }

    template <typename F>
    __device__ __forceinline__ void each(float (&x)[kTiles][4], F&& f)
    {
#pragma unroll
        for (int n = 0; n < kTiles; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e)
                if (token(e) < rows && channel(n, e) < p.keyDim)
                    f(x[n][e], token(e), channel(n, e));
    }

    __device__ float channelSum(int token, int key) const { return scratch.channelSums[keyAt(token, key)]; }
    __device__ float decayIn(int token, int key) const { return PerChannel ? expf(channelSum(token, key)) : gate(kDecayIn, token); }
    __device__ float decayOut(int token, int key) const
    {
        return PerChannel ? expf(fminf(channelSum(rows - 1, key) - channelSum(token, key), 0.f)) : gate(kDecayOut, token);
    }
    __device__ float query(int token, int key) const { return __bfloat162float(tile(L::kQuery)[token * L::kKeyStride + key]); }
    __device__ float key(int token, int at) const { return __bfloat162float(tile(L::kKey)[token * L::kKeyStride + at]); }

    /// Adds the sum over the channels of f, row by row, to row `which` of the sums.
    template <typename F>
    __device__ void addRowSums(int which, F&& f)
    {
        float sum[2] = {};
#pragma unroll
        for (int n = 0; n < kTiles; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e)
                if (token(e) < rows && channel(n, e) < p.keyDim)
                    sum[e / 2] += f(n, e);
        for (int i = 0; i < 2; ++i) {
            sum[i] += __shfl_xor_sync(0xffffffffu, sum[i], 1);
            sum[i] += __shfl_xor_sync(0xffffffffu, sum[i], 2);
        }
        // The two halves of the channels one after the other, so that sums repeat exactly.
        for (int turn = 0; turn < 2; ++turn) {
            if (half == turn && c == 0) {
                floats(L::kSums)[which * kTokens + token(0)] += sum[0];
                floats(L::kSums)[which * kTokens + token(2)] += sum[1];
            }
            __syncthreads();
        }
    }

    __device__ void storeKeys(const float (&x)[kTiles][4], void* to)
    {
#pragma unroll
        for (int n = 0; n < kTiles; ++n)
#pragma unroll
            for (int e = 0; e < 4; e += 2)
                if (token(e) < rows && channel(n, 0) < p.keyDim)
                    *reinterpret_cast<std::uint32_t*>(static_cast<Element16*>(to) + keyAt(token(e), channel(n, 0))) =
                        pack<Element16>(x[n][e], x[n][e + 1]);
    }

    /// Puts dG of a channel where the gradient of g will be; gates() sums it up.
    template <bool First>
    __device__ void addChannelGradient(const float (&x)[kTiles][4], float sign, const Element16* factor)
    {
        if constexpr (PerChannel) {
            if (out.g == nullptr)
                return;
#pragma unroll
            for (int n = 0; n < kTiles; ++n)
#pragma unroll
                for (int e = 0; e < 4; ++e)
                    if (token(e) < rows && channel(n, e) < p.keyDim) {
                        float& to = out.g[keyAt(token(e), channel(n, e))];
                        const float value = sign * x[n][e] * __bfloat162float(factor[token(e) * L::kKeyStride + channel(n, e)]);
                        to = First ? value : to + value;
                    }
        }
    }

    __device__ void queries()
    {
        float x[kTiles][4] = {};
        timesState(x, static_cast<const Element16*>(out.gradO), backward.states);
        each(x, [&](float& value, int i, int key) { value *= p.scale * decayIn(i, key); });
        timesSquare(x, tile(L::kAttention), tile(L::kKey));
        storeKeys(x, out.q);
        addChannelGradient<true>(x, 1.f, tile(L::kQuery));
        if (!PerChannel)
            addRowSums(0, [&](int n, int e) { return x[n][e] * query(token(e), channel(n, e)); });
    }

    __device__ void keys()
    {
        float taken[kTiles][4] = {}; // T
        if (Delta) {
            timesState(taken, backward.errors, backward.states);
            each(taken, [&](float& value, int i, int key) { value *= -decayIn(i, key); });
            timesSquare(taken, tile(L::kSystem), tile(L::kKey));
            addRowSums(2, [&](int n, int e) { return taken[n][e] * key(token(e), channel(n, e)); });
            each(taken, [&](float& value, int i, int) { value *= gate(kBeta, i); });
            addChannelGradient<false>(taken, 1.f, tile(L::kKey));
            if (!PerChannel)
                addRowSums(0, [&](int n, int e) { return taken[n][e] * key(token(e), channel(n, e)); });
        }
        float given[kTiles][4] = {}; // P
        timesState(given, backward.news, backward.stateGradients);
        each(given, [&](float& value, int j, int key) { value *= decayOut(j, key); });
        addChunkGradient(given);
        timesTransposedSquare<false>(given, tile(L::kAttention), tile(L::kQuery));
        if (Delta)
            timesTransposedSquare<true>(given, tile(L::kSystem), tile(L::kKey));
        addChannelGradient<false>(given, -1.f, tile(L::kKey));
        if (!PerChannel)
            addRowSums(1, [&](int n, int e) { return given[n][e] * key(token(e), channel(n, e)); });
#pragma unroll
        for (int n = 0; n < kTiles; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e)
                given[n][e] += taken[n][e];
        storeKeys(given, out.k);
    }

    /// dG_C: the part of the keys that the state takes in, and the part of the state that stays; by channel, in the last row of the sums.
    __device__ void addChunkGradient(const float (&given)[kTiles][4])
    {
        if (p.g == nullptr)
            return;
        float* total = floats(L::kSums) + 4 * kTokens; // [block, key]
        // Over the tokens of this warp's block: the two rows of a lane, then the eight rows of lanes.
#pragma unroll
        for (int n = 0; n < kTiles; ++n)
#pragma unroll
            for (int e = 0; e < 2; ++e) {
                const int at = channel(n, e);
                float sum = 0;
                for (int i = 0; i < 2; ++i)
                    if (token(2 * i) < rows && at < p.keyDim)
                        sum += given[n][2 * i + e] * key(token(2 * i), at);
                for (int step = 4; step < 32; step *= 2)
                    sum += __shfl_xor_sync(0xffffffffu, sum, step);
                if (r == 0)
                    total[block * Key + at] = sum;
            }
        __syncthreads();
        const Element16* before = backward.states + slot * p.keyDim * p.valueDim;
        const Element16* after = backward.stateGradients + slot * p.keyDim * p.valueDim;
        for (int at = int(threadIdx.x); at < p.keyDim; at += kThreads) {
            float sum = 0;
            for (std::int64_t v = 0; v < p.valueDim; ++v)
                sum += __bfloat162float(before[v * p.keyDim + at]) * __bfloat162float(after[v * p.keyDim + at]);
            total[at] += total[Key + at] + total[2 * Key + at] + total[3 * Key + at] + sum * (PerChannel ? scratch.channelDecay[slot * p.keyDim + at] : gate(kDecayIn, kTokens - 1));
        }
        __syncthreads();
    }

    /// Sums of dG from each token to the end of the chunk.
    __device__ void gates()
    {
        __syncthreads();
        const float* sums = floats(L::kSums);
        if (Delta && int(threadIdx.x) < rows)
            out.beta[(first + threadIdx.x) * p.heads + head] = sums[2 * kTokens + threadIdx.x];
        if (p.g == nullptr || out.g == nullptr)
            return;
        if (PerChannel) {
            for (int at = int(threadIdx.x); at < p.keyDim; at += kThreads) {
                float sum = sums[4 * kTokens + at];
                for (int i = rows - 1; i >= 0; --i) {
                    sum += out.g[keyAt(i, at)];
                    out.g[keyAt(i, at)] = sum;
                }
            }
        } else if (threadIdx.x == 0) {
            float sum = 0;
            for (int at = 0; at < p.keyDim; ++at)
                sum += sums[4 * kTokens + at];
            for (int i = rows - 1; i >= 0; --i) {
                sum += sums[i] - sums[kTokens + i];
                out.g[(first + i) * p.heads + head] = sum;
            }
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
};

template <int Key, bool Delta, bool PerChannel>
__global__ void __launch_bounds__(kThreads) gradientsKernel(RecurrenceProblem p, Scratch scratch, BackwardScratch backward, ChunkedGradients out)
{
    POSTNAS_SHARED_MEMORY(shared);
    Gradients<Key, Delta, PerChannel>(p, scratch, backward, out, shared).run();
}

template <int Key>
cudaError_t gradients(const RecurrenceProblem& p, const Scratch& scratch, const BackwardScratch& backward, const ChunkedGradients& out,
                      cudaStream_t stream)
{
    const dim3 grid(unsigned(chunkCount(p)), unsigned(p.heads));
    const auto run = [&](auto kernel) { return launch(kernel, grid, dim3(kThreads), Layout<Key>::kBytes, stream, p, scratch, backward, out); };
    if (p.gatePerChannel)
        return p.beta ? run(gradientsKernel<Key, true, true>) : run(gradientsKernel<Key, false, true>);
    return p.beta ? run(gradientsKernel<Key, true, false>) : run(gradientsKernel<Key, false, false>);
}

} // namespace

cudaError_t launchGradients(const RecurrenceProblem& p, const Scratch& scratch, const BackwardScratch& backward, const ChunkedGradients& out,
                            cudaStream_t stream)
{
    return forKeyWidth(p.keyDim, [&](auto width) { return gradients<decltype(width)::value>(p, scratch, backward, out, stream); });
}

} // namespace postnas::ops::cuda::chunk
