// Norms of heads and merged attention, run on the CPU by kernels/emulation, against float64 arithmetic.
#include "kernels/include/heads_launch.h"
#include "tests/kernels/emulated/comparison.h"

namespace {

using at::Tensor;
using namespace postnas::tests;
namespace cuda = postnas::ops::cuda;

struct Shape {
    std::int64_t tokens, heads, width;
    at::ScalarType type = at::kBFloat16;

    cuda::Element element() const
    {
        return type == at::kFloat ? cuda::Element::Float32 : type == at::kHalf ? cuda::Element::Float16 : cuda::Element::BFloat16;
    }
    double bound() const { return type == at::kFloat ? 1e-6 : type == at::kHalf ? 5e-4 : 4e-3; }
};

std::ostream& operator<<(std::ostream& out, const Shape& s)
{
    return out << "N" << s.tokens << "_H" << s.heads << "_W" << s.width << "_" << at::toString(s.type);
}

Tensor siluOf(const Tensor& x) { return x * at::sigmoid(x); }

class Heads : public testing::TestWithParam<Shape> {};

TEST_P(Heads, GatedNorm)
{
    const Shape& s = GetParam();
    at::manual_seed(5);
    const double epsilon = 1e-2;
    const Tensor x = at::randn({s.tokens, s.heads, s.width}).to(s.type), weight = (at::rand({s.width}) + 0.5).to(s.type);
    // The gates are part of a wider projection.
    const std::int64_t stride = s.heads * s.width + 16;
    const Tensor projection = (at::randn({s.tokens, stride}) * 3).to(s.type);
    const Tensor gate = projection.narrow(1, 8, s.heads * s.width);
    const Tensor norm = wide(x) * (wide(x).square().mean(at::IntArrayRef{-1}, true) + epsilon).rsqrt() * wide(weight);
    cuda::GatedNormProblem p{s.tokens, s.heads, s.width, s.element(), x.const_data_ptr(), weight.const_data_ptr(), float(epsilon)};
    Tensor out = unwritten(x.sizes(), s.type);
    ASSERT_EQ(cuda::launchGatedNorm(p, out.mutable_data_ptr(), nullptr), cudaSuccess);
    EXPECT_LT(relativeError(out, norm), s.bound());

    p.gate = gate.const_data_ptr();
    p.gateStride = stride;
    out = unwritten(x.sizes(), s.type);
    ASSERT_EQ(cuda::launchGatedNorm(p, out.mutable_data_ptr(), nullptr), cudaSuccess);
    EXPECT_LT(relativeError(out, norm * siluOf(wide(gate)).reshape(x.sizes())), s.bound());
}

TEST_P(Heads, UnitLength)
{
    const Shape& s = GetParam();
    at::manual_seed(6);
    const std::int64_t stride = s.heads * s.width + 8;
    const Tensor projection = at::randn({s.tokens, stride}).to(s.type);
    if (s.tokens > 1)
        projection[1].zero_(); // nothing to bring to unit length
    const Tensor x = projection.narrow(1, 0, s.heads * s.width).view({s.tokens, s.heads, s.width});
    for (const bool silu : {false, true}) {
        const Tensor y = silu ? siluOf(wide(x)) : wide(x);
        const cuda::UnitLengthProblem p{s.tokens, s.heads, s.width, stride, s.element(), x.const_data_ptr(), silu};
        const Tensor out = unwritten(x.sizes(), s.type);
        ASSERT_EQ(cuda::launchUnitLength(p, out.mutable_data_ptr(), nullptr), cudaSuccess);
        EXPECT_LT(relativeError(out, y * (y.square().sum(-1, true) + 1e-6).rsqrt()), s.bound());
    }
}

INSTANTIATE_TEST_SUITE_P(Shapes, Heads,
                         testing::Values(Shape{3, 12, 256}, Shape{5, 12, 96}, Shape{0, 2, 64}, Shape{1, 1, 8}, Shape{37, 3, 40}, Shape{2, 5, 128},
                                         Shape{3, 2, 288}, Shape{2, 3, 576}, Shape{1, 2, 1024}, Shape{9, 3, 64, at::kFloat},
                                         Shape{3, 2, 192, at::kFloat}, Shape{4, 2, 96, at::kHalf}),
                         testing::PrintToStringParamName());

TEST(HeadsLimits, RefusesWhatItCannotHold)
{
    alignas(16) static unsigned char memory[64];
    cuda::GatedNormProblem p{1, 1, 12, cuda::Element::BFloat16, memory, memory, 0};
    EXPECT_NE(cuda::launchGatedNorm(p, memory, nullptr), cudaSuccess); // half a piece
    p.width = cuda::kMaxHeadWidth + 8;
    EXPECT_NE(cuda::launchGatedNorm(p, memory, nullptr), cudaSuccess);
    p.width = 8;
    p.x = memory + 2;
    EXPECT_NE(cuda::launchGatedNorm(p, memory, nullptr), cudaSuccess);
}

TEST(DeltaGates, FollowTheReference)
{
    for (const auto& [tokens, heads, type] : {std::tuple(7, 12, at::kBFloat16), std::tuple(1, 1, at::kFloat), std::tuple(0, 4, at::kHalf), std::tuple(301, 3, at::kFloat)}) {
        at::manual_seed(8);
        const Tensor ab = (at::randn({tokens, 2 * heads}) * 6).to(type), aLog = at::randn({heads}).to(type), dtBias = at::randn({heads}).to(type);
        if (tokens > 2) { // where softplus is its argument, and where it vanishes
            ab[1].fill_(90);
            ab[2].fill_(-90);
        }
        const Tensor g = unwritten({tokens, heads}, at::kFloat), beta = unwritten({tokens, heads}, at::kFloat);
        const auto element = type == at::kFloat ? cuda::Element::Float32 : type == at::kHalf ? cuda::Element::Float16 : cuda::Element::BFloat16;
        const cuda::DeltaGatesProblem p{tokens, heads, element, ab.const_data_ptr(), aLog.const_data_ptr(), dtBias.const_data_ptr()};
        ASSERT_EQ(cuda::launchDeltaGates(p, g.mutable_data_ptr<float>(), beta.mutable_data_ptr<float>(), nullptr), cudaSuccess);
        const Tensor a = wide(ab.narrow(1, 0, heads)), b = wide(ab.narrow(1, heads, heads));
        EXPECT_LT(relativeError(g, -wide(aLog).exp() * (a + wide(dtBias)).exp().log1p()), 1e-6);
        EXPECT_LT(relativeError(beta, b.sigmoid()), 1e-6);
    }
}

struct MergeCase {
    std::int64_t batch, heads, length, width;
    std::vector<std::int64_t> keys; ///< of each part; of no keys the values are NaN
    at::ScalarType type = at::kBFloat16;
};

class Merge : public testing::TestWithParam<MergeCase> {};

TEST_P(Merge, IsAttentionOverTheKeysOfAllParts)
{
    const MergeCase& c = GetParam();
    at::manual_seed(7);
    std::int64_t total = 0;
    for (const std::int64_t keys : c.keys)
        total += keys;
    const Tensor scores = at::randn({c.batch, c.heads, c.length, total}, at::kDouble) * 3, values = at::randn({c.batch, c.heads, total, c.width}, at::kDouble);
    const auto attend = [&](std::int64_t begin, std::int64_t count) {
        return at::matmul(at::softmax(scores.narrow(3, begin, count), -1), values.narrow(2, begin, count));
    };
    const auto element = c.type == at::kFloat ? cuda::Element::Float32 : cuda::Element::BFloat16;
    cuda::MergeProblem p{c.batch, c.heads, c.length, c.width, element, int(c.keys.size()), {}};
    std::vector<Tensor> held;
    std::int64_t first = 0;
    for (std::size_t i = 0; i < c.keys.size(); ++i) {
        // In the order of the result or in that of the heads, and a view into something larger.
        const Tensor part = i % 2 == 0 ? at::zeros({c.batch, c.length, c.heads, c.width + 8}, c.type).narrow(3, 0, c.width).transpose(1, 2)
                                       : at::zeros({c.batch, c.heads, c.length + 1, c.width}, c.type).narrow(2, 1, c.length);
        part.copy_(c.keys[i] > 0 ? attend(first, c.keys[i]) : at::full(part.sizes(), std::numeric_limits<double>::quiet_NaN()));
        const Tensor sums = scores.narrow(3, first, c.keys[i]).logsumexp(-1).to(at::kFloat).contiguous();
        p.parts[i] = {part.const_data_ptr(), part.stride(0), part.stride(1), part.stride(2), sums.const_data_ptr<float>()};
        held.insert(held.end(), {part, sums});
        first += c.keys[i];
    }
    const Tensor expected = total > 0 ? attend(0, total).transpose(1, 2) : at::zeros({c.batch, c.length, c.heads, c.width}, at::kDouble);
    const Tensor out = unwritten(expected.sizes(), c.type);
    ASSERT_EQ(cuda::launchMerge(p, out.mutable_data_ptr(), nullptr), cudaSuccess);
    EXPECT_LT(relativeError(out, expected), c.type == at::kFloat ? 2e-6 : 1e-2);
}

INSTANTIATE_TEST_SUITE_P(Shapes, Merge,
                         testing::Values(MergeCase{2, 3, 5, 128, {4, 5}}, MergeCase{1, 1, 1, 8, {1}}, MergeCase{3, 2, 17, 64, {0, 3, 7}},
                                         MergeCase{2, 2, 0, 16, {2, 2}}, MergeCase{1, 5, 7, 40, {3, 0, 2, 1, 9, 4, 5, 6}, at::kFloat},
                                         MergeCase{2, 1, 3, 32, {0, 0}}));

TEST(MergeLimits, RefusesMorePartsThanItHolds)
{
    alignas(16) static unsigned char memory[64];
    cuda::MergeProblem p{1, 1, 1, 8, cuda::Element::BFloat16, cuda::kMaxMergedParts + 1, {}};
    EXPECT_NE(cuda::launchMerge(p, memory, nullptr), cudaSuccess);
}

} // namespace
