// Last kernel of the chunked recurrence's backward pass: the gradients of q, k, the gates and beta of one chunk and head, from what
// chunk_scan.cu (S, N) and chunk_scan_backward.cu (dV, dS') left. Here for one decay a head; chunk_gradients_channels.cu has that of each
// channel.
//
// With D_ij = exp(G_i - G_j), dA = scale tril(dO N^T) D and dM = -tril(dV N^T, -1) D, rows being tokens:
//   dQ = scale exp(G) dO S^T + dA K                                  T = dM K - exp(G) dV S^T
//   dK = T + P,   P = exp(G_C - G) N dS'^T + dA^T Q + dM^T K         dbeta = rows of dV.N / beta^2
//   dG = Q.dQ + K.(T - P),   dG_C = sum of K.(exp(G_C - G) N dS'^T) + exp(G_C) S.dS'
// and the gradient of the log decay of token t is the sum of dG from t to the end of the chunk, plus dG_C. With a decay of each channel
// the same holds channel by channel, otherwise summed over them.
#include "kernels/linear_recurrence/chunk_gradients.cuh"

namespace postnas::ops::cuda::chunk {
namespace {

/// As many as leave room for a second block, or for this one.
template <int Key, bool Delta>
constexpr int kStages = Delta ? (Key <= 128 ? 5 : 3) : Key == 128 ? 2 : 3;

template <int Key, bool Delta>
class Gradients : ChunkGradients<Key, Delta, kStages<Key, Delta>> {
    using Base = ChunkGradients<Key, Delta, kStages<Key, Delta>>;
    using typename Base::Rows;
    using Base::kTiles, Base::kKeyTile, Base::kKeyStride, Base::kSquare, Base::kStage;
    using Base::p, Base::scratch, Base::out, Base::shared, Base::head, Base::slot, Base::first, Base::rows, Base::warp, Base::block, Base::half,
        Base::r, Base::c;
    using Base::fromState, Base::taken, Base::given;
    using Base::find, Base::tile, Base::floats, Base::token, Base::channel, Base::pair, Base::copyKeys, Base::storeKeys;

    static constexpr int kQuery = 0, kKey = kKeyTile, kGates = 2 * kKeyTile, kSums = kGates + 4 * kTokens * 4, kTotals = kSums + 2 * kTokens * 4,
                         kStagesAt = kTotals + 64, kAttention = kStagesAt, kSystem = kAttention + kSquare;

public:
    using Base::kThreads;
    static_assert(kStages<Key, Delta> * kStage >= 2 * kSquare);
    static constexpr int kBytes = kStagesAt + kStages<Key, Delta> * kStage;

    using Base::Base;

    __device__ void run()
    {
        if (!find())
            return;
        copyKeys(kQuery, p.q);
        copyKeys(kKey, p.k);
        copyFloats<kThreads>(shared + kGates, scratch.gates + slot * 4 * kTokens, 4 * kTokens);
        this->multiplyValues(kStagesAt); // these copies are part of its first group
        this->storeSquares(kAttention, kSystem, [&](int i, int j) { return expf(fminf(gate(kSum, i) - gate(kSum, j), 0.f)); });
        if (Delta)
            this->storeBetaGradient([&](int i) { return gate(kBeta, i); });
        __syncthreads();

        scaleRows(fromState, p.scale * gate(kDecayIn, token(0)), p.scale * gate(kDecayIn, token(2)));
        timesSquare(fromState, kAttention);
        scaleRows(given, gate(kDecayOut, token(0)), gate(kDecayOut, token(2)));
        float total = 0; // dG_C
        each([&](int n, int e) { total += given[n][e] * unpackOne(pair(kKey, n, e), e); });
        this->eachStateProduct([&](int, float sum) { total += sum * gate(kDecayIn, kTokens - 1); });
        timesTransposed(given, kAttention, kQuery);
        if (Delta) {
            scaleRows(taken, -gate(kDecayIn, token(0)), -gate(kDecayIn, token(2)));
            timesSquare(taken, kSystem);
            timesTransposed(given, kSystem, kKey);
        }
        sumRows(total);
        __syncthreads();
        // Nothing reads queries and keys any more.
#pragma unroll
        for (int n = 0; n < kTiles; ++n)
#pragma unroll
            for (int e = 0; e < 4; e += 2) {
                pair(kQuery, n, e) = pack<Element16>(fromState[n][e], fromState[n][e + 1]);
                pair(kKey, n, e) = pack<Element16>(given[n][e] + taken[n][e], given[n][e + 1] + taken[n][e + 1]);
            }
        if (warp == 0)
            sumGates();
        __syncthreads();
        storeKeys(kQuery, out.q);
        storeKeys(kKey, out.k);
    }

private:
    __device__ float gate(GateRow row, int i) const { return floats(kGates)[row * kTokens + i]; }
    __device__ static float unpackOne(std::uint32_t both, int e)
    {
        const float2 x = unpack<Element16>(both);
        return e % 2 ? x.y : x.x;
    }

    template <typename F>
    __device__ __forceinline__ void each(F&& f)
    {
#pragma unroll
        for (int n = 0; n < kTiles; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e)
                f(n, e);
    }
    __device__ __forceinline__ void scaleRows(Rows& x, float upper, float lower)
    {
        each([&](int n, int e) { x[n][e] *= e < 2 ? upper : lower; });
    }

    /// x[16 tokens, channels] += a[16, 16] right[16 rows from `row`, channels].
    __device__ __forceinline__ void multiplyRow(Rows& x, const std::uint32_t (&a)[4], int right, int row)
    {
#pragma unroll
        for (int n = 0; n < kTiles / 2; ++n) {
            std::uint32_t b[4];
            loadTiles<true>(b, squareByColumns(tile(right), kKeyStride, row, half * (Key / 2) + n * 16));
            multiply<Element16>(x[2 * n], a, b[0], b[1]);
            multiply<Element16>(x[2 * n + 1], a, b[2], b[3]);
        }
    }
    /// x += square K: sum over j <= i of square[i, j] k_j.
    __device__ __forceinline__ void timesSquare(Rows& x, int square)
    {
        for (int j = 0; j <= block; ++j) {
            std::uint32_t a[4];
            loadTiles<false>(a, squareByColumns(tile(square), kSquareStride, block * 16, j * 16));
            multiplyRow(x, a, kKey, j * 16);
        }
    }
    /// x += square^T right: sum over i >= j of square[i, j] right_i.
    __device__ __forceinline__ void timesTransposed(Rows& x, int square, int right)
    {
        for (int i = block; i < 4; ++i) {
            std::uint32_t a[4];
            loadTiles<true>(a, squareByRows(tile(square), kSquareStride, i * 16, block * 16));
            multiplyRow(x, a, right, i * 16);
        }
    }

    /// Leaves dG of the tokens, from each half of the channels, and each warp's part of dG_C.
    __device__ void sumRows(float total)
    {
        float sum[2] = {};
#pragma unroll
        for (int n = 0; n < kTiles; ++n)
#pragma unroll
            for (int e = 0; e < 4; e += 2) {
                const float2 q = unpack<Element16>(pair(kQuery, n, e)), k = unpack<Element16>(pair(kKey, n, e));
                sum[e / 2] += q.x * fromState[n][e] + q.y * fromState[n][e + 1] + k.x * (taken[n][e] - given[n][e])
                    + k.y * (taken[n][e + 1] - given[n][e + 1]);
            }
        for (int i = 0; i < 2; ++i) {
            sum[i] += __shfl_xor_sync(0xffffffffu, sum[i], 1);
            sum[i] += __shfl_xor_sync(0xffffffffu, sum[i], 2);
            if (c == 0)
                floats(kSums)[half * kTokens + token(2 * i)] = sum[i];
        }
        for (int step = 16; step > 0; step /= 2)
            total += __shfl_xor_sync(0xffffffffu, total, step);
        if (threadIdx.x % 32 == 0)
            floats(kTotals)[warp] = total;
    }

    /// Sums of dG from each token to the end of the chunk, two tokens a lane, by one warp.
    __device__ void sumGates()
    {
        if (p.g == nullptr || out.g == nullptr)
            return;
        const int lane = int(threadIdx.x) % 32;
        const float* sums = floats(kSums);
        const float upper = sums[2 * lane] + sums[kTokens + 2 * lane], lower = sums[2 * lane + 1] + sums[kTokens + 2 * lane + 1];
        float sum = upper + lower;
        for (int step = 1; step < 32; step *= 2) {
            const float other = __shfl_down_sync(0xffffffffu, sum, unsigned(step));
            if (lane + step < 32)
                sum += other;
        }
        for (int i = 0; i < 8; ++i)
            sum += floats(kTotals)[i];
        for (int i = 0; i < 2; ++i)
            if (2 * lane + i < rows)
                out.g[(first + 2 * lane + i) * p.heads + head] = i == 0 ? sum : sum - upper;
    }
};

} // namespace

cudaError_t launchGradients(const RecurrenceProblem& p, const Scratch& scratch, const BackwardScratch& backward, const ChunkedGradients& out,
                            cudaStream_t stream)
{
    if (p.gatePerChannel)
        return launchGradientsPerChannel(p, scratch, backward, out, stream);
    if (groupScanCanTake(p))
        return launchGroupGradients(p, scratch, backward, out, stream);
    return launchGradientsOf<Gradients>(p, scratch, backward, out, stream);
}

} // namespace postnas::ops::cuda::chunk
