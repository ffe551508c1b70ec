// Passes without gradient go through fused operators: they give the numbers of the differentiable passes, whole and in pieces.
#include "core/engine/model/hybrid_model.h"

#include <gtest/gtest.h>

#include "core/engine/model/functional.h"
#include "tests/engine/small_architecture.h"

namespace postnas::engine {
namespace {

using torch::Tensor;

class Prefill : public testing::TestWithParam<std::tuple<std::string, bool>> {};

TEST_P(Prefill, WithoutGradientTheNumbersAreTheSame)
{
    const auto& [block, queryKeyNorm] = GetParam();
    const auto model = HybridModel::random(architectureWith(block, queryKeyNorm), 5, torch::kCPU, torch::kFloat32);
    torch::manual_seed(2);
    const Tensor ids = torch::randint(61, {3, 29});
    std::vector<Tensor> layers, fusedLayers;
    const Tensor expected = model->forward(ids, nullptr, [&](int, const Tensor& out) { layers.push_back(out); });
    const torch::NoGradGuard guard;
    const Tensor actual = model->forward(ids, nullptr, [&](int, const Tensor& out) { fusedLayers.push_back(out); });
    EXPECT_LT((actual - expected).abs().max().item<double>(), 1e-5);
    ASSERT_EQ(fusedLayers.size(), layers.size());
    for (std::size_t i = 0; i < layers.size(); ++i)
        EXPECT_LT((fusedLayers[i] - layers[i]).abs().max().item<double>(), 1e-5) << "layer " << i;

    // Pieces shorter and longer than the window of 5 and the taps of a convolution, and one of a single token.
    ModelState state = model->makeState(3, 29);
    std::vector<Tensor> parts;
    std::int64_t at = 0;
    for (const std::int64_t length : {2, 1, 11, 4, 11})
        parts.push_back(model->extend(ids.narrow(1, std::exchange(at, at + length), length), state));
    ASSERT_EQ(at, 29);
    EXPECT_LT((torch::cat(parts, 1) - expected).abs().max().item<double>(), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(All, Prefill,
                         testing::Combine(testing::Values("attention", "sliding_window", "gla", "gated_delta_net", "jet"), testing::Bool()));

TEST(ContinuedAttention, SeesTheKeysBeforeAndNoLaterOnes)
{
    const torch::NoGradGuard guard;
    torch::manual_seed(4);
    const Tensor query = torch::randn({2, 6, 9, 8}), key = torch::randn({2, 3, 30, 8}), value = torch::randn({2, 3, 30, 8});
    for (const std::int64_t length : {1, 4, 9})
        for (const std::int64_t before : {0, 1, 21}) {
            const Tensor q = query.narrow(2, 0, length), k = key.narrow(2, 0, before + length), v = value.narrow(2, 0, before + length);
            const Tensor scores = torch::matmul(q, k.repeat_interleave(2, 1).transpose(2, 3)) / std::sqrt(8.0);
            const Tensor seen = torch::ones({length, before + length}, torch::kBool).tril(before);
            const Tensor expected = torch::matmul(torch::softmax(scores.masked_fill(seen.logical_not(), -1e30), -1), v.repeat_interleave(2, 1));
            EXPECT_LT((continuedAttention(q, k, v) - expected).abs().max().item<double>(), 1e-5) << length << " after " << before;
        }
}

} // namespace
} // namespace postnas::engine
