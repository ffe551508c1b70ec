// Packed sequences give what each sequence gives alone, forward and backward.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "kernels/include/operators.h"

namespace {

using at::Tensor;
using Tensors = std::vector<Tensor>;
using namespace postnas;

struct Case {
    std::vector<std::int64_t> starts;
    int gate; ///< 0 none, 2 per head, 3 per channel
    bool delta, state, removalKey = false;
};

class PackedRecurrence : public testing::TestWithParam<Case> {};

/// q, k, v and, where the case has them, g, beta, the states and the removal key.
Tensors inputsOf(const Case& c)
{
    at::manual_seed(5);
    const auto options = at::TensorOptions().dtype(at::kDouble);
    const std::int64_t tokens = c.starts.back(), heads = 2, key = 6, value = 5, sequences = static_cast<std::int64_t>(c.starts.size()) - 1;
    Tensor k = at::randn({tokens, heads, key}, options);
    k = k / (k.norm(2, at::IntArrayRef {-1}, true) + 1e-6);
    Tensors in = {at::randn({tokens, heads, key}, options), k, at::randn({tokens, heads, value}, options)};
    if (c.gate == 2)
        in.push_back(-at::rand({tokens, heads}, options));
    if (c.gate == 3)
        in.push_back(-at::rand({tokens, heads, key}, options));
    if (c.delta)
        in.push_back(at::rand({tokens, heads}, options));
    if (c.state)
        in.push_back(at::randn({sequences, heads, key, value}, options));
    if (c.removalKey)
        in.push_back(0.4 * at::randn({tokens, heads, key}, options));
    for (Tensor& t : in)
        t = t.detach().requires_grad_();
    return in;
}

struct Named {
    std::optional<Tensor> g, beta, state, removalKey;
};
Named optionalOf(const Case& c, const Tensors& in)
{
    std::size_t next = 3;
    Named out;
    if (c.gate)
        out.g = in[next++];
    if (c.delta)
        out.beta = in[next++];
    if (c.state)
        out.state = in[next++];
    if (c.removalKey)
        out.removalKey = in[next++];
    return out;
}

TEST_P(PackedRecurrence, IsEachSequenceAlone)
{
    const Case& c = GetParam();
    const Tensors in = inputsOf(c);
    const Named named = optionalOf(c, in);
    const auto [o, states] = ops::packedLinearRecurrence(in[0], in[1], in[2], named.g, named.beta, named.state, at::tensor(c.starts, at::kLong), 0.4,
                                                         named.removalKey);
    Tensors outputs, finals;
    for (std::size_t s = 0; s + 1 < c.starts.size(); ++s) {
        const auto rows = [&](const Tensor& t) { return t.slice(0, c.starts[s], c.starts[s + 1]).unsqueeze(0); };
        const auto maybe = [&](const std::optional<Tensor>& t) { return t ? std::optional(rows(*t)) : std::nullopt; };
        const auto at = static_cast<std::int64_t>(s);
        const auto [one, state] = ops::linearRecurrence(rows(in[0]), rows(in[1]), rows(in[2]), maybe(named.g), maybe(named.beta),
                                                        named.state ? std::optional(named.state->slice(0, at, at + 1)) : std::nullopt, 0.4,
                                                        maybe(named.removalKey));
        outputs.push_back(one.squeeze(0));
        finals.push_back(state);
    }
    const Tensor expected = at::cat(outputs, 0), expectedStates = at::cat(finals, 0);
    ASSERT_EQ(o.sizes(), expected.sizes());
    ASSERT_EQ(states.sizes(), expectedStates.sizes());
    EXPECT_TRUE(at::equal(o, expected));
    EXPECT_TRUE(at::equal(states, expectedStates));
    const Tensor weights = at::randn_like(o), stateWeights = at::randn_like(states);
    const auto gradients = [&](const Tensor& a, const Tensor& b) { return torch::autograd::grad({(a * weights).sum() + (b * stateWeights).sum()}, in); };
    const Tensors actual = gradients(o, states), wanted = gradients(expected, expectedStates);
    for (std::size_t i = 0; i < in.size(); ++i)
        EXPECT_TRUE(at::allclose(actual[i], wanted[i], 1e-12, 1e-12)) << "input " << i;
}

INSTANTIATE_TEST_SUITE_P(Cases, PackedRecurrence,
                         testing::Values(Case {{0, 7}, 2, true, true}, Case {{0, 1, 9, 9, 20}, 2, true, false}, Case {{0, 5, 6, 70}, 3, false, true},
                                         Case {{0, 0, 3, 3}, 0, true, true}, Case {{0, 4, 12}, 3, true, true}, Case {{0, 33, 40}, 0, false, false},
                                         Case {{0, 5, 5, 21}, 3, true, true, true}));

TEST(PackedRecurrence, WithoutATokenOrASequence)
{
    const auto empty = [](at::IntArrayRef shape) { return at::zeros(shape); };
    const auto [o, states] = ops::packedLinearRecurrence(empty({0, 2, 4}), empty({0, 2, 4}), empty({0, 2, 3}), std::nullopt, std::nullopt, std::nullopt,
                                                         at::zeros({1}, at::kLong), 1.0);
    EXPECT_EQ(o.sizes(), (std::vector<std::int64_t> {0, 2, 3}));
    EXPECT_EQ(states.sizes(), (std::vector<std::int64_t> {0, 2, 4, 3}));
}

TEST(PackedRecurrence, WrongStartsAreNamed)
{
    const Tensor q = at::zeros({5, 2, 4}), v = at::zeros({5, 2, 3});
    const auto call = [&](const Tensor& starts) { ops::packedLinearRecurrence(q, q, v, std::nullopt, std::nullopt, std::nullopt, starts, 1.0); };
    const auto starts = [](std::vector<std::int64_t> values) { return at::tensor(values, at::kLong); };
    EXPECT_THROW(call(starts({0, 4})), c10::Error);
    EXPECT_THROW(call(starts({1, 5})), c10::Error);
    EXPECT_THROW(call(starts({0, 4, 3, 5})), c10::Error);
    EXPECT_THROW(call(starts({0, 9, 5})), c10::Error);
    EXPECT_THROW(call(starts({})), c10::Error);
    EXPECT_THROW(call(starts({0, 5}).to(at::kInt)), c10::Error);
    EXPECT_NO_THROW(call(starts({0, 2, 5})));
}

} // namespace
