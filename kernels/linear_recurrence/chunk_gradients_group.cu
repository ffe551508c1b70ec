// The gradients of chunk_gradients.cu where four warps can multiply together and the decay is of a head: as many blocks as multiprocessors go
// through the chunks, and while one chunk's results are finished the tiles of the next are on their way (chunk_gradients_group.cuh).
//
// Of a block's groups of four warps, each with the 64 tokens of the chunk as rows, one makes dQ and dA, one (delta rule) T and dM, and one P. The
// second hands T over in shared memory.
#include <algorithm>

#include "kernels/linear_recurrence/chunk_gradients_group.cuh"

namespace postnas::ops::cuda::chunk {
namespace {

enum class Role { Queries, Taken, Given };

template <int Key, bool Delta> class GroupGradients : GradientsBlock<Key, Delta> {
    using Base = GradientsBlock<Key, Delta>;
    using Base::eachChunk, Base::first, Base::group, Base::head, Base::lane, Base::out, Base::p, Base::rows, Base::shared, Base::slices, Base::warp;
    using Base::kArrived, Base::kAttention, Base::kDone, Base::kGates, Base::kGradO, Base::kGradV, Base::kGroups, Base::kKey, Base::kKeysArrived,
        Base::kKeysRead, Base::kKeyTile, Base::kKeyWidth, Base::kNew, Base::kOwn, Base::kQuery, Base::kRead, Base::kRowsThere, Base::kSquaresRead,
        Base::kSquaresThere, Base::kStage, Base::kStages, Base::kState, Base::kStateGradient, Base::kSums, Base::kSystem, Base::kTaken,
        Base::kTakenForSquares, Base::kTogether, Base::kTotals;
    using typename Base::Keys;

public:
    using Base::Base;

    __device__ __forceinline__ void run()
    {
        if (Delta)
            takeRegisters<160>();
        if (group == 0)
            multiply<Role::Queries>();
        else if (Delta && group == 1)
            multiply<Role::Taken>();
        else
            multiply<Role::Given>();
    }

private:
    using Rows = float[Key / 8][4]; ///< [64 tokens, channels], 16 tokens a warp
    using Products = float[8][4]; ///< [64 tokens, 64 tokens]
    using Packed = std::uint32_t[4][4]; ///< those as left operands

    __device__ float* floats(int offset) const { return reinterpret_cast<float*>(shared + offset); }
    __device__ float gate(GateRow row, int i) const { return floats(kGates)[row * kTokens + i]; }
    __device__ int token(int e) const { return warp * 16 + lane / 4 + e / 2 * 8; }
    __device__ int column() const { return lane % 4 * 2; }
    /// Two neighbouring channels of a token of a tile.
    __device__ float2 pair(int tile, int n, int e) const
    {
        return unpack<Element16>(*reinterpret_cast<const std::uint32_t*>(shared + tile + Keys::at(token(e), n * 8) + column() * 2));
    }
    /// The address that this lane gives for the square of this warp's rows and the columns from `at`, and for its mirror image.
    __device__ int squareAt(int at) const { return Square::at(warp * 16 + lane / 8 % 2 * 8 + lane % 8, at + lane / 16 * 8); }
    __device__ int mirroredAt(int at) const { return Square::at(at + lane / 16 * 8 + lane % 8, warp * 16 + lane / 8 % 2 * 8); }

    /// compute-sanitizer's racecheck holds reads for finished only when the reader has waited since.
    __device__ __forceinline__ void arriveAfterReads(int barrier, int threads)
    {
        barrierSync(kOwn + group, 128);
        barrierArrive(barrier, threads);
    }

    template <Role role> __device__ __forceinline__ void multiply()
    {
        int turn = 0;
        bool any = false;
        eachChunk([&] {
            Rows x;
            Products products;
#pragma unroll
            for (int n = 0; n < Key / 8; ++n)
#pragma unroll
                for (int e = 0; e < 4; ++e)
                    x[n][e] = 0.f;
            if (role != Role::Given) {
#pragma unroll
                for (int n = 0; n < 8; ++n)
#pragma unroll
                    for (int e = 0; e < 4; ++e)
                        products[n][e] = 0.f;
            }
            float states = 0; // sum of S dS'
#pragma unroll 1
            for (int s = 0; s < slices; ++s) {
                barrierSync(kArrived + turn, kTogether + 32);
                multiplySlice<role>(x, products, states, shared + turn * kStage);
                arriveAfterReads(kRead + turn, kTogether + 32);
                turn = turn + 1 == kStages ? 0 : turn + 1;
            }
            barrierSync(kKeysArrived, kTogether + 32);
            if constexpr (role == Role::Given)
                finishGiven(x, states);
            else
                finishSquare<role>(x, products, any);
            arriveAfterReads(kKeysRead, kTogether + 32);
            any = true;
        });
        if (role != Role::Given && any)
            barrierSync(kDone, kTogether);
    }

    template <Role role>
    __device__ __forceinline__ void multiplySlice(
        Rows& x, [[maybe_unused]] Products& products, [[maybe_unused]] float& states, const unsigned char* stage)
    {
        constexpr int kLeft = role == Role::Queries ? kGradO
            : role == Role::Taken                   ? kGradV
                                                    : kNew,
                      kRight = role == Role::Given ? kStateGradient : kState;
        Packed a;
#pragma unroll
        for (int kk = 0; kk < 4; ++kk)
            loadTiles<false>(a[kk], reinterpret_cast<const Element16*>(stage + kLeft + squareAt(kk * 16)));
        groupFence();
#pragma unroll
        for (int kk = 0; kk < 4; ++kk) {
            multiplyGroup<Key, true, true>(x, a[kk], rowsAsK<kTokens, kKeyWidth>(stage + kRight, kk * 16));
            if constexpr (role != Role::Given)
                multiplyGroup<64, true, false>(products, a[kk], columnsAsK<kTokens, 128>(stage + kNew, kk * 16));
        }
        groupCommit();
        if constexpr (role == Role::Given) {
            // The order of the numbers in both tiles is the same.
#pragma unroll
            for (int i = 0; i < kKeyTile; i += 128 * 16) {
                const int at = i + (warp * 32 + lane) * 16;
                const uint4 before = *reinterpret_cast<const uint4*>(stage + kState + at),
                            after = *reinterpret_cast<const uint4*>(stage + kStateGradient + at);
                const auto add = [&](std::uint32_t s, std::uint32_t d) {
                    const float2 left = unpack<Element16>(s), right = unpack<Element16>(d);
                    states += left.x * right.x + left.y * right.y;
                };
                add(before.x, after.x);
                add(before.y, after.y);
                add(before.z, after.z);
                add(before.w, after.w);
            }
            static_assert(kKeyTile % (128 * 16) == 0);
        }
        groupWait<0>();
        settle(x);
        if constexpr (role != Role::Given)
            settle(products);
    }

    __device__ __forceinline__ void scaleRows(Rows& x, float upper, float lower)
    {
#pragma unroll
        for (int n = 0; n < Key / 8; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e)
                x[n][e] *= e < 2 ? upper : lower;
    }
    /// x += square tile, or with the mirrored square.
    __device__ __forceinline__ void timesTile(Rows& x, const Packed& square, int tile)
    {
#pragma unroll
        for (int j = 0; j < 4; ++j)
            multiplyGroup<Key, true, true>(x, square[j], rowsAsK<kTokens, kKeyWidth>(shared + tile, j * 16));
    }
    /// Sums over the channels to the place of this group, by tokens.
    __device__ __forceinline__ void leaveSums(float (&sum)[2])
    {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
            sum[i] += __shfl_xor_sync(0xffffffffu, sum[i], 1);
            sum[i] += __shfl_xor_sync(0xffffffffu, sum[i], 2);
            if (column() == 0)
                floats(kSums)[group * kTokens + token(2 * i)] = sum[i];
        }
    }
    __device__ __forceinline__ void addToSums(float (&sum)[2], const Rows& x, int tile)
    {
#pragma unroll
        for (int n = 0; n < Key / 8; ++n)
#pragma unroll
            for (int e = 0; e < 4; e += 2) {
                const float2 y = pair(tile, n, e);
                sum[e / 2] += y.x * x[n][e] + y.y * x[n][e + 1];
            }
    }

    /// dQ and dA, or T and dM: the square gets its decay and goes to shared memory, and is multiplied with the keys.
    template <Role role> __device__ __forceinline__ void finishSquare(Rows& x, Products& products, bool any)
    {
        constexpr bool kQueries = role == Role::Queries;
        const float factor = kQueries ? p.scale : -1.f;
        const float upper = gate(kSum, token(0)), lower = gate(kSum, token(2));
        float diagonal[2] = {}; // of this lane's rows, if it has them
        Packed square;
#pragma unroll
        for (int n = 0; n < 8; ++n) {
            float decayed[4] = {};
            if (n / 2 <= warp) {
                if (!kQueries && n / 2 == warp)
                    diagonal[n % 2] = lane / 4 % 2 == 0 ? products[n][n % 2 * 2] : products[n][n % 2 * 2 + 1];
                const float2 sum = *reinterpret_cast<const float2*>(floats(kGates) + kSum * kTokens + n * 8 + column());
#pragma unroll
                for (int e = 0; e < 4; ++e) {
                    const int i = token(e), j = n * 8 + column() + e % 2;
                    const float decay = __expf(fminf((e < 2 ? upper : lower) - (e % 2 ? sum.y : sum.x), 0.f));
                    decayed[e] = j < i + int(kQueries) ? factor * decay * products[n][e] : 0.f;
                }
            }
            square[n / 2][n % 2 * 2] = pack<Element16>(decayed[0], decayed[1]);
            square[n / 2][n % 2 * 2 + 1] = pack<Element16>(decayed[2], decayed[3]);
        }
        if (any)
            barrierSync(kDone, kTogether);
#pragma unroll
        for (int j = 0; j < 4; ++j)
            storeTiles<false>(shared + (kQueries ? kAttention : kSystem) + squareAt(j * 16), square[j]);
        barrierArrive(kSquaresThere, kTogether);
        scaleRows(x, factor * gate(kDecayIn, token(0)), factor * gate(kDecayIn, token(2)));
        groupFence();
        timesTile(x, square, kKey);
        groupCommit();
        // The gradient of beta is E.U with N = beta U, and dV = beta E; beta, as prepared, is never zero.
        if (!kQueries && (lane / 4 & ~1) == column())
#pragma unroll
            for (int i = 0; i < 2; ++i)
                if (token(2 * i) < rows) {
                    const float beta = gate(kBeta, token(2 * i));
                    out.beta[(first + token(2 * i)) * p.heads + head] = __fdividef(__fdividef(diagonal[i], beta), beta);
                }
        groupWait<0>();
        settle(x);

        float sum[2] = {};
        addToSums(sum, x, kQueries ? kQuery : kKey);
        leaveSums(sum);
        if constexpr (kQueries) {
            barrierArrive(kRowsThere, kTogether);
            storeResultRows<Key>(
                x, static_cast<Element16*>(out.q) + (first * p.heads + head) * p.keyDim, p.heads * p.keyDim, token(0), rows, p.keyDim);
        } else {
            if (kTakenForSquares)
                barrierSync(kSquaresRead, 256);
            auto* to = reinterpret_cast<uint4*>(shared + kTaken) + warp * 32 + lane;
#pragma unroll
            for (int n = 0; n < Key / 8; n += 2)
                to[n / 2 * 128] = { pack<Element16>(x[n][0], x[n][1]), pack<Element16>(x[n][2], x[n][3]), pack<Element16>(x[n + 1][0], x[n + 1][1]),
                    pack<Element16>(x[n + 1][2], x[n + 1][3]) };
            barrierArrive(kRowsThere, kTogether);
        }
    }

    /// P, with T dK, and dG.
    __device__ __forceinline__ void finishGiven(Rows& x, float states)
    {
        scaleRows(x, gate(kDecayOut, token(0)), gate(kDecayOut, token(2)));
        float sum[2] = {};
        addToSums(sum, x, kKey);
        float total = sum[0] + sum[1] + states * gate(kDecayIn, kTokens - 1); // dG_C
        barrierSync(kSquaresThere, kTogether);
        Packed attention, system;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            loadTiles<true>(attention[i], reinterpret_cast<const Element16*>(shared + kAttention + mirroredAt(i * 16)));
            if (Delta)
                loadTiles<true>(system[i], reinterpret_cast<const Element16*>(shared + kSystem + mirroredAt(i * 16)));
        }
        groupFence();
        timesTile(x, attention, kQuery);
        if (Delta)
            timesTile(x, system, kKey);
        groupCommit();
        groupWait<0>();
        settle(x);
        if (kTakenForSquares)
            arriveAfterReads(kSquaresRead, 256);
        sum[0] = sum[1] = 0;
        addToSums(sum, x, kKey);
        sum[0] = -sum[0];
        sum[1] = -sum[1];
        leaveSums(sum);
#pragma unroll
        for (int step = 16; step > 0; step /= 2)
            total += __shfl_xor_sync(0xffffffffu, total, step);
        if (lane == 0)
            floats(kTotals)[warp] = total;
        barrierSync(kRowsThere, kTogether);
        if (Delta) {
            const auto* from = reinterpret_cast<const uint4*>(shared + kTaken) + warp * 32 + lane;
#pragma unroll
            for (int n = 0; n < Key / 8; n += 2) {
                const uint4 taken = from[n / 2 * 128];
                const auto add = [&](int m, int e, std::uint32_t both) {
                    const float2 y = unpack<Element16>(both);
                    x[m][e] += y.x;
                    x[m][e + 1] += y.y;
                };
                add(n, 0, taken.x);
                add(n, 2, taken.y);
                add(n + 1, 0, taken.z);
                add(n + 1, 2, taken.w);
            }
        }
        if (warp == 0)
            sumGates();
        arriveAfterReads(kDone, kTogether);
        storeResultRows<Key>(x, static_cast<Element16*>(out.k) + (first * p.heads + head) * p.keyDim, p.heads * p.keyDim, token(0), rows, p.keyDim);
    }

    /// Sums of dG from each token to the end of the chunk, two tokens a lane, by one warp.
    __device__ __forceinline__ void sumGates()
    {
        if (p.g == nullptr || out.g == nullptr)
            return;
        float each[2] = {};
#pragma unroll
        for (int g = 0; g < kGroups; ++g) {
            const float2 both = *reinterpret_cast<const float2*>(floats(kSums) + g * kTokens + 2 * lane);
            each[0] += both.x;
            each[1] += both.y;
        }
        float sum = each[0] + each[1];
#pragma unroll
        for (int step = 1; step < 32; step *= 2) {
            const float other = __shfl_down_sync(0xffffffffu, sum, unsigned(step));
            if (lane + step < 32)
                sum += other;
        }
        for (int i = 0; i < 4; ++i)
            sum += floats(kTotals)[i];
        for (int i = 0; i < 2; ++i)
            if (2 * lane + i < rows)
                out.g[(first + 2 * lane + i) * p.heads + head] = i == 0 ? sum : sum - each[0];
    }
};

template <int Key, bool Delta>
__global__ void __launch_bounds__(GradientsBlock<Key, Delta>::kThreads, 1)
    groupGradientsKernel(RecurrenceProblem p, Scratch scratch, BackwardScratch backward, ChunkedGradients out, std::int64_t chunks)
{
#if POSTNAS_WARP_GROUPS
    POSTNAS_SHARED_MEMORY(shared);
    if (__shfl_sync(0xffffffffu, int(threadIdx.x) / 128, 0) == GradientsBlock<Key, Delta>::kGroups)
        GradientsHelpers<Key, Delta>(p, scratch, backward, out, chunks, shared).run();
    else
        GroupGradients<Key, Delta>(p, scratch, backward, out, chunks, shared).run();
#else
    __trap();
#endif
}

template <int Key, bool Delta>
cudaError_t groupGradients(
    const RecurrenceProblem& p, const Scratch& scratch, const BackwardScratch& backward, const ChunkedGradients& out, cudaStream_t stream)
{
    using G = GradientsBlock<Key, Delta>;
    int blocks = 2;
#ifndef POSTNAS_CUDA_EMULATION
    int device = 0;
    cudaError_t code = cudaGetDevice(&device);
    if (code == cudaSuccess)
        code = cudaDeviceGetAttribute(&blocks, cudaDevAttrMultiProcessorCount, device);
    if (code != cudaSuccess)
        return code;
#endif
    const std::int64_t chunks = chunkCount(p);
    return launch(groupGradientsKernel<Key, Delta>, dim3(unsigned(std::min<std::int64_t>(blocks, chunks * p.heads))), dim3(G::kThreads), G::kBytes,
        stream, p, scratch, backward, out, chunks);
}

} // namespace

cudaError_t launchGroupGradients(
    const RecurrenceProblem& p, const Scratch& scratch, const BackwardScratch& backward, const ChunkedGradients& out, cudaStream_t stream)
{
    return forKeyWidth<kMaxGroupKey>(p.keyDim, [&](auto width) {
        return p.beta ? groupGradients<width(), true>(p, scratch, backward, out, stream)
                      : groupGradients<width(), false>(p, scratch, backward, out, stream);
    });
}

} // namespace postnas::ops::cuda::chunk
