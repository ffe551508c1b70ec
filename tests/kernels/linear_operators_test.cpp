// The products of a decoding step through the dispatcher, with weights apart and in one storage.
#include "kernels/include/linear_operators.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "kernels/linear/composed.h"

namespace {

using at::Tensor;
namespace ops = postnas::ops;

double differenceOf(const Tensor& a, const Tensor& b)
{
    EXPECT_EQ(a.sizes(), b.sizes());
    return (a - b).abs().max().item<double>();
}

Tensor normed(const Tensor& x, const Tensor& weight, double epsilon)
{
    return x * (x.square().mean(at::IntArrayRef{-1}, true) + epsilon).rsqrt() * weight;
}

class LinearOperators : public testing::TestWithParam<bool> {
protected:
    void SetUp() override
    {
        at::manual_seed(5);
        x = at::randn({3, 24}, at::kDouble);
        norm = at::rand({24}, at::kDouble) + 0.5;
        const Tensor all = at::randn({16 + 5 + 3, 24}, at::kDouble);
        const bool joined = GetParam();
        std::int64_t row = 0;
        for (const std::int64_t rows : {16, 5, 3}) {
            weights.push_back(joined ? all.narrow(0, row, rows) : all.narrow(0, row, rows).clone());
            row += rows;
        }
    }
    Tensor x, norm;
    std::vector<Tensor> weights;
};

TEST_P(LinearOperators, EachProductIsOfTheNormedTokens)
{
    EXPECT_EQ(ops::joined(weights).defined(), GetParam());
    const Tensor bias = at::randn({5}, at::kDouble);
    const auto y = ops::tokenProducts(x, {norm, 1e-3}, {{weights[0], {}, true}, {weights[1], bias}, {weights[2], {}}});
    const Tensor in = normed(x, norm, 1e-3);
    ASSERT_EQ(y.size(), 3u);
    EXPECT_LT(differenceOf(y[0], at::silu(at::matmul(in, weights[0].t()))), 1e-12);
    EXPECT_LT(differenceOf(y[1], at::matmul(in, weights[1].t()) + bias), 1e-12);
    EXPECT_LT(differenceOf(y[2], at::matmul(in, weights[2].t())), 1e-12);
}

TEST_P(LinearOperators, WithoutNormAndBiasTheProductsAreOfTheTokensThemselves)
{
    const auto y = ops::tokenProducts(x, {}, {{weights[0], {}}, {weights[1], {}}, {weights[2], {}}});
    for (std::size_t i = 0; i < y.size(); ++i)
        EXPECT_LT(differenceOf(y[i], at::matmul(x, weights[i].t())), 1e-12);
}

TEST_P(LinearOperators, BiasesInOneStorageStayWithTheirProducts)
{
    const Tensor all = at::randn({24}, at::kDouble);
    const auto y = ops::tokenProducts(x, {}, {{weights[0], all.narrow(0, 0, 16)}, {weights[1], all.narrow(0, 16, 5)}, {weights[2], all.narrow(0, 21, 3)}});
    EXPECT_LT(differenceOf(at::cat(y, 1), at::matmul(x, at::cat(weights, 0).t()) + all), 1e-12);
}

TEST_P(LinearOperators, GatedProduct)
{
    const Tensor gate = weights[0].narrow(0, 0, 8), up = weights[0].narrow(0, 8, 8), in = normed(x, norm, 1e-3);
    const Tensor expected = at::silu(at::matmul(in, gate.t())) * at::matmul(in, up.t());
    EXPECT_LT(differenceOf(ops::gatedProduct(x, {norm, 1e-3}, gate, up), expected), 1e-12);
}

INSTANTIATE_TEST_SUITE_P(Weights, LinearOperators, testing::Bool(), [](const auto& info) { return info.param ? "together" : "apart"; });

TEST(TokenProducts, SomeStayUnrounded)
{
    at::manual_seed(7);
    const Tensor x = at::randn({2, 24}).to(at::kBFloat16), weight = at::randn({16, 24}).to(at::kBFloat16), bias = at::randn({16}).to(at::kBFloat16);
    const auto y = ops::tokenProducts(x, {}, {{weight, bias, false, true}, {weight, bias}, {weight, bias, true, true}});
    const Tensor exact = at::matmul(x.to(at::kDouble), weight.to(at::kDouble).t()) + bias.to(at::kDouble);
    EXPECT_EQ(y[0].scalar_type(), at::kFloat);
    EXPECT_EQ(y[1].scalar_type(), at::kBFloat16);
    EXPECT_EQ(y[2].scalar_type(), at::kFloat);
    EXPECT_LT(differenceOf(y[0], exact), 0.05); // the CPU rounds the product itself
    EXPECT_LT(differenceOf(y[2], at::silu(exact)), 0.05);
}

TEST(UnroundedProduct, KeepsTheTypeOfWhatNeedsNoRounding)
{
    at::manual_seed(8);
    const Tensor x = at::randn({2, 3, 8}, at::kDouble), weight = at::randn({5, 8}, at::kDouble);
    EXPECT_LT(differenceOf(ops::unroundedProduct(x, weight), at::matmul(x, weight.t())), 1e-12);
    const Tensor half = ops::unroundedProduct(x.to(at::kHalf), weight.to(at::kHalf));
    EXPECT_EQ(half.scalar_type(), at::kFloat);
    EXPECT_LT(differenceOf(half, at::matmul(x, weight.t())), 0.02);
    EXPECT_EQ(ops::unroundedProduct(at::zeros({0, 8}, at::kBFloat16), weight.to(at::kBFloat16)).sizes(), at::IntArrayRef({0, 5}));
}

TEST(AddProduct, ChangesTheSumInPlace)
{
    at::manual_seed(6);
    const Tensor x = at::randn({2, 7}, at::kDouble), weight = at::randn({4, 7}, at::kDouble), bias = at::randn({4}, at::kDouble);
    Tensor sum = at::randn({2, 4}, at::kDouble);
    const Tensor before = sum.clone(), same = sum;
    ops::addProduct(sum, x, weight, std::nullopt);
    EXPECT_LT(differenceOf(same, before + at::matmul(x, weight.t())), 1e-12);
    ops::addProduct(sum, x, weight, bias);
    EXPECT_LT(differenceOf(same, before + 2 * at::matmul(x, weight.t()) + bias), 1e-12);
}

TEST(Joined, NeedsOneStorageTheOrderAndOneWidth)
{
    const Tensor all = at::randn({12, 6});
    const Tensor first = all.narrow(0, 0, 4), second = all.narrow(0, 4, 8);
    EXPECT_TRUE(at::equal(ops::joined({first, second}), all));
    EXPECT_FALSE(ops::joined({second, first}).defined());
    EXPECT_FALSE(ops::joined({first, all.narrow(0, 5, 7)}).defined());
    EXPECT_FALSE(ops::joined({first, second.clone()}).defined());
    EXPECT_FALSE(ops::joined({all.narrow(1, 0, 3), all.narrow(1, 3, 3)}).defined());
}

} // namespace
