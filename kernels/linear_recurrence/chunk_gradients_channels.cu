// The gradients of chunk_gradients.cu where each channel has its own decay: tiles, products by levels (chunk_gradients_levels.cuh) and what comes out
// of them. With a removal key T is its gradient and P that of k, else k has both.
#include "kernels/linear_recurrence/chunk_gradients_levels.cuh"

namespace postnas::ops::cuda::chunk {
namespace {

template <int Key, bool Delta, Removal R>
class ChannelGradients : LevelGradients<Key, Delta, R> {
    using Base = LevelGradients<Key, Delta, R>;
    using Base::kTiles, Base::kKeyStride, Base::kOwnRemoval, Base::kPairs, Base::kSums, Base::kTotals, Base::kStagesAt, Base::kQuery, Base::kKey,
        Base::kRemoval, Base::kAttention, Base::kSystem, Base::kEnds;
    using Base::p, Base::scratch, Base::out, Base::head, Base::slot, Base::first, Base::rows, Base::r;
    using Base::fromState, Base::taken, Base::given;
    using Base::find, Base::tile, Base::floats, Base::token, Base::channel, Base::pair, Base::copyKeys, Base::storeKeys;

public:
    using Base::kThreads, Base::kBytes;

    using Base::Base;

    __device__ void run()
    {
        if (!find())
            return;
        this->multiplyValues(kStagesAt);
        if constexpr (kPairs) {
            copyPairsTo(kQuery, nullptr, p.q);
            copyPairsTo(kKey, p.removalRate, p.k);
            copyPairsTo(kRemoval, p.removalKey, nullptr);
        } else {
            copyKeys(kQuery, p.q);
            copyKeys(kKey, p.k);
            if (kOwnRemoval)
                copyKeys(kRemoval, p.removalKey);
        }
        copyChannels<Key, kThreads, kPairs>(p, first, head, rows, floats(kSums));
        commitCopies();
        // With a decay of each channel D is put in later, where the channel is known.
        this->storeSquares(kAttention, kSystem, [](int, int) { return 1.f; });
        if (Delta)
            this->storeBetaGradient([&](int i) { return scratch.gates[(slot * 4 + kBeta) * kTokens + i]; });
        waitCopies<0>();
        __syncthreads();
        sumChannels<Key, kThreads>(floats(kSums), floats(kEnds));
        __syncthreads();
        if constexpr (kPairs) {
            finishPairs<Key, kThreads>(tile(kKey), tile(kRemoval), kKeyStride, floats(kSums));
            __syncthreads();
        }

        this->scaleInter();
        this->apart();
        __syncthreads();
        this->near();
        __syncthreads();
        finish();
    }

private:
    /// Stores the gradients of queries and keys, and dG, summed from each token to the end of the chunk.
    __device__ __forceinline__ void finish()
    {
        if constexpr (kPairs)
            finishPairRows();
        else
            finishRows();
        if (out.g != nullptr)
            this->eachStateProduct([&](int key, float sum) {
                if (key < p.keyDim)
                    floats(kTotals)[key] += sum * scratch.channelDecay[slot * p.keyDim + key];
            });
        __syncthreads();
        if constexpr (kPairs) {
            storePairRows(kQuery, 1, out.q);
            storePairRows(kKey, 1, out.k);
            storePairRows(kKey, 0, out.removalRate);
            storePairRows(kRemoval, 0, out.removalKey);
        } else {
            storeKeys(kQuery, out.q);
            storeKeys(kKey, out.k);
            if (kOwnRemoval)
                storeKeys(kRemoval, out.removalKey);
        }
        storeGateGradients();
    }

    /// The gradients take the place of queries and keys, and each token's part of dG that of the sums.
    __device__ __forceinline__ void finishRows()
    {
#pragma unroll
        for (int n = 0; n < kTiles; ++n)
#pragma unroll
            for (int e = 0; e < 4; e += 2) {
                const float2 q = unpack<Element16>(pair(kQuery, n, e)), k = unpack<Element16>(pair(kKey, n, e));
                auto& gate = *reinterpret_cast<float2*>(floats(kSums) + token(e) * kSumStride<Key> + channel(n, 0));
                if constexpr (kOwnRemoval) {
                    const float2 removal = unpack<Element16>(pair(kRemoval, n, e));
                    gate = {q.x * fromState[n][e] + removal.x * taken[n][e] - k.x * given[n][e],
                            q.y * fromState[n][e + 1] + removal.y * taken[n][e + 1] - k.y * given[n][e + 1]};
                    pair(kKey, n, e) = pack<Element16>(given[n][e], given[n][e + 1]);
                    pair(kRemoval, n, e) = pack<Element16>(taken[n][e], taken[n][e + 1]);
                } else {
                    gate = {q.x * fromState[n][e] + k.x * (taken[n][e] - given[n][e]),
                            q.y * fromState[n][e + 1] + k.y * (taken[n][e + 1] - given[n][e + 1])};
                    pair(kKey, n, e) = pack<Element16>(given[n][e] + taken[n][e], given[n][e + 1] + taken[n][e + 1]);
                }
                pair(kQuery, n, e) = pack<Element16>(fromState[n][e], fromState[n][e + 1]);
            }
    }

    /// The same for pairs: removing tokens leave the gradients of a and kappa in the places of their keys. kappa exp(-w) exp(G) is kappa with the sum
    /// up to the token before, so that is the token whose G gets its part.
    __device__ __forceinline__ void finishPairRows()
    {
        const bool removes = r % 2 == 0;
#pragma unroll
        for (int n = 0; n < kTiles; ++n)
#pragma unroll
            for (int e = 0; e < 4; e += 2) {
                const float2 q = unpack<Element16>(pair(kQuery, n, e)), k = unpack<Element16>(pair(kKey, n, e)),
                             removal = unpack<Element16>(pair(kRemoval, n, e));
                pair(kQuery, n, e) = pack<Element16>(fromState[n][e], fromState[n][e + 1]);
                fromState[n][e] = q.x * fromState[n][e] - k.x * given[n][e];
                fromState[n][e + 1] = q.y * fromState[n][e + 1] - k.y * given[n][e + 1];
                if (removes) {
                    const bool inside = token(e) < rows && channel(n, 0) < p.keyDim;
                    const std::int64_t at = inside ? ((first / 2 + token(e) / 2) * p.heads + head) * p.keyDim + channel(n, 0) : 0;
                    const float2 kappa = unpack<Element16>(*reinterpret_cast<const std::uint32_t*>(static_cast<const Element16*>(p.removalKey) + at)),
                                 a = unpack<Element16>(*reinterpret_cast<const std::uint32_t*>(static_cast<const Element16*>(p.removalRate) + at)),
                                 grown = growth<Key>(floats(kSums), token(e), channel(n, 0));
                    pair(kKey, n, e) = pack<Element16>(given[n][e] * kappa.x, given[n][e + 1] * kappa.y);
                    pair(kRemoval, n, e) =
                        pack<Element16>(given[n][e] * a.x + taken[n][e] * grown.x, given[n][e + 1] * a.y + taken[n][e + 1] * grown.y);
                    taken[n][e] *= removal.x;
                    taken[n][e + 1] *= removal.y;
                } else {
                    pair(kKey, n, e) = pack<Element16>(given[n][e], given[n][e + 1]);
                }
            }
        __syncthreads();
        eachOwnSum([&](float2& sum, int n, int e) { sum = {fromState[n][e], fromState[n][e + 1]}; });
        __syncthreads();
        if (removes)
            eachOwnSum([&](float2& sum, int n, int e) {
                if (token(e) > 0) {
                    float2& before = *(&sum - kSumStride<Key> / 2);
                    before = {before.x + taken[n][e], before.y + taken[n][e + 1]};
                }
            });
    }
    template <typename F>
    __device__ __forceinline__ void eachOwnSum(F&& f)
    {
#pragma unroll
        for (int n = 0; n < kTiles; ++n)
#pragma unroll
            for (int e = 0; e < 4; e += 2)
                f(*reinterpret_cast<float2*>(floats(kSums) + token(e) * kSumStride<Key> + channel(n, 0)), n, e);
    }

    __device__ void copyPairsTo(int offset, const void* even, const void* odd)
    {
        copyPairs<Key, kThreads>(p, first, head, rows, tile(offset), kKeyStride, even, odd);
    }
    /// Writes the even or the odd rows of a tile as rows of a [pair, head, key] array.
    __device__ void storePairRows(int offset, int which, void* to)
    {
        const int pieces = int(p.keyDim) / 8;
        for (int i = int(threadIdx.x); i < rows / 2 * pieces; i += kThreads) {
            const int row = i / pieces, column = i % pieces * 8;
            *reinterpret_cast<uint4*>(static_cast<Element16*>(to) + ((first / 2 + row) * p.heads + head) * p.keyDim + column) =
                *reinterpret_cast<const uint4*>(tile(offset) + (2 * row + which) * kKeyStride + column);
        }
    }

    __device__ __forceinline__ void storeGateGradients()
    {
        if (out.g == nullptr)
            return;
        using Runs = ChannelRuns<Key, kThreads>;
        const Runs at;
        float* own = floats(kSums) + at.run * Runs::kRun * kSumStride<Key> + at.channel;
        if (at.active()) {
            float sum = 0;
#pragma unroll 16
            for (int i = Runs::kRun - 1; i >= 0; --i) {
                sum += own[i * kSumStride<Key>];
                own[i * kSumStride<Key>] = sum;
            }
            floats(kEnds)[at.run * Key + at.channel] = sum;
        }
        __syncthreads();
        if (at.active() && at.channel < p.keyDim) {
            float after = 0;
            for (int i = 0; i < 4; ++i)
                after += floats(kTotals)[i * Key + at.channel];
            for (int i = at.run + 1; i < Runs::kRuns; ++i)
                after += floats(kEnds)[i * Key + at.channel];
            const std::int64_t stride = p.heads * p.keyDim;
            constexpr int kStep = kPairs ? 2 : 1;
            float* g = out.g + ((first + at.run * Runs::kRun) / kStep * p.heads + head) * p.keyDim + at.channel;
            const int left = min(Runs::kRun, rows - at.run * Runs::kRun);
#pragma unroll 8
            for (int i = 0; i < left; i += kStep)
                g[i / kStep * stride] = own[i * kSumStride<Key>] + after;
        }
    }
};

template <int Key, bool Delta> using GradientsPerChannel = ChannelGradients<Key, Delta, Removal::Key>;

} // namespace

cudaError_t launchGradientsPerChannel(const RecurrenceProblem& p, const Scratch& scratch, const BackwardScratch& backward,
                                      const ChunkedGradients& out, cudaStream_t stream)
{
    if (p.removalKey)
        return forRemoval(p, [&](auto width, auto removal) {
            constexpr int kBlocks = decltype(width)::value <= 64 ? 2 : 1;
            return launchGradientsKernel<ChannelGradients<decltype(width)::value, true, decltype(removal)::value>, kBlocks>(p, scratch, backward, out,
                                                                                                                            stream);
        });
    return launchGradientsOf<GradientsPerChannel>(p, scratch, backward, out, stream);
}

} // namespace postnas::ops::cuda::chunk
