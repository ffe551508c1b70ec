// The products with queries and keys in the gradients where each channel has its own decay. D depends on the channel then, so dA and dM are kept
// without it, and the products go level by level (chunk_channels.cuh): with W a square's numbers of one level, mirrored at the diagonal,
//   x = f (W (f y)),   y_t = k_t for earlier and q_t for later tokens (dM: k_t or the removal key for later ones)
// holds the part of dQ (dM: T) for later tokens and that of P for earlier ones.
#pragma once

#include "kernels/linear_recurrence/chunk_gradients.cuh"

namespace postnas::ops::cuda::chunk {

constexpr int kGradientStages = 2;
constexpr int larger(int a, int b) { return a > b ? a : b; }

template <int Key, bool Delta, Removal R>
class LevelGradients : public ChunkGradients<Key, Delta, kGradientStages> {
    using Base = ChunkGradients<Key, Delta, kGradientStages>;
    using typename Base::Rows;
    using Base::kKeyTile, Base::kSquare, Base::kStage, Base::block, Base::half, Base::warp, Base::c;

protected:
    using Base::kTiles, Base::kKeyStride, Base::p, Base::r, Base::fromState, Base::taken, Base::given;
    using Base::tile, Base::floats, Base::token, Base::channel, Base::pair;
    static constexpr bool kOwnRemoval = R != Removal::Key, kPairs = R == Removal::OwnToken;

private:
    /// Squares that are multiplied with queries and keys: dA, and with the delta rule dM.
    static constexpr int kSquares = Delta ? 2 : 1;
    /// f y of levels 32 and 16, of all tokens; later tiles of 16 tokens and channels of each warp.
    static constexpr int kOwnStride = 24, kOwnTile = 16 * kOwnStride * 2, kOwn = (Delta ? 3 : 2) * kOwnTile,
                         kDecayed = larger(2 * kSquares * kKeyTile, 8 * kOwn);
    static constexpr int kUnrollApart = 2;
    static constexpr float kFar = 40; ///< powers of two that one factor may be away from one

protected:
    static constexpr int kSums = 0, kTotals = kSums + kTokens * kSumStride<Key> * 4, kStagesAt = kTotals + 4 * Key * 4, kQuery = kStagesAt,
                         kKey = kQuery + kKeyTile, kRemoval = kOwnRemoval ? kKey + kKeyTile : kKey, kAttention = kRemoval + kKeyTile,
                         kSystem = kAttention + kSquare, kDecayedAt = kAttention + kSquares * kSquare, kEnds = kDecayedAt;

public:
    static constexpr int kBytes = larger(kStagesAt + kGradientStages * kStage, kDecayedAt + kDecayed);

    using Base::Base;

protected:
    __device__ const float* sumsAt(int token, int n) const { return floats(kSums) + token * kSumStride<Key> + channel(n, 0); }

    /// The parts of the states get their decay; dG_C of the channels goes to the totals, summed over each block of 16 tokens.
    __device__ __forceinline__ void scaleInter()
    {
#pragma unroll
        for (int n = 0; n < kTiles; ++n) {
            float sum[2] = {};
            const float2 total = *reinterpret_cast<const float2*>(sumsAt(kTokens - 1, n));
#pragma unroll
            for (int e = 0; e < 4; e += 2) {
                const float2 g = *reinterpret_cast<const float2*>(sumsAt(token(e), n)), k = unpack<Element16>(pair(kKey, n, e));
                const float in[2] = {powerOfTwo(g.x), powerOfTwo(g.y)}, out[2] = {powerOfTwo(total.x - g.x), powerOfTwo(total.y - g.y)};
#pragma unroll
                for (int i = 0; i < 2; ++i) {
                    fromState[n][e + i] *= p.scale * in[i];
                    given[n][e + i] *= out[i];
                    if (Delta)
                        taken[n][e + i] *= -in[i];
                    sum[i] += given[n][e + i] * (i ? k.y : k.x);
                }
            }
#pragma unroll
            for (int i = 0; i < 2; ++i) {
                for (int step = 4; step < 32; step *= 2)
                    sum[i] += __shfl_xor_sync(0xffffffffu, sum[i], step);
                if (r == 0)
                    floats(kTotals)[block * Key + channel(n, i)] = sum[i];
            }
        }
    }

    /// Pairs of levels 32 and 16: whole squares of 16 x 16. All tokens of a warp are the later or the earlier ones of their pairs.
    __device__ __forceinline__ void apart()
    {
#pragma unroll
        for (int l = 0; l < 2; ++l) {
            const int level = 32 >> l, anchor = anchorOf(block * 16, level);
            const bool later = (block * 16 & level) != 0;
#pragma unroll kUnrollApart
            for (int n = 0; n < kTiles; ++n)
#pragma unroll
                for (int e = 0; e < 4; e += 2) {
                    const float2 f = levelFactor(sumsAt(token(e), n), sumsAt(anchor, n));
                    const std::uint32_t factor = pack<Element16>(f.x, f.y), key = multiplyPairs(pair(kKey, n, e), factor);
                    pair(kDecayedAt + l * kSquares * kKeyTile, n, e) = later ? multiplyPairs(pair(kQuery, n, e), factor) : key;
                    if (Delta)
                        pair(kDecayedAt + (l * kSquares + 1) * kKeyTile, n, e) =
                            kOwnRemoval && later ? multiplyPairs(pair(kRemoval, n, e), factor) : key;
                }
        }
        __syncthreads();
#pragma unroll
        for (int l = 0; l < 2; ++l) {
            const int level = 32 >> l;
            if (block * 16 & level) {
                addApart<true>(fromState, l, 0);
                if (Delta)
                    addApart<true>(taken, l, 1);
            } else {
                addApart<false>(given, l, 0);
                if (Delta)
                    addApart<false>(given, l, 1);
            }
        }
    }

    /// Pairs inside this warp's 16 tokens: levels 8, 4, 2 and 1, and the diagonal.
    __device__ __forceinline__ void near()
    {
        Diagonal w[kSquares];
#pragma unroll
        for (int s = 0; s < kSquares; ++s) {
            loadTiles<false>(w[s].below, squareByColumns(tile(kAttention + s * kSquare), kSquareStride, block * 16, block * 16));
            loadTiles<true>(w[s].above, squareByRows(tile(kAttention + s * kSquare), kSquareStride, block * 16, block * 16));
        }
#pragma unroll 1
        for (int at = 0; at < kTiles; at += 2) {
            float2 f[2][2]; // G_t - G of the middle
            bool far = false;
#pragma unroll
            for (int m = 0; m < 2; ++m)
#pragma unroll
                for (int i = 0; i < 2; ++i) {
                    const float2 g = *reinterpret_cast<const float2*>(sumsAt(token(2 * i), at + m)),
                                 middle = *reinterpret_cast<const float2*>(sumsAt(block * 16 + 7, at + m));
                    f[m][i] = {g.x - middle.x, g.y - middle.y};
                    far = far || fmaxf(fabsf(f[m][i].x), fabsf(f[m][i].y)) > kFar;
                }
            Near x;
            __syncwarp();
            if (__any_sync(0xffffffffu, far))
                nearLevels(x, at, w);
            else
                nearTogether(x, at, w, f);
            // Registers have no index at run time.
#pragma unroll
            for (int n = 0; n < kTiles; n += 2)
                if (n == at)
#pragma unroll
                    for (int m = 0; m < 2; ++m)
#pragma unroll
                        for (int e = 0; e < 4; ++e) {
                            fromState[n + m][e] += x.later[m][e];
                            given[n + m][e] += x.earlier[m][e];
                            if (Delta)
                                taken[n + m][e] += x.laterKeys[m][e];
                        }
        }
    }

private:
    __device__ static __forceinline__ void put(Element16* to, std::uint32_t x) { *reinterpret_cast<std::uint32_t*>(to) = x; }
    /// x += f (W (f y)) of square `which`.
    template <bool Later>
    __device__ __forceinline__ void addApart(Rows& x, int l, int which)
    {
        const int level = 32 >> l, anchor = anchorOf(block * 16, level), partners = 2 >> l;
        const int square = which == 0 ? kAttention : kSystem, y = kDecayedAt + (l * kSquares + which) * kKeyTile;
        const int partner = (block & ~(2 * partners - 1)) + (Later ? 0 : partners); // the first block of the group's other half
        std::uint32_t w[2][4];
#pragma unroll
        for (int i = 0; i < 2; ++i)
            if (i < partners) {
                if constexpr (Later)
                    loadTiles<false>(w[i], squareByColumns(tile(square), kSquareStride, block * 16, (partner + i) * 16));
                else
                    loadTiles<true>(w[i], squareByRows(tile(square), kSquareStride, (partner + i) * 16, block * 16));
            }
#pragma unroll
        for (int n = 0; n < kTiles; n += 2) {
            float product[2][4] = {};
#pragma unroll
            for (int i = 0; i < 2; ++i)
                if (i < partners) {
                    std::uint32_t b[4];
                    loadTiles<true>(b, squareByColumns(tile(y), kKeyStride, (partner + i) * 16, half * (Key / 2) + n * 8));
                    multiply<Element16>(product[0], w[i], b[0], b[1]);
                    multiply<Element16>(product[1], w[i], b[2], b[3]);
                }
#pragma unroll
            for (int m = 0; m < 2; ++m)
#pragma unroll
                for (int e = 0; e < 4; e += 2) {
                    const float2 f = levelFactor(sumsAt(token(e), n + m), sumsAt(anchor, n + m));
                    x[n + m][e] += f.x * product[m][e];
                    x[n + m][e + 1] += f.y * product[m][e + 1];
                }
        }
    }

    /// Blocks on the diagonal of the squares as left operands, as they are and transposed.
    struct Diagonal {
        std::uint32_t below[4], above[4];
    };
    /// What 16 channels get from pairs inside 16 tokens.
    struct Near {
        float later[2][4] = {}, earlier[2][4] = {}, laterKeys[2][4] = {}; ///< for dQ, P and T
    };

    __device__ Element16* own(int which) const { return tile(kDecayedAt + warp * kOwn + which * kOwnTile); }
    /// Two channels of tile `m` of this lane's token e in such a tile.
    __device__ static __forceinline__ int ownAt(int r, int c, int e, int m) { return (r + e / 2 * 8) * kOwnStride + m * 8 + c; }
    /// product = w y.
    __device__ __forceinline__ void multiplyOwn(float (&product)[2][4], const std::uint32_t (&w)[4], const Element16* y)
    {
        std::uint32_t b[4];
        loadTiles<true>(b, squareByColumns(y, kOwnStride, 0, 0));
        multiply<Element16>(product[0], w, b[0], b[1]);
        multiply<Element16>(product[1], w, b[2], b[3]);
    }

    /// Where no decay is strong, all pairs at once: exp(G_i - G_j) = exp(G_i - G_m) exp(G_m - G_j) with the middle token m for all, whose
    /// factors stay far from the largest number. `g` is G_t - G_m.
    __device__ __forceinline__ void nearTogether(Near& x, int at, const Diagonal (&w)[kSquares], float2 (&g)[2][2])
    {
        float2 back[2][2];
#pragma unroll
        for (int m = 0; m < 2; ++m)
#pragma unroll
            for (int i = 0; i < 2; ++i) {
                back[m][i] = {powerOfTwo(-g[m][i].x), powerOfTwo(-g[m][i].y)};
                g[m][i] = {powerOfTwo(g[m][i].x), powerOfTwo(g[m][i].y)};
                const std::uint32_t forth = pack<Element16>(g[m][i].x, g[m][i].y), key = pair(kKey, at + m, 2 * i);
                const int to = ownAt(r, c, 2 * i, m);
                put(own(0) + to, multiplyPairs(key, pack<Element16>(back[m][i].x, back[m][i].y)));
                put(own(1) + to, multiplyPairs(pair(kQuery, at + m, 2 * i), forth));
                if (Delta)
                    put(own(2) + to, multiplyPairs(kOwnRemoval ? pair(kRemoval, at + m, 2 * i) : key, forth));
            }
        __syncwarp();
        multiplyOwn(x.later, w[0].below, own(0));
        multiplyOwn(x.earlier, w[0].above, own(1));
        if (Delta) {
            multiplyOwn(x.laterKeys, w[kSquares - 1].below, own(0));
            multiplyOwn(x.earlier, w[kSquares - 1].above, own(2));
        }
#pragma unroll
        for (int m = 0; m < 2; ++m)
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                const float forth = e % 2 ? g[m][e / 2].y : g[m][e / 2].x;
                x.later[m][e] *= forth;
                x.laterKeys[m][e] *= forth;
                x.earlier[m][e] *= e % 2 ? back[m][e / 2].y : back[m][e / 2].x;
            }
    }

    /// Level by level, and the diagonal.
    __device__ __forceinline__ void nearLevels(Near& x, int at, const Diagonal (&w)[kSquares])
    {
#pragma unroll
        for (int m = 0; m < 2; ++m)
#pragma unroll
            for (int e = 0; e < 4; e += 2) {
                const float diagonal = __bfloat162float(tile(kAttention)[token(e) * (kSquareStride + 1)]);
                const float2 q = unpack<Element16>(pair(kQuery, at + m, e)), k = unpack<Element16>(pair(kKey, at + m, e));
                x.later[m][e] = diagonal * k.x;
                x.later[m][e + 1] = diagonal * k.y;
                x.earlier[m][e] = diagonal * q.x;
                x.earlier[m][e + 1] = diagonal * q.y;
            }
#pragma unroll
        for (int level = 8; level > 0; level /= 2) {
            float2 f[2][2];
            __syncwarp();
#pragma unroll
            for (int m = 0; m < 2; ++m)
#pragma unroll
                for (int e = 0; e < 4; e += 2) {
                    f[m][e / 2] = levelFactor(sumsAt(token(e), at + m), sumsAt(anchorOf(token(e), level), at + m));
                    const std::uint32_t factor = pack<Element16>(f[m][e / 2].x, f[m][e / 2].y), key = multiplyPairs(pair(kKey, at + m, e), factor);
                    const int to = ownAt(r, c, e, m);
                    put(own(0) + to, isLater(e, level) ? multiplyPairs(pair(kQuery, at + m, e), factor) : key);
                    if (Delta)
                        put(own(1) + to, kOwnRemoval && isLater(e, level) ? multiplyPairs(pair(kRemoval, at + m, e), factor) : key);
                }
            __syncwarp();
#pragma unroll
            for (int s = 0; s < kSquares; ++s) {
                std::uint32_t mirrored[4] = {0, w[s].below[1], w[s].above[2], 0};
                if (level < 8) {
                    mirrored[1] = mirrored[2] = 0;
#pragma unroll
                    for (int e = 0; e < 4; e += 3)
                        mirrored[e] = ofLevel(c, r > c ? w[s].below[e] : w[s].above[e], level, 0xffffu)
                            | ofLevel(c + 1, r > c + 1 ? w[s].below[e] : w[s].above[e], level, 0xffff0000u);
                }
                float product[2][4] = {};
                multiplyOwn(product, mirrored, own(s));
#pragma unroll
                for (int m = 0; m < 2; ++m)
#pragma unroll
                    for (int e = 0; e < 4; ++e) {
                        const float value = product[m][e] * (e % 2 ? f[m][e / 2].y : f[m][e / 2].x);
                        (s == 0 ? x.later : x.laterKeys)[m][e] += isLater(e, level) ? value : 0.f;
                        x.earlier[m][e] += isLater(e, level) ? 0.f : value;
                    }
            }
        }
    }
    /// The half of `both` that belongs to a column, if this lane's row and that column are a pair of a level below 8.
    __device__ std::uint32_t ofLevel(int column, std::uint32_t both, int level, std::uint32_t half16) const
    {
        const int distance = r ^ column;
        return distance >= level && distance < 2 * level ? both & half16 : 0u;
    }
    /// Whether the token of result e is the later one of its pairs of a level inside 16 tokens.
    __device__ bool isLater(int e, int level) const { return level == 8 ? e >= 2 : (r & level) != 0; }
};

} // namespace postnas::ops::cuda::chunk
