// What is differentiated by hand, against the chains of torch functions that it stands for.
#include "core/engine/model/trained_layer.h"

#include <functional>

#include <gtest/gtest.h>

#include "core/engine/model/functional.h"
#include "kernels/include/training_operators.h"

namespace postnas::engine {
namespace {

/// The gradients of a sum with random factors, of what is written by hand and of the chain that it stands for.
void expectSameGradients(const std::function<std::vector<torch::Tensor>(const std::vector<torch::Tensor>&)>& byHand,
                         const std::function<std::vector<torch::Tensor>(const std::vector<torch::Tensor>&)>& chain, std::vector<torch::Tensor> inputs)
{
    for (torch::Tensor& input : inputs)
        input.requires_grad_();
    const std::vector<torch::Tensor> actual = byHand(inputs), expected = chain(inputs);
    ASSERT_EQ(actual.size(), expected.size());
    torch::Tensor actualSum = torch::zeros({}, torch::kFloat64), expectedSum = actualSum;
    for (std::size_t i = 0; i < actual.size(); ++i) {
        EXPECT_LT((actual[i] - expected[i]).abs().max().item<double>(), 1e-12);
        const torch::Tensor factors = torch::randn_like(actual[i]);
        actualSum = actualSum + (actual[i] * factors).sum();
        expectedSum = expectedSum + (expected[i] * factors).sum();
    }
    const auto found = torch::autograd::grad({actualSum}, inputs), wanted = torch::autograd::grad({expectedSum}, inputs);
    for (std::size_t i = 0; i < inputs.size(); ++i)
        EXPECT_LT((found[i] - wanted[i]).abs().max().item<double>(), 1e-10) << "input " << i;
}

torch::Tensor random(at::IntArrayRef shape) { return torch::randn(shape, torch::kFloat64); }

TEST(TrainedLayer, FeedForwardIsTheChain)
{
    torch::manual_seed(1);
    expectSameGradients([](const auto& in) { return std::vector{feedForward(in[0], in[1], in[2], in[3], in[4], 1e-3)}; },
                        [](const auto& in) {
                            const torch::Tensor normed = rmsNorm(in[0], in[1], 1e-3);
                            return std::vector{in[0] + at::linear(at::silu(at::linear(normed, in[2])) * at::linear(normed, in[3]), in[4])};
                        },
                        {random({2, 5, 8}), random({8}), random({12, 8}), random({12, 8}), random({8, 12})});
}

TEST(TrainedLayer, FrozenWeightsGetNoGradient)
{
    const torch::Tensor x = random({3, 8}).requires_grad_(), norm = random({8}), gate = random({12, 8}), up = random({12, 8}), down = random({8, 12});
    feedForward(x, norm, gate, up, down, 1e-3).sum().backward();
    EXPECT_TRUE(x.grad().defined());
    for (const torch::Tensor& weight : {norm, gate, up, down})
        EXPECT_FALSE(weight.grad().defined());
}

TEST(TrainedLayer, RotationIsTheChain)
{
    torch::manual_seed(2);
    const torch::Tensor cosine = torch::randn({5, 8}), sine = torch::randn({5, 8});
    const torch::Tensor c = torch::cat({cosine.narrow(1, 0, 4), cosine.narrow(1, 0, 4)}, 1), s = torch::cat({sine.narrow(1, 0, 4), sine.narrow(1, 0, 4)}, 1);
    expectSameGradients([&](const auto& in) {
        const auto [q, k] = rotated(in[0], in[1], c, s);
        return std::vector{q, k};
    }, [&](const auto& in) { return std::vector{applyRotary(in[0], c, s), applyRotary(in[1], c, s)}; }, {random({2, 5, 3, 8}), random({2, 5, 1, 8})});
}

TEST(TrainedLayer, ProjectionsTogetherAreThoseAlone)
{
    torch::manual_seed(3);
    expectSameGradients([](const auto& in) { return projectedTogether(in[0], {in[1], in[2]}, {in[3], torch::Tensor()}); },
                        [](const auto& in) { return std::vector{at::linear(in[0], in[1], in[3]), at::linear(in[0], in[2])}; },
                        {random({2, 3, 8}), random({4, 8}), random({6, 8}), random({4})});
}

TEST(TrainedLayer, GatedNormAndDistanceAreTheirChains)
{
    torch::manual_seed(4);
    const auto norm = [](const std::vector<torch::Tensor>& in) { return rmsNorm(in[0], in[1], 1e-3); };
    expectSameGradients([](const auto& in) { return std::vector{ops::differentiableGatedNorm(in[0], in[1], in[2], 1e-3)}; },
                        [&](const auto& in) { return std::vector{norm(in) * at::silu(in[2])}; }, {random({2, 3, 2, 8}), random({8}), random({2, 3, 2, 8})});
    expectSameGradients([](const auto& in) { return std::vector{ops::differentiableGatedNorm(in[0], in[1], std::nullopt, 1e-3)}; },
                        [&](const auto& in) { return std::vector{norm(in)}; }, {random({2, 3, 2, 8}), random({8})});
    const torch::Tensor teacher = random({6, 8}), valid = torch::arange(6) < 4;
    expectSameGradients([&](const auto& in) { return std::vector{ops::relativeDistance(in[0], teacher, valid)}; },
                        [&](const auto& in) {
                            return std::vector{(in[0] - teacher).narrow(0, 0, 4).square().sum() / teacher.narrow(0, 0, 4).square().sum()};
                        },
                        {random({6, 8})});
}

} // namespace
} // namespace postnas::engine
