// The CUDA kernels, run on the CPU by kernels/emulation, against the float64 reference: what a machine without a GPU can test of them.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/include/operators.h"
#include "kernels/include/recurrence_launch.h"

namespace postnas::emulation {
extern bool warpGroups;
extern std::size_t sharedMemoryLimit; // both: kernels/emulation/cuda_emulation.h, which only kernels can include
}

namespace {

using at::Tensor;
using Optional = std::optional<Tensor>;
namespace cuda = postnas::ops::cuda;

struct Case {
    std::int64_t batch, length, heads, key, value;
    int gate; ///< dimensions of g: 0 none, 3 per head, 4 per channel
    bool delta, initialState;
    double gateScale = 0.1;
    std::vector<std::int64_t> starts = {}; ///< packed sequences
    bool removalKey = false;
};

std::ostream& operator<<(std::ostream& out, const Case& c)
{
    return out << "B" << c.batch << "_T" << c.length << "_H" << c.heads << "_K" << c.key << "_V" << c.value << "_g" << c.gate
               << (c.delta ? "_delta" : "") << (c.initialState ? "_state" : "") << (c.starts.empty() ? "" : "_packed")
               << (c.removalKey ? "_removal" : "") << (c.gateScale > 1 ? "_strong" : "");
}

/// Inputs rounded to bfloat16 once, so that kernel and reference start from the same numbers.
struct Inputs {
    Tensor q, k, v;
    Optional g, beta, state;
    Tensor starts;
    double scale = 0.3;
    Optional removalKey = {};
};

Inputs makeInputs(const Case& c)
{
    at::manual_seed(23);
    const auto rounded = [](const Tensor& t) { return t.to(at::kBFloat16); };
    Inputs in;
    in.q = rounded(at::randn({c.batch, c.length, c.heads, c.key}));
    const auto unitKeys = [&] {
        const Tensor k = at::randn({c.batch, c.length, c.heads, c.key});
        return rounded(k / (k.norm(2, at::IntArrayRef{-1}, true) + 1e-6));
    };
    in.k = unitKeys();
    in.v = rounded(at::randn({c.batch, c.length, c.heads, c.value}));
    if (c.gate == 3)
        in.g = -at::rand({c.batch, c.length, c.heads}) * c.gateScale;
    if (c.gate == 4)
        in.g = -at::rand({c.batch, c.length, c.heads, c.key}) * c.gateScale;
    if (c.delta)
        in.beta = (at::rand({c.batch, c.length, c.heads}) * 1.2 - 0.2).clamp_min(0); // some tokens write nothing
    const std::int64_t sequences = c.starts.empty() ? c.batch : std::int64_t(c.starts.size()) - 1;
    if (c.initialState)
        in.state = at::randn({sequences, c.heads, c.key, c.value});
    if (!c.starts.empty())
        in.starts = at::tensor(c.starts, at::kLong);
    if (c.removalKey)
        in.removalKey = unitKeys();
    return in;
}

/// The reference in float64, sequence by sequence.
std::tuple<Tensor, Tensor> reference(const Inputs& in)
{
    const auto wide = [](const Tensor& t) { return t.to(at::kDouble); };
    const auto part = [&](const Tensor& q, const Tensor& k, const Tensor& v, const Optional& g, const Optional& beta, const Optional& state,
                          const Optional& removalKey) {
        return postnas::ops::linearRecurrence(wide(q), wide(k), wide(v), g ? Optional(wide(*g)) : g, beta ? Optional(wide(*beta)) : beta,
                                              state ? Optional(wide(*state)) : state, in.scale,
                                              removalKey ? Optional(wide(*removalKey)) : removalKey);
    };
    if (!in.starts.defined())
        return part(in.q, in.k, in.v, in.g, in.beta, in.state, in.removalKey);
    std::vector<Tensor> outputs, states;
    for (std::int64_t s = 0; s + 1 < in.starts.size(0); ++s) {
        const std::int64_t first = in.starts[s].item<std::int64_t>(), length = in.starts[s + 1].item<std::int64_t>() - first;
        const auto cut = [&](const Tensor& t) { return t.narrow(1, first, length); };
        const auto [o, state] = part(cut(in.q), cut(in.k), cut(in.v), in.g ? Optional(cut(*in.g)) : in.g, in.beta ? Optional(cut(*in.beta)) : in.beta,
                                     in.state ? Optional(in.state->narrow(0, s, 1)) : in.state,
                                     in.removalKey ? Optional(cut(*in.removalKey)) : in.removalKey);
        outputs.push_back(o);
        states.push_back(state);
    }
    return {at::cat(outputs, 1), at::cat(states)};
}

cuda::RecurrenceProblem problemOf(const Inputs& in)
{
    cuda::RecurrenceProblem p;
    p.batch = in.q.size(0);
    p.length = in.q.size(1);
    p.heads = in.q.size(2);
    p.keyDim = in.q.size(3);
    p.valueDim = in.v.size(3);
    p.element = cuda::Element::BFloat16;
    p.q = in.q.const_data_ptr();
    p.k = in.k.const_data_ptr();
    p.v = in.v.const_data_ptr();
    p.g = in.g ? in.g->const_data_ptr<float>() : nullptr;
    p.gatePerChannel = in.g && in.g->dim() == 4;
    p.beta = in.beta ? in.beta->const_data_ptr<float>() : nullptr;
    p.initialState = in.state ? in.state->const_data_ptr<float>() : nullptr;
    p.removalKey = in.removalKey ? in.removalKey->const_data_ptr() : nullptr;
    p.scale = float(in.scale);
    if (in.starts.defined()) {
        p.starts = in.starts.const_data_ptr<std::int64_t>();
        p.sequences = in.starts.size(0) - 1;
    }
    return p;
}

/// The largest difference relative to the largest number of the reference.
double relativeError(const Tensor& actual, const Tensor& expected)
{
    EXPECT_EQ(actual.sizes(), expected.sizes());
    if (expected.numel() == 0)
        return 0;
    const Tensor wide = actual.to(at::kDouble);
    EXPECT_TRUE(at::isfinite(wide).all().item<bool>());
    return ((wide - expected).abs().max() / (expected.abs().max() + 1e-12)).item<double>();
}

class ChunkedRecurrence : public testing::TestWithParam<Case> {};

void expectForward(const Case& shape)
{
    const Inputs in = makeInputs(shape);
    const cuda::RecurrenceProblem p = problemOf(in);
    ASSERT_TRUE(cuda::chunkedCanTake(p));
    const auto [expected, expectedState] = reference(in);
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const Tensor o = at::full({p.batch, p.length, p.heads, p.valueDim}, nan, at::kBFloat16), state = at::full(expectedState.sizes(), nan, at::kFloat);
    const Tensor workspace = at::full({std::int64_t(cuda::chunkedForwardWorkspace(p) / 4)}, nan, at::kFloat);
    ASSERT_EQ(cuda::launchChunkedForward(p, o.mutable_data_ptr(), state.mutable_data_ptr<float>(), workspace.mutable_data_ptr(), nullptr), cudaSuccess);
    EXPECT_LT(relativeError(o, expected), 1e-2);
    EXPECT_LT(relativeError(state, expectedState), 1e-2);
}

TEST_P(ChunkedRecurrence, ForwardFollowsTheReference) { expectForward(GetParam()); }

TEST_P(ChunkedRecurrence, ForwardFollowsTheReferenceWithoutProductsOfFourWarps)
{
    postnas::emulation::warpGroups = false;
    expectForward(GetParam());
    postnas::emulation::warpGroups = true;
}

TEST_P(ChunkedRecurrence, GradientsFollowTheReference)
{
    const Inputs in = makeInputs(GetParam());
    const cuda::RecurrenceProblem p = problemOf(in);
    const auto wide = [](const Tensor& t) { return t.to(at::kDouble).requires_grad_(); };
    const auto wideOrNone = [&](const Optional& t) { return t ? Optional(wide(*t)) : t; };
    const Inputs leaves{wide(in.q), wide(in.k), wide(in.v), wideOrNone(in.g), wideOrNone(in.beta), wideOrNone(in.state), in.starts, in.scale,
                        wideOrNone(in.removalKey)};
    const auto [o, state] = reference(leaves);
    const Tensor gradO = at::randn_like(o).to(at::kBFloat16), gradState = at::randn_like(state).to(at::kFloat);
    if (o.numel() + state.numel() > 0)
        ((o * gradO.to(at::kDouble)).sum() + (state * gradState.to(at::kDouble)).sum()).backward();

    const float nan = std::numeric_limits<float>::quiet_NaN();
    const auto room = [&](const Optional& t) { return t ? at::full_like(*t, nan) : Tensor(); };
    const auto pointer = [](const Tensor& t) { return t.defined() ? t.mutable_data_ptr<float>() : nullptr; };
    const Tensor q = room(in.q), k = room(in.k), v = room(in.v), g = room(in.g), beta = room(in.beta), initial = room(in.state),
                 removalKey = room(in.removalKey);
    const cuda::ChunkedGradients out{gradO.const_data_ptr(), gradState.const_data_ptr<float>(), q.mutable_data_ptr(), k.mutable_data_ptr(),
                                     v.mutable_data_ptr(), pointer(g), pointer(beta), pointer(initial),
                                     removalKey.defined() ? removalKey.mutable_data_ptr() : nullptr};
    const Tensor workspace = at::full({std::int64_t(cuda::chunkedBackwardWorkspace(p) / 4)}, nan, at::kFloat);
    ASSERT_EQ(cuda::launchChunkedBackward(p, out, workspace.mutable_data_ptr(), nullptr), cudaSuccess);
    const auto expect = [](const char* name, const Tensor& actual, const Optional& leaf) {
        if (leaf) {
            EXPECT_LT(relativeError(actual, leaf->grad().defined() ? leaf->grad() : at::zeros_like(*leaf)), 2e-2) << name;
        }
    };
    expect("q", q, leaves.q);
    expect("k", k, leaves.k);
    expect("v", v, leaves.v);
    expect("g", g, leaves.g);
    expect("beta", beta, leaves.beta);
    expect("initial state", initial, leaves.state);
    expect("removal key", removalKey, leaves.removalKey);
}

TEST(ChunkedRecurrenceFits, FollowsTheDevicesSharedMemory)
{
    const auto fits = [](std::int64_t key, bool delta, bool backward) {
        const Inputs in = makeInputs({1, 64, 1, key, 16, 4, delta, false});
        return cuda::chunkedFits(problemOf(in), backward);
    };
    EXPECT_TRUE(fits(128, true, true));
    postnas::emulation::warpGroups = false;
    postnas::emulation::sharedMemoryLimit = 99 * 1024; // compute capability 8.6 and 8.9
    EXPECT_TRUE(fits(64, false, false));
    EXPECT_TRUE(fits(64, false, true));
    EXPECT_TRUE(fits(128, false, false));
    EXPECT_FALSE(fits(128, false, true));
    EXPECT_FALSE(fits(128, true, true));
    postnas::emulation::sharedMemoryLimit = 1024;
    const Inputs in = makeInputs({1, 64, 1, 64, 16, 4, false, false});
    EXPECT_EQ(cuda::launchChunkedForward(problemOf(in), nullptr, nullptr, nullptr, nullptr), cudaErrorInvalidValue);
    postnas::emulation::sharedMemoryLimit = 227 * 1024;
    postnas::emulation::warpGroups = true;
    EXPECT_TRUE(fits(128, false, true));
}

struct Rwkv7Case {
    std::int64_t batch, length, heads, key, value;
    double decay;
};

class ChunkedRwkv7 : public testing::TestWithParam<Rwkv7Case> {};

TEST_P(ChunkedRwkv7, FollowsTheReference)
{
    const Rwkv7Case c = GetParam();
    at::manual_seed(31);
    const auto rounded = [](const Tensor& t) { return t.to(at::kBFloat16); };
    const std::vector<std::int64_t> keys = {c.batch, c.length, c.heads, c.key};
    const Tensor direction = at::randn(keys), r = rounded(at::randn(keys)), k = rounded(at::randn(keys)), a = rounded(at::rand(keys)),
                 kappa = rounded(direction / direction.norm(2, at::IntArrayRef{-1}, true)), w = -c.decay * at::rand(keys),
                 v = rounded(at::randn({c.batch, c.length, c.heads, c.value})), state = at::randn({c.batch, c.heads, c.key, c.value});
    std::vector<Tensor> leaves;
    for (const Tensor& t : {r, w, k, v, kappa, a, state})
        leaves.push_back(t.to(at::kDouble).requires_grad_());
    const auto [expected, expectedState] = postnas::ops::rwkv7(leaves[0], leaves[1], leaves[2], leaves[3], leaves[4], leaves[5], leaves[6], 0.3);
    const Tensor gradO = rounded(at::randn_like(expected)), gradState = at::randn_like(state);
    ((expected * gradO.to(at::kDouble)).sum() + (expectedState * gradState.to(at::kDouble)).sum()).backward();

    const auto both = [](const Tensor& t) { return at::stack({at::zeros_like(t), t}, 2).flatten(1, 2); };
    const auto second = [](const Tensor& t) { return t.unflatten(1, {t.size(1) / 2, 2}).select(2, 1); };
    const Tensor values = both(v), upstream = both(gradO), beta = at::ones({c.batch, 2 * c.length, c.heads});
    cuda::RecurrenceProblem p;
    p.batch = c.batch;
    p.length = 2 * c.length;
    p.heads = c.heads;
    p.keyDim = c.key;
    p.valueDim = c.value;
    p.element = cuda::Element::BFloat16;
    p.q = r.const_data_ptr();
    p.k = k.const_data_ptr();
    p.v = values.const_data_ptr();
    p.g = w.const_data_ptr<float>();
    p.gatePerChannel = true;
    p.beta = beta.const_data_ptr<float>();
    p.initialState = state.const_data_ptr<float>();
    p.removalKey = kappa.const_data_ptr();
    p.removalRate = a.const_data_ptr();
    p.scale = 0.3f;
    ASSERT_TRUE(cuda::chunkedCanTake(p));
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const auto room = [&](const Tensor& t) { return at::full_like(t, nan); };
    const Tensor o = room(values), finalState = room(state),
                 workspace = at::full({std::int64_t(cuda::chunkedBackwardWorkspace(p) / 4)}, nan, at::kFloat);
    ASSERT_EQ(cuda::launchChunkedForward(p, o.mutable_data_ptr(), finalState.mutable_data_ptr<float>(), workspace.mutable_data_ptr(), nullptr),
              cudaSuccess);
    EXPECT_LT(relativeError(second(o), expected), 1e-2);
    EXPECT_LT(relativeError(finalState, expectedState), 1e-2);

    const Tensor gradR = room(r), gradW = room(w), gradK = room(k), gradV = room(values), gradKappa = room(kappa), gradA = room(a),
                 gradBeta = room(beta), gradInitial = room(state);
    cuda::ChunkedGradients out;
    out.gradO = upstream.const_data_ptr();
    out.gradFinalState = gradState.const_data_ptr<float>();
    out.q = gradR.mutable_data_ptr();
    out.k = gradK.mutable_data_ptr();
    out.v = gradV.mutable_data_ptr();
    out.g = gradW.mutable_data_ptr<float>();
    out.beta = gradBeta.mutable_data_ptr<float>();
    out.initialState = gradInitial.mutable_data_ptr<float>();
    out.removalKey = gradKappa.mutable_data_ptr();
    out.removalRate = gradA.mutable_data_ptr();
    ASSERT_EQ(cuda::launchChunkedBackward(p, out, workspace.mutable_data_ptr(), nullptr), cudaSuccess);
    const std::vector<Tensor> actual = {gradR, gradW, gradK, second(gradV), gradKappa, gradA, gradInitial};
    for (std::size_t i = 0; i < actual.size(); ++i)
        EXPECT_LT(relativeError(actual[i], leaves[i].grad()), 2e-2) << "input " << i;
}

INSTANTIATE_TEST_SUITE_P(Shapes, ChunkedRwkv7,
                         testing::Values(Rwkv7Case{2, 75, 2, 64, 64, 0.607}, Rwkv7Case{1, 1, 1, 64, 24, 0.607}, Rwkv7Case{1, 32, 1, 128, 40, 0.607},
                                         Rwkv7Case{1, 67, 1, 40, 16, 0.05}, Rwkv7Case{1, 40, 1, 88, 32, 4.0}));

/// So many that the kernels take wider blocks, but most of them empty.
std::vector<std::int64_t> manySequences()
{
    std::vector<std::int64_t> out(41, 0);
    out.insert(out.end(), {1, 41, 242});
    return out;
}

INSTANTIATE_TEST_SUITE_P(Shapes, ChunkedRecurrence,
                         testing::Values(Case{1, 64, 1, 64, 32, 3, true, false}, Case{1, 1, 1, 64, 16, 3, true, true},
                                         Case{2, 65, 2, 96, 48, 3, true, true}, Case{1, 130, 1, 96, 80, 3, false, true},
                                         Case{1, 100, 1, 128, 32, 0, true, false}, Case{1, 70, 1, 64, 24, 0, false, false},
                                         Case{1, 130, 1, 64, 32, 4, false, true}, Case{1, 127, 1, 96, 32, 4, true, true},
                                         Case{1, 80, 1, 192, 16, 3, true, true}, Case{1, 70, 1, 256, 16, 3, true, true},
                                         Case{1, 70, 1, 256, 16, 4, false, true}, Case{1, 66, 1, 40, 8, 3, true, true},
                                         Case{1, 140, 1, 64, 16, 3, true, true, 60.0}, Case{1, 140, 1, 64, 16, 4, true, true, 60.0},
                                         Case{1, 90, 2, 128, 72, 4, false, true}, Case{1, 75, 1, 128, 40, 4, true, true},
                                         Case{1, 70, 1, 192, 40, 4, true, false}, Case{1, 131, 1, 96, 40, 4, false, false, 30.0},
                                         Case{1, 66, 1, 64, 200, 3, true, true}, Case{1, 66, 1, 64, 200, 4, true, true, 8.0},
                                         Case{1, 66, 1, 96, 168, 4, false, false}, Case{1, 66, 1, 64, 168, 3, false, true},
                                         Case{0, 5, 2, 64, 16, 3, true, false}, Case{2, 0, 1, 64, 16, 3, true, true},
                                         Case{1, 205, 2, 64, 16, 3, true, true, 0.1, {0, 1, 65, 65, 193, 205}},
                                         Case{1, 150, 1, 64, 16, 4, false, false, 0.1, {0, 64, 150}}, Case{1, 330, 1, 96, 72, 3, true, true},
                                         Case{1, 242, 1, 96, 136, 3, true, true, 0.1, manySequences()},
                                         Case{1, 242, 1, 64, 136, 4, false, true, 0.1, manySequences()},
                                         Case{1, 242, 1, 128, 136, 3, true, true, 0.1, manySequences()},
                                         Case{1, 242, 1, 128, 136, 4, false, false, 0.1, manySequences()},
                                         Case{1, 242, 1, 88, 136, 4, true, true, 0.1, manySequences()},
                                         Case{1, 242, 1, 64, 136, 0, false, true, 0.1, manySequences()},
                                         Case{2, 130, 1, 64, 64, 4, true, true, 0.6, {}, true}, Case{1, 1, 1, 64, 24, 4, true, true, 0.6, {}, true},
                                         Case{1, 75, 2, 128, 40, 4, true, false, 0.1, {}, true},
                                         Case{1, 140, 1, 88, 16, 4, true, true, 60.0, {}, true},
                                         Case{1, 205, 1, 64, 16, 4, true, true, 0.1, {0, 1, 65, 65, 193, 205}, true}),
                         [](const auto& info) { return testing::PrintToString(info.param) + "_" + std::to_string(info.index); });

} // namespace
