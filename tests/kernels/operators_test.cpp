// The operators against step-by-step formulas written with torch's own functions, and their gradients against both torch's
// autograd through those formulas and finite differences.
#include <cmath>
#include <random>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "kernels/include/operators.h"
#include "kernels/linear_recurrence/cpu_kernel.h"

namespace {

using at::Tensor;
using Optional = std::optional<Tensor>;
using Pair = std::tuple<Tensor, Tensor>;

struct Case {
    std::int64_t batch, length, heads, key, value;
    int gate;     ///< dimensions of g: 0 none, 3 per head, 4 per channel
    bool delta, initialState;
    double gateScale = 1.0;
    bool removalKey = false;
};

std::ostream& operator<<(std::ostream& out, const Case& c)
{
    return out << "B" << c.batch << "_T" << c.length << "_H" << c.heads << "_K" << c.key << "_V" << c.value << "_g" << c.gate
               << (c.delta ? "_delta" : "") << (c.initialState ? "_state" : "") << (c.removalKey ? "_removal" : "") << "_scale" << c.gateScale;
}

struct Inputs {
    Tensor q, k, v;
    Optional g, beta, state, removalKey;
    double scale = 0.4;

    std::vector<Tensor> tensors() const
    {
        std::vector<Tensor> out = {q, k, v};
        for (const Optional* t : {&g, &beta, &state, &removalKey})
            if (*t)
                out.push_back(**t);
        return out;
    }
};

Inputs makeInputs(const Case& c, at::ScalarType type = at::kDouble)
{
    at::manual_seed(17);
    const auto options = at::TensorOptions().dtype(at::kDouble);
    Inputs in;
    in.q = at::randn({c.batch, c.length, c.heads, c.key}, options);
    const auto unitKeys = [&] {
        const Tensor k = at::randn({c.batch, c.length, c.heads, c.key}, options);
        return k / (k.norm(2, at::IntArrayRef{-1}, true) + 1e-6);
    };
    in.k = unitKeys();
    in.v = at::randn({c.batch, c.length, c.heads, c.value}, options);
    if (c.gate == 3)
        in.g = -at::rand({c.batch, c.length, c.heads}, options) * c.gateScale;
    if (c.gate == 4)
        in.g = -at::rand({c.batch, c.length, c.heads, c.key}, options) * c.gateScale;
    if (c.delta)
        in.beta = at::rand({c.batch, c.length, c.heads}, options);
    if (c.initialState)
        in.state = at::randn({c.batch, c.heads, c.key, c.value}, options);
    if (c.removalKey)
        in.removalKey = unitKeys();
    const auto finish = [&](Tensor& t) { t = t.to(type).requires_grad_(); };
    finish(in.q);
    finish(in.k);
    finish(in.v);
    for (Optional* t : {&in.g, &in.beta, &in.state, &in.removalKey})
        if (*t)
            finish(**t);
    return in;
}

Pair operatorResult(const Inputs& in)
{
    return postnas::ops::linearRecurrence(in.q, in.k, in.v, in.g, in.beta, in.state, in.scale, in.removalKey);
}

/// The formulas of operators.h, one token at a time.
Pair stepByStep(const Inputs& in)
{
    Tensor state = in.state ? *in.state : at::zeros({in.q.size(0), in.q.size(2), in.q.size(3), in.v.size(3)}, in.v.options());
    std::vector<Tensor> outputs;
    for (std::int64_t t = 0; t < in.q.size(1); ++t) {
        const Tensor k = in.k.select(1, t).unsqueeze(-1);
        if (in.g) {
            const Tensor g = in.g->select(1, t);
            state = state * (g.dim() == 2 ? g.unsqueeze(-1) : g).unsqueeze(-1).exp();
        }
        Tensor u = in.v.select(1, t);
        if (in.beta)
            u = in.beta->select(1, t).unsqueeze(-1) * (u - (state * (in.removalKey ? in.removalKey->select(1, t).unsqueeze(-1) : k)).sum(-2));
        state = state + k * u.unsqueeze(-2);
        outputs.push_back(in.scale * (state * in.q.select(1, t).unsqueeze(-1)).sum(-2));
    }
    return {outputs.empty() ? at::zeros_like(in.v) : at::stack(outputs, 1), state};
}

/// A scalar that depends on every output with fixed random weights.
Tensor loss(const Pair& result)
{
    at::manual_seed(5);
    const auto& [o, state] = result;
    return (o * at::randn_like(o)).sum() + (state * at::randn_like(state)).sum();
}

double largestDifference(const Tensor& a, const Tensor& b)
{
    EXPECT_EQ(a.sizes(), b.sizes());
    return a.numel() == 0 ? 0.0 : (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

class Recurrence : public testing::TestWithParam<Case> {};

TEST_P(Recurrence, ForwardAndGradientsFollowTheFormula)
{
    const Inputs in = makeInputs(GetParam());
    const Pair expected = stepByStep(in), actual = operatorResult(in);
    EXPECT_LT(largestDifference(std::get<0>(actual), std::get<0>(expected)), 1e-11);
    EXPECT_LT(largestDifference(std::get<1>(actual), std::get<1>(expected)), 1e-11);
    if (in.q.numel() == 0 && !in.state)
        return; // nothing that a gradient could flow to
    const auto gradients = [&](const Pair& result) {
        return torch::autograd::grad({loss(result)}, in.tensors(), {}, std::nullopt, false, true);
    };
    const auto expectedGradients = gradients(expected), actualGradients = gradients(actual);
    for (std::size_t i = 0; i < actualGradients.size(); ++i) {
        if (!expectedGradients[i].defined()) {
            EXPECT_TRUE(!actualGradients[i].defined() || actualGradients[i].abs().sum().item<double>() == 0) << "input " << i;
            continue;
        }
        ASSERT_TRUE(actualGradients[i].defined()) << "input " << i;
        EXPECT_LT(largestDifference(actualGradients[i], expectedGradients[i]), 1e-9) << "input " << i;
    }
}

INSTANTIATE_TEST_SUITE_P(Shapes, Recurrence,
                         testing::Values(Case{2, 7, 3, 4, 5, 4, false, true}, Case{2, 7, 3, 4, 5, 4, true, true},
                                         Case{2, 9, 2, 5, 33, 3, false, false}, Case{2, 9, 2, 5, 33, 3, true, true},
                                         Case{1, 5, 1, 3, 40, 0, true, true}, Case{1, 5, 1, 3, 40, 0, false, true},
                                         Case{1, 1, 2, 8, 8, 4, true, true}, Case{1, 1, 1, 1, 1, 3, false, false},
                                         Case{2, 67, 2, 8, 8, 4, false, true}, Case{2, 67, 2, 8, 8, 3, true, true},
                                         Case{1, 131, 1, 32, 70, 4, true, false}, Case{1, 290, 1, 4, 4, 3, true, true},
                                         Case{0, 5, 2, 4, 4, 4, true, true}, Case{2, 0, 2, 4, 4, 4, false, true},
                                         Case{2, 0, 2, 4, 4, 3, true, false},
                                         // Decay that erases everything at once, and none at all.
                                         Case{1, 33, 2, 6, 6, 4, false, true, 50.0}, Case{1, 33, 2, 6, 6, 3, true, true, 50.0},
                                         Case{1, 33, 2, 6, 6, 4, true, true, 0.0},
                                         // What is removed lies along another key than what is written.
                                         Case{2, 67, 2, 8, 33, 4, true, true, 1.0, true}, Case{1, 20, 2, 5, 6, 3, true, false, 1.0, true},
                                         Case{1, 9, 1, 3, 40, 0, true, true, 1.0, true}, Case{2, 0, 2, 4, 4, 4, true, true, 1.0, true}));

class RecurrenceDifferences : public testing::TestWithParam<Case> {};

TEST_P(RecurrenceDifferences, GradientsAreTheSlopes)
{
    const Inputs in = makeInputs(GetParam());
    const auto gradients = torch::autograd::grad({loss(operatorResult(in))}, in.tensors());
    std::mt19937 random(3);
    const auto tensors = in.tensors();
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        const Tensor flat = tensors[i].detach().view(-1);
        for (int sample = 0; sample < 12; ++sample) {
            const auto at = static_cast<std::int64_t>(random() % static_cast<unsigned>(flat.numel()));
            const double original = flat[at].item<double>(), step = 1e-5;
            const auto lossAt = [&](double x) {
                flat[at].fill_(x);
                return loss(operatorResult(in)).item<double>();
            };
            const double slope = (lossAt(original + step) - lossAt(original - step)) / (2 * step);
            flat[at].fill_(original);
            EXPECT_NEAR(gradients[i].reshape(-1)[at].item<double>(), slope, 1e-7 * std::max(1.0, std::abs(slope)))
                << "input " << i << " element " << at;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Shapes, RecurrenceDifferences,
                         testing::Values(Case{2, 19, 2, 4, 5, 4, false, true}, Case{2, 19, 2, 4, 5, 3, true, true},
                                         Case{1, 6, 2, 3, 3, 4, true, true}, Case{1, 6, 2, 3, 3, 0, true, true},
                                         Case{1, 6, 2, 3, 3, 4, true, true, 1.0, true}));

TEST(Operators, NamedOnesAreInstances)
{
    const Inputs gla = makeInputs({2, 20, 2, 8, 12, 4, false, true});
    const auto [o, s] = postnas::ops::gatedLinearAttention(gla.q, gla.k, gla.v, *gla.g, gla.state, gla.scale);
    EXPECT_LT(largestDifference(o, std::get<0>(stepByStep(gla))), 1e-11);
    const Inputs gdr = makeInputs({2, 20, 2, 8, 12, 3, true, true});
    const auto [o2, s2] = postnas::ops::gatedDeltaRule(gdr.q, gdr.k, gdr.v, *gdr.g, *gdr.beta, gdr.state, gdr.scale);
    EXPECT_LT(largestDifference(o2, std::get<0>(stepByStep(gdr))), 1e-11);
    EXPECT_LT(largestDifference(s2, std::get<1>(stepByStep(gdr))), 1e-11);
}

/// The transition as a matrix, diag(exp(w)) - (a kappa) kappa^T.
Pair rwkv7StepByStep(const std::vector<Tensor>& in, double scale)
{
    const auto [r, w, k, v, kappa, a] = std::tie(in[0], in[1], in[2], in[3], in[4], in[5]);
    Tensor state = in[6];
    std::vector<Tensor> outputs;
    for (std::int64_t t = 0; t < r.size(1); ++t) {
        const auto at = [t](const Tensor& x) { return x.select(1, t); };
        const Tensor transition = at::diag_embed(at(w).exp()) - (at(a) * at(kappa)).unsqueeze(-1) * at(kappa).unsqueeze(-2);
        state = at::matmul(transition, state) + at(k).unsqueeze(-1) * at(v).unsqueeze(-2);
        outputs.push_back(scale * (state * at(r).unsqueeze(-1)).sum(-2));
    }
    return {outputs.empty() ? at::zeros_like(v) : at::stack(outputs, 1), state};
}

TEST(Operators, Rwkv7FollowsItsTransition)
{
    for (const std::int64_t length : {0, 1, 40}) {
        at::manual_seed(29);
        const auto options = at::TensorOptions().dtype(at::kDouble);
        const auto normal = [&](std::int64_t width) { return at::randn({2, length, 3, width}, options); };
        const Tensor kappa = normal(8);
        std::vector<Tensor> in = {normal(8), -0.607 * at::rand({2, length, 3, 8}, options), normal(8), normal(5),
                                  kappa / (kappa.norm(2, at::IntArrayRef{-1}, true) + 1e-6), at::rand({2, length, 3, 8}, options),
                                  at::randn({2, 3, 8, 5}, options)};
        for (Tensor& t : in)
            t.requires_grad_();
        const Pair expected = rwkv7StepByStep(in, 0.4), actual = postnas::ops::rwkv7(in[0], in[1], in[2], in[3], in[4], in[5], in[6], 0.4);
        EXPECT_LT(largestDifference(std::get<0>(actual), std::get<0>(expected)), 1e-11);
        EXPECT_LT(largestDifference(std::get<1>(actual), std::get<1>(expected)), 1e-11);
        const auto gradients = [&](const Pair& result) { return torch::autograd::grad({loss(result)}, in, {}, std::nullopt, false, true); };
        const auto wanted = gradients(expected), found = gradients(actual);
        for (std::size_t i = 0; i < in.size(); ++i)
            if (length > 0) {
                EXPECT_LT(largestDifference(found[i], wanted[i]), 1e-9) << "input " << i;
            }
    }
}

TEST(Operators, StateCarriesAcrossAnyCut)
{
    Inputs in = makeInputs({2, 50, 2, 16, 24, 4, true, false}, at::kFloat);
    const auto [whole, wholeState] = operatorResult(in);
    for (const std::int64_t cut : {1, 17, 49}) {
        Inputs first = in, second = in;
        const auto part = [&](const Tensor& t, std::int64_t from, std::int64_t to) { return t.slice(1, from, to); };
        for (auto* t : {&first.q, &first.k, &first.v, &*first.g, &*first.beta})
            *t = part(*t, 0, cut);
        for (auto* t : {&second.q, &second.k, &second.v, &*second.g, &*second.beta})
            *t = part(*t, cut, 50);
        const auto [o1, s1] = operatorResult(first);
        second.state = s1;
        const auto [o2, s2] = operatorResult(second);
        EXPECT_LT(largestDifference(at::cat({o1, o2}, 1), whole), 1e-5);
        EXPECT_LT(largestDifference(s2, wholeState), 1e-5);
    }
}

TEST(Operators, HalfPrecisionInputsComputeInFloat32)
{
    const Inputs in = makeInputs({2, 40, 2, 16, 16, 4, true, true}, at::kBFloat16);
    const auto [o, state] = operatorResult(in);
    EXPECT_EQ(o.scalar_type(), at::kBFloat16);
    EXPECT_EQ(state.scalar_type(), at::kFloat);
    Inputs exact = in;
    for (auto* t : {&exact.q, &exact.k, &exact.v, &*exact.g, &*exact.beta, &*exact.state})
        *t = t->detach().to(at::kDouble);
    EXPECT_LT(largestDifference(state, std::get<1>(stepByStep(exact))), 1e-5);
    const auto gradients = torch::autograd::grad({loss({o.to(at::kFloat), state})}, in.tensors());
    for (const Tensor& g : gradients)
        EXPECT_EQ(g.scalar_type(), at::kBFloat16);
}

TEST(Operators, NumberOfThreadsChangesNoDigit)
{
    const Inputs in = makeInputs({3, 100, 3, 16, 48, 4, true, true}, at::kFloat);
    const auto run = [&] {
        auto out = torch::autograd::grad({loss(operatorResult(in))}, in.tensors());
        out.push_back(std::get<0>(operatorResult(in)));
        return out;
    };
    const int threads = at::get_num_threads();
    at::set_num_threads(1);
    const auto one = run();
    at::set_num_threads(4);
    const auto four = run();
    at::set_num_threads(threads);
    for (std::size_t i = 0; i < one.size(); ++i)
        EXPECT_TRUE(at::equal(one[i], four[i])) << i;
}

TEST(Operators, EveryInstructionSetAgrees)
{
    using namespace postnas::ops::cpu;
    const Inputs in = makeInputs({2, 37, 2, 12, 45, 4, true, true}, at::kFloat);
    RecurrenceInputs<float> raw{2, 37, 2, 12, 45, Decay::PerChannel};
    const Tensor decay = in.g->detach().exp();
    raw.q = in.q.const_data_ptr<float>();
    raw.k = in.k.const_data_ptr<float>();
    raw.v = in.v.const_data_ptr<float>();
    raw.decay = decay.const_data_ptr<float>();
    raw.beta = in.beta->const_data_ptr<float>();
    raw.initialState = in.state->const_data_ptr<float>();
    const auto run = [&](VectorLevel level) {
        std::vector<Tensor> out = {at::zeros_like(in.v), at::zeros_like(*in.state)};
        recurrenceForward(raw, {out[0].mutable_data_ptr<float>(), out[1].mutable_data_ptr<float>()}, 0, forwardItems(raw), level);
        for (const Tensor& t : in.tensors())
            out.push_back(at::zeros_like(t));
        const Tensor ones = at::ones_like(in.v);
        RecurrenceGradients<float> grad{ones.const_data_ptr<float>(), nullptr};
        grad.q = out[2].mutable_data_ptr<float>();
        grad.k = out[3].mutable_data_ptr<float>();
        grad.v = out[4].mutable_data_ptr<float>();
        grad.g = out[5].mutable_data_ptr<float>();
        grad.beta = out[6].mutable_data_ptr<float>();
        grad.initialState = out[7].mutable_data_ptr<float>();
        recurrenceBackward(raw, grad, 0, raw.batch * raw.heads, level);
        return out;
    };
    const auto expected = run(VectorLevel::Baseline);
    EXPECT_GT(expected[0].detach().abs().sum().item<float>(), 0.f);
    for (const VectorLevel level : {VectorLevel::Avx2, VectorLevel::Avx512}) {
        if (level > bestVectorLevel())
            continue;
        const auto actual = run(level);
        for (std::size_t i = 0; i < actual.size(); ++i)
            EXPECT_LT(largestDifference(actual[i], expected[i]), 2e-4) << "level " << int(level) << " tensor " << i;
    }
}

TEST(Operators, WrongShapesAreNamed)
{
    const Inputs in = makeInputs({2, 4, 2, 3, 3, 4, true, true});
    const auto message = [](const auto& call) -> std::string {
        try {
            call();
        } catch (const c10::Error& e) {
            return e.what_without_backtrace();
        }
        return "";
    };
    using testing::HasSubstr;
    EXPECT_THAT(message([&] { postnas::ops::linearRecurrence(in.q, in.k.slice(1, 0, 3), in.v, in.g, in.beta, in.state, 1); }),
                HasSubstr("k has shape"));
    EXPECT_THAT(message([&] { postnas::ops::linearRecurrence(in.q, in.k, in.v, in.g->select(0, 0), in.beta, in.state, 1); }),
                HasSubstr("g must be"));
    EXPECT_THAT(message([&] { postnas::ops::linearRecurrence(in.q, in.k, in.v, in.g, in.g, in.state, 1); }), HasSubstr("beta must be"));
    EXPECT_THAT(message([&] { postnas::ops::linearRecurrence(in.q, in.k, in.v, in.g, in.beta, in.v, 1); }), HasSubstr("initial state"));
    EXPECT_THAT(message([&] { postnas::ops::linearRecurrence(in.q, in.k, in.v, in.g, in.beta, in.state, 1, in.q.slice(1, 0, 3)); }),
                HasSubstr("the removal key has shape"));
    EXPECT_THAT(message([&] { postnas::ops::linearRecurrence(in.q, in.k, in.v, in.g, std::nullopt, in.state, 1, in.k); }),
                HasSubstr("there is no beta"));
    EXPECT_THAT(message([&] { postnas::ops::rwkv7(in.q, *in.g, in.k, in.v, in.k, in.q.slice(1, 0, 3), in.state, 1); }),
                HasSubstr("rwkv7: a has shape"));
    EXPECT_THAT(message([&] { postnas::ops::shortConvolution(at::zeros({1, 2, 3}), at::zeros({4, 2}), {}); }), HasSubstr("kernels"));
    EXPECT_THAT(message([&] { postnas::ops::shortConvolution(at::zeros({1, 2, 3}), at::zeros({3, 4}), at::zeros({1, 2, 3})); }),
                HasSubstr("history"));
}

// Convolutions -----------------------------------------------------------------------------------------------------------

struct ConvolutionCase {
    std::int64_t batch, length, channels, taps;
    bool perToken, history;
};

std::ostream& operator<<(std::ostream& out, const ConvolutionCase& c)
{
    return out << "B" << c.batch << "_T" << c.length << "_C" << c.channels << "_W" << c.taps << (c.perToken ? "_dynamic" : "_short")
               << (c.history ? "_history" : "");
}

class Convolution : public testing::TestWithParam<ConvolutionCase> {};

TEST_P(Convolution, ForwardAndGradientsFollowTheFormula)
{
    const ConvolutionCase c = GetParam();
    at::manual_seed(23);
    const auto options = at::TensorOptions().dtype(at::kDouble);
    std::vector<Tensor> in = {at::randn({c.batch, c.length, c.channels}, options).requires_grad_(),
                              (c.perToken ? at::randn({c.batch, c.length, c.channels, c.taps}, options) : at::randn({c.channels, c.taps}, options))
                                  .requires_grad_()};
    Optional history;
    if (c.history) {
        history = at::randn({c.batch, c.taps - 1, c.channels}, options).requires_grad_();
        in.push_back(*history);
    }
    const Tensor before = history ? *history : at::zeros({c.batch, c.taps - 1, c.channels}, options);
    const Tensor padded = at::cat({before, in[0]}, 1);
    Tensor expected = at::zeros_like(in[0]);
    for (std::int64_t w = 0; w < c.taps; ++w)
        expected = expected + in[1].select(-1, w) * padded.slice(1, w, w + c.length);
    const Tensor actual = c.perToken ? postnas::ops::dynamicConvolution(in[0], in[1], history) : postnas::ops::shortConvolution(in[0], in[1], history);
    EXPECT_LT(largestDifference(actual, expected), 1e-12);
    const auto gradients = [&](const Tensor& y) {
        at::manual_seed(29);
        return torch::autograd::grad({(y * at::randn_like(y)).sum()}, in, {}, std::nullopt, false, true);
    };
    const auto a = gradients(actual), e = gradients(expected);
    for (std::size_t i = 0; i < in.size(); ++i)
        EXPECT_LT(largestDifference(a[i], e[i].defined() ? e[i] : at::zeros_like(in[i])), 1e-11) << "input " << i;
}

INSTANTIATE_TEST_SUITE_P(Shapes, Convolution,
                         testing::Values(ConvolutionCase{2, 9, 5, 4, true, true}, ConvolutionCase{2, 9, 5, 4, false, true},
                                         ConvolutionCase{2, 2, 67, 4, true, false}, ConvolutionCase{2, 2, 67, 4, false, false},
                                         ConvolutionCase{1, 1, 16, 4, true, true}, ConvolutionCase{1, 20, 33, 7, true, true},
                                         ConvolutionCase{3, 20, 33, 3, false, true}, ConvolutionCase{2, 6, 4, 1, true, true},
                                         ConvolutionCase{2, 6, 4, 1, false, false}, ConvolutionCase{0, 6, 4, 4, true, true},
                                         ConvolutionCase{2, 0, 4, 4, true, true}, ConvolutionCase{2, 0, 4, 4, false, true}));

TEST(Operators, GradientsFlowThroughOutputOrStateAlone)
{
    const Inputs in = makeInputs({1, 12, 2, 4, 6, 3, true, true});
    for (const int which : {0, 1}) {
        const auto part = [&](const Pair& p) { return which == 0 ? std::get<0>(p).sum() : std::get<1>(p).sum(); };
        const auto expected = torch::autograd::grad({part(stepByStep(in))}, in.tensors(), {}, std::nullopt, false, true);
        const auto actual = torch::autograd::grad({part(operatorResult(in))}, in.tensors(), {}, std::nullopt, false, true);
        for (std::size_t i = 0; i < actual.size(); ++i)
            EXPECT_LT(largestDifference(actual[i], expected[i].defined() ? expected[i] : at::zeros_like(actual[i])), 1e-10) << i;
    }
}

} // namespace
