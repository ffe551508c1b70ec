// The CPU references of the operators of whole sequences, called through the dispatcher, against formulas written out in float64.
#include "kernels/include/prefill_operators.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace postnas::ops {
namespace {

using at::Tensor;

Tensor random(at::IntArrayRef shape) { return at::randn(shape, at::kDouble); }
void expectClose(const Tensor& actual, const Tensor& expected) { EXPECT_LT((actual - expected).abs().max().item<double>(), 1e-12); }
Tensor siluOf(const Tensor& x) { return x / (1 + (-x).exp()); }

TEST(PrefillOperators, NormsOfHeads)
{
    const Tensor o = random({2, 5, 3, 7}), weight = random({7}), gate = random({2, 5, 3, 7});
    const Tensor norm = o / (o.square().mean(-1, true) + 1e-3).sqrt() * weight;
    expectClose(gatedNorm(o, weight, std::nullopt, 1e-3), norm);
    expectClose(gatedNorm(o, weight, gate, 1e-3), norm * siluOf(gate));
    expectClose(unitLength(o, false), o / (o.square().sum(-1, true) + 1e-6).sqrt());
    expectClose(unitLength(o, true), siluOf(o) / (siluOf(o).square().sum(-1, true) + 1e-6).sqrt());
}

TEST(PrefillOperators, ConvolutionsWithGeneratedKernels)
{
    const Tensor x = random({2, 6, 4}), hidden = random({2, 6, 3}), weight = random({12, 3}), bias = random({12}), history = random({2, 2, 4});
    const Tensor kernels = (at::matmul(hidden, weight.t()) + bias).reshape({2, 6, 4, 3}), all = at::cat({history, x}, 1);
    Tensor expected = at::zeros_like(x);
    for (std::int64_t w = 0; w < 3; ++w)
        expected += kernels.select(3, w) * all.narrow(1, w, 6);
    expectClose(generatedConvolution(x, hidden, weight, bias, history), siluOf(expected));
    expectClose(siluConvolution(x, kernels, history), siluOf(expected));
}

TEST(PrefillOperators, RotatedKeysGoToTheirSlots)
{
    const Tensor q = random({2, 3, 4, 6}), k = random({2, 3, 2, 6}), v = random({2, 3, 2, 6}), cosine = at::randn({3, 6}), sine = at::randn({3, 6});
    const auto rotated = [&](const Tensor& x) {
        const auto halves = x.chunk(2, -1);
        return x * cosine.to(at::kDouble).unsqueeze(1) + at::cat({-halves[1], halves[0]}, -1) * sine.to(at::kDouble).unsqueeze(1);
    };
    const auto [query, key] = rotate(q, k, std::nullopt, std::nullopt, 0, cosine, sine);
    expectClose(query, rotated(q));
    expectClose(key, rotated(k));
    Tensor keys = at::full({2, 2, 9, 6}, 5, at::kDouble), values = keys.clone();
    expectClose(rotateInto(q, k, v, std::nullopt, std::nullopt, 0, cosine, sine, 4, keys, values), rotated(q));
    expectClose(keys.narrow(2, 4, 3), rotated(k).transpose(1, 2));
    expectClose(values.narrow(2, 4, 3), v.transpose(1, 2));
    for (const Tensor& cache : {keys, values}) {
        EXPECT_TRUE(cache.narrow(2, 0, 4).eq(5).all().item<bool>());
        EXPECT_TRUE(cache.narrow(2, 7, 2).eq(5).all().item<bool>());
    }
}

TEST(PrefillOperators, AttentionFromItsParts)
{
    const Tensor scores = random({2, 3, 4, 9}), values = random({2, 3, 9, 5});
    std::vector<Tensor> parts, logSums;
    for (const auto& [first, count] : {std::pair(0, 4), std::pair(4, 0), std::pair(4, 5)}) {
        const Tensor some = scores.narrow(3, first, count);
        parts.push_back(count > 0 ? at::matmul(at::softmax(some, -1), values.narrow(2, first, count)) : at::full({2, 3, 4, 5}, NAN, at::kDouble));
        logSums.push_back(some.logsumexp(-1));
    }
    expectClose(mergeAttention(parts, logSums), at::matmul(at::softmax(scores, -1), values).transpose(1, 2));
}

TEST(PrefillOperators, GatesOfTheDeltaRule)
{
    const Tensor ab = random({2, 3, 8}), aLog = random({4}), dtBias = random({4});
    const auto [g, beta] = deltaGates(ab, aLog, dtBias);
    expectClose(g, -aLog.exp() * (1 + (ab.narrow(2, 0, 4) + dtBias).exp()).log());
    expectClose(beta, 1 / (1 + (-ab.narrow(2, 4, 4)).exp()));
}

} // namespace
} // namespace postnas::ops
