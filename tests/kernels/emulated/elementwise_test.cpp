// RMSNorm with residual, SwiGLU and embedding, run on the CPU by kernels/emulation, against float64 arithmetic.
#include "kernels/include/elementwise_launch.h"
#include "tests/kernels/emulated/comparison.h"

namespace {

using at::Tensor;
using namespace postnas::tests;
namespace cuda = postnas::ops::cuda;

struct Shape {
    std::int64_t tokens, width;
    at::ScalarType type = at::kBFloat16;

    cuda::Element element() const
    {
        return type == at::kFloat ? cuda::Element::Float32 : type == at::kHalf ? cuda::Element::Float16 : cuda::Element::BFloat16;
    }
    double bound() const { return type == at::kFloat ? 1e-6 : type == at::kHalf ? 5e-4 : 4e-3; }
};

std::ostream& operator<<(std::ostream& out, const Shape& s) { return out << "N" << s.tokens << "_W" << s.width << "_" << at::toString(s.type); }

class Elementwise : public testing::TestWithParam<Shape> {};

TEST_P(Elementwise, NormOfTheSumWithTheResidual)
{
    const Shape& s = GetParam();
    at::manual_seed(3);
    const double epsilon = 1e-2;
    const Tensor x = at::randn({s.tokens, s.width}).to(s.type), residual = at::randn({s.tokens, s.width}).to(s.type);
    const Tensor weight = (at::rand({s.width}) + 0.5).to(s.type), normed = unwritten({s.tokens, s.width}, s.type);
    const Tensor expectedSum = (x + residual).to(s.type);
    const auto normOf = [&](const Tensor& sum) {
        return wide(sum) * (wide(sum).square().mean(at::IntArrayRef{-1}, true) + epsilon).rsqrt() * wide(weight);
    };
    cuda::ResidualNormProblem p;
    p.tokens = s.tokens;
    p.width = s.width;
    p.element = s.element();
    p.x = x.const_data_ptr();
    p.weight = weight.const_data_ptr();
    p.epsilon = float(epsilon);
    ASSERT_EQ(cuda::launchResidualNorm(p, nullptr, normed.mutable_data_ptr(), nullptr), cudaSuccess);
    EXPECT_LT(relativeError(normed, normOf(x)), s.bound());

    Tensor inPlace = residual.clone();
    p.residual = inPlace.const_data_ptr();
    ASSERT_EQ(cuda::launchResidualNorm(p, inPlace.mutable_data_ptr(), normed.mutable_data_ptr(), nullptr), cudaSuccess);
    EXPECT_TRUE(at::equal(inPlace, expectedSum));
    EXPECT_LT(relativeError(normed, normOf(expectedSum)), s.bound());
}

TEST_P(Elementwise, SwiGluOfApartAndOfOneProjection)
{
    const Shape& s = GetParam();
    at::manual_seed(4);
    const Tensor both = (at::randn({s.tokens, 2 * s.width}) * 4).to(s.type);
    if (s.tokens > 0) {
        both[0][0] = -1e4;
        both[0][1] = 1e4;
    }
    const Tensor gate = both.narrow(1, 0, s.width), up = both.narrow(1, s.width, s.width);
    const Tensor expected = wide(gate) * at::sigmoid(wide(gate)) * wide(up);
    cuda::SwiGluProblem p;
    p.tokens = s.tokens;
    p.width = s.width;
    p.element = s.element();
    p.gate = gate.const_data_ptr();
    p.up = up.const_data_ptr();
    p.gateStride = p.upStride = 2 * s.width;
    const auto check = [&] {
        const Tensor out = unwritten({s.tokens, s.width}, s.type);
        ASSERT_EQ(cuda::launchSwiGlu(p, out.mutable_data_ptr(), nullptr), cudaSuccess);
        EXPECT_LT(relativeError(out, expected), s.bound());
        // The large numbers above must not hide the others.
        const std::int64_t others = std::max<std::int64_t>(s.tokens - 1, 0), first = s.tokens - others;
        EXPECT_LT(relativeError(out.narrow(0, first, others), expected.narrow(0, first, others)), s.bound());
    };
    check();
    const Tensor gateApart = gate.contiguous(), upApart = up.contiguous();
    p.gate = gateApart.const_data_ptr();
    p.up = upApart.const_data_ptr();
    p.gateStride = p.upStride = s.width;
    check();
}

TEST_P(Elementwise, EmbeddingTakesTheRowsOfTheIds)
{
    const Shape& s = GetParam();
    at::manual_seed(5);
    const std::int64_t vocabulary = 11;
    const Tensor table = at::randn({vocabulary, s.width}).to(s.type), ids = at::randint(0, vocabulary, {s.tokens}, at::kInt);
    Tensor expected = table.index_select(0, ids);
    if (s.tokens > 2) {
        ids[0] = -1;
        ids[2] = int(vocabulary);
        expected[0].zero_();
        expected[2].zero_();
    }
    cuda::EmbeddingProblem p;
    p.tokens = s.tokens;
    p.width = s.width;
    p.vocabulary = vocabulary;
    p.element = s.element();
    p.ids = ids.const_data_ptr<std::int32_t>();
    p.table = table.const_data_ptr();
    const Tensor out = unwritten({s.tokens, s.width}, s.type);
    ASSERT_EQ(cuda::launchEmbedding(p, out.mutable_data_ptr(), nullptr), cudaSuccess);
    EXPECT_TRUE(at::equal(out, expected));
}

INSTANTIATE_TEST_SUITE_P(Shapes, Elementwise,
                         testing::Values(Shape{3, 1536}, Shape{1, 8}, Shape{2, 8192}, Shape{5, 264}, Shape{0, 64}, Shape{2, 2056}, Shape{3, 1536, at::kFloat},
                                         Shape{2, 8192, at::kFloat}, Shape{4, 320, at::kHalf}),
                         [](const auto& info) { return testing::PrintToString(info.param) + "_" + std::to_string(info.index); });

TEST(ElementwiseRefuses, WhatItsAccessesCannotTake)
{
    const Tensor x = at::zeros({4, 8200}, at::kBFloat16);
    cuda::ResidualNormProblem p;
    p.tokens = 1;
    p.x = p.weight = x.const_data_ptr();
    for (const std::int64_t width : {12, 8200, 0}) {
        p.width = width;
        EXPECT_EQ(cuda::launchResidualNorm(p, nullptr, x.mutable_data_ptr(), nullptr), cudaErrorInvalidValue) << width;
    }
    p.width = 64;
    p.x = static_cast<const char*>(x.const_data_ptr()) + 2;
    EXPECT_EQ(cuda::launchResidualNorm(p, nullptr, x.mutable_data_ptr(), nullptr), cudaErrorInvalidValue);
}

} // namespace
