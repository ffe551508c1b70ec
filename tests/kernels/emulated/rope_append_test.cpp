// Rotation and cache append, run on the CPU by kernels/emulation, against float64 arithmetic and a cache filled by hand.
#include <cmath>

#include "kernels/include/attention_launch.h"
#include "tests/kernels/emulated/comparison.h"

namespace {

using at::Tensor;
using namespace postnas::tests;
namespace cuda = postnas::ops::cuda;

struct Case {
    std::int64_t length, heads, keyValueHeads, dim, capacity;
    bool ring, norm, oneProjection;
    std::vector<std::int32_t> positions;
    std::vector<std::int32_t> counts = {};
    at::ScalarType type = at::kBFloat16;
};

std::ostream& operator<<(std::ostream& out, const Case& c)
{
    return out << "T" << c.length << "_H" << c.heads << "_G" << c.keyValueHeads << "_D" << c.dim << "_C" << c.capacity << (c.ring ? "_ring" : "")
               << (c.norm ? "_norm" : "");
}

/// The last dimension in pairs (i, i + dim / 2), turned.
Tensor rotated(const Tensor& x, const Tensor& cosine, const Tensor& sine)
{
    const auto halves = x.chunk(2, -1);
    return x * cosine + at::cat({-halves[1], halves[0]}, -1) * sine;
}

Tensor normed(const Tensor& x, const Tensor& weight, double epsilon) { return x * (x.square().mean(at::IntArrayRef{-1}, true) + epsilon).rsqrt() * wide(weight); }

class RopeAppend : public testing::TestWithParam<Case> {};

TEST_P(RopeAppend, FollowsTheReference)
{
    const Case& c = GetParam();
    at::manual_seed(11);
    const std::int64_t batch = std::int64_t(c.positions.size()), maxPosition = 5000, total = c.heads + 2 * c.keyValueHeads;
    constexpr int kOffset = -1;
    const Tensor projection = at::randn({batch, c.length, total, c.dim}).to(c.type);
    Tensor q = projection.narrow(2, 0, c.heads), k = projection.narrow(2, c.heads, c.keyValueHeads), v = projection.narrow(2, c.heads + c.keyValueHeads, c.keyValueHeads);
    if (!c.oneProjection) {
        q = q.contiguous();
        k = k.contiguous();
        v = v.contiguous();
    }
    // Random angles: a wrong position or a wrong half of the table shows.
    const Tensor cosine = at::randn({maxPosition, c.dim}), sine = at::randn({maxPosition, c.dim});
    const Tensor queryNorm = (at::rand({c.dim}) + 0.5).to(c.type), keyNorm = (at::rand({c.dim}) + 0.5).to(c.type);
    const Tensor positions = at::tensor(c.positions, at::kInt), counts = at::tensor(c.counts, at::kInt);
    const double untouched = 7;
    const Tensor keys = at::full({batch, c.keyValueHeads, c.capacity, c.dim}, untouched, c.type), values = keys.clone();
    const Tensor queryOut = unwritten({batch, c.length, c.heads, c.dim}, c.type), keyOut = unwritten({batch, c.length, c.keyValueHeads, c.dim}, c.type);

    cuda::RopeAppendProblem p;
    p.batch = batch;
    p.length = c.length;
    p.heads = c.heads;
    p.keyValueHeads = c.keyValueHeads;
    p.dim = c.dim;
    p.capacity = c.capacity;
    p.element = c.type == at::kFloat ? cuda::Element::Float32 : cuda::Element::BFloat16;
    p.q = q.const_data_ptr();
    p.k = k.const_data_ptr();
    p.v = v.const_data_ptr();
    if (c.oneProjection)
        p.queryStride = p.keyStride = p.valueStride = total * c.dim;
    p.queryNorm = c.norm ? queryNorm.const_data_ptr() : nullptr;
    p.keyNorm = c.norm ? keyNorm.const_data_ptr() : nullptr;
    p.epsilon = 1e-3f;
    p.cosine = cosine.const_data_ptr<float>();
    p.sine = sine.const_data_ptr<float>();
    p.positions = positions.const_data_ptr<std::int32_t>();
    p.positionOffset = kOffset;
    p.counts = c.counts.empty() ? nullptr : counts.const_data_ptr<std::int32_t>();
    p.ring = c.ring;
    p.keys = keys.mutable_data_ptr();
    p.values = values.mutable_data_ptr();
    p.queryOut = queryOut.mutable_data_ptr();
    p.keyOut = keyOut.mutable_data_ptr();
    ASSERT_TRUE(cuda::ropeAppendCanTake(p));
    ASSERT_EQ(cuda::launchRopeAppend(p, nullptr), cudaSuccess);

    Tensor expectedQ = wide(q), expectedK = wide(k);
    if (c.norm) {
        expectedQ = normed(expectedQ, queryNorm, 1e-3);
        expectedK = normed(expectedK, keyNorm, 1e-3);
    }
    const Tensor expectedKeys = at::full(keys.sizes(), untouched, at::kDouble), expectedValues = expectedKeys.clone();
    expectedQ = expectedQ.clone();
    expectedK = expectedK.clone();
    for (std::int64_t b = 0; b < batch; ++b)
        for (std::int64_t t = 0; t < c.length; ++t) {
            const std::int64_t position = c.positions[std::size_t(b)] + kOffset + t, angle = std::max<std::int64_t>(position, 0);
            expectedQ[b][t] = rotated(expectedQ[b][t], wide(cosine[angle]), wide(sine[angle]));
            expectedK[b][t] = rotated(expectedK[b][t], wide(cosine[angle]), wide(sine[angle]));
            const std::int64_t slot = c.ring ? position % c.capacity : position;
            if (position < 0 || slot >= c.capacity || (!c.counts.empty() && t >= c.counts[std::size_t(b)]))
                continue;
            expectedKeys[b].select(1, slot).copy_(expectedK[b][t]); // in the order of the tokens: the last one stays
            expectedValues[b].select(1, slot).copy_(v[b][t]);
        }
    const double bound = c.type == at::kFloat ? 1e-6 : 4e-3;
    EXPECT_LT(relativeError(queryOut, expectedQ), bound);
    EXPECT_LT(relativeError(keyOut, expectedK), bound);
    EXPECT_LT(relativeError(keys, expectedKeys), bound);
    EXPECT_EQ(relativeError(values, expectedValues), 0);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, RopeAppend,
    testing::Values(Case{1, 12, 2, 128, 9, false, false, true, {1, 5, 9}}, Case{1, 16, 8, 128, 4, true, true, true, {1, 4, 5, 1000}},
                    Case{7, 6, 2, 64, 20, false, true, false, {1, 13, 15}}, Case{9, 3, 1, 64, 4, true, false, true, {1, 2, 4097}},
                    Case{5, 4, 2, 80, 16, false, true, true, {3, 3}, {5, 2}}, Case{8, 5, 5, 96, 3, true, true, false, {1, 6}, {8, 7}},
                    Case{8, 2, 1, 40, 3, true, false, false, {2, 9, 4}, {0, 1, 4}}, Case{3, 2, 1, 256, 8, false, true, true, {1}},
                    Case{6, 2, 2, 32, 16, false, true, false, {-3, 4}}, Case{5, 6, 2, 128, 16, false, true, true, {1, 9}, {}, at::kFloat},
                    Case{4, 2, 1, 8, 4, true, true, false, {3}, {}, at::kFloat}, Case{0, 2, 1, 64, 4, false, false, false, {1}}),
    [](const auto& info) { return testing::PrintToString(info.param) + "_" + std::to_string(info.index); });

TEST(RopeAppendCanTake, RefusesOtherWidths)
{
    cuda::RopeAppendProblem p;
    p.keyValueHeads = 1;
    p.dim = 128;
    EXPECT_TRUE(cuda::ropeAppendCanTake(p));
    p.dim = 132;
    EXPECT_FALSE(cuda::ropeAppendCanTake(p));
    p.dim = 264;
    EXPECT_FALSE(cuda::ropeAppendCanTake(p));
}

} // namespace
