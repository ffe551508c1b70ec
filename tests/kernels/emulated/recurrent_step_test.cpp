// The CUDA kernel for one token of a recurrent block, run on the CPU by kernels/emulation, against the block's formulas in float64.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/include/decode_launch.h"

namespace postnas::emulation {
extern bool warpGroups; // kernels/emulation/cuda_emulation.h, which only kernels can include
}

namespace {

using at::Tensor;
namespace cuda = postnas::ops::cuda;
using cuda::Element;
using cuda::StepDecay;

constexpr std::int64_t kSteps = 6;

struct Case {
    const char* name;
    std::int64_t batch, heads, groups, key, value;
    bool narrow = true;      ///< bfloat16 projections
    bool narrowState = false;
    std::int64_t tapsKeys = 0, tapsValues = 0;
    bool perToken = false;   ///< the values' kernels
    StepDecay decay = StepDecay::PerHeadFromRaw;
    bool delta = true, silu = true, unitLength = true, norm = true, gate = true;
    double strength = 1;     ///< of the decay
    bool oldDevice = false;  ///< before compute capability 9.0: always parts of heads, and the norm in a second launch
    std::int64_t shift = 0;  ///< columns by which the gate is off its alignment
};

std::ostream& operator<<(std::ostream& out, const Case& c) { return out << c.name; }

at::ScalarType typeOf(bool narrow) { return narrow ? at::kBFloat16 : at::kFloat; }
Element elementOf(bool narrow) { return narrow ? Element::BFloat16 : Element::Float32; }
Tensor wide(const Tensor& t) { return t.to(at::kDouble); }

/// The whole test: inputs of all steps, the reference's state and the kernel's.
class Trial {
public:
    explicit Trial(const Case& chosen) : c(chosen), type(typeOf(c.narrow))
    {
        at::manual_seed(31);
        const auto random = [&](at::IntArrayRef sizes) { return at::randn(sizes).to(type); };
        const std::int64_t keys = c.groups * c.key, values = c.groups * c.value;
        decayWidth = c.decay == StepDecay::PerChannel || c.decay == StepDecay::PerChannelFromLogits ? keys : c.heads;
        // One product gives all projections of a token, side by side; the first 8 columns belong to nobody.
        const std::int64_t before = (8 - (c.heads * c.key + keys + values + decayWidth + c.heads) % 8) % 8 + c.shift;
        widths = {8 + before, c.heads * c.key, keys, values, decayWidth, c.heads, c.heads * c.value};
        std::int64_t total = 0;
        for (const std::int64_t width : widths)
            total += width;
        projections = random({kSteps, c.batch, total});
        if (c.decay == StepDecay::PerHead || c.decay == StepDecay::PerChannel)
            part(projections, 4).copy_(-at::rand({kSteps, c.batch, decayWidth}) * c.strength);
        aLog = (at::rand({c.heads}) * c.strength * 2).to(type);
        dtBias = at::randn({c.heads}).to(type);
        normWeight = at::randn({c.value}).to(type);
        kernelsQ = random({c.heads * c.key, c.tapsKeys});
        kernelsK = random({keys, c.tapsKeys});
        kernelsV = c.perToken ? random({kSteps, c.batch, values, c.tapsValues}) : random({values, c.tapsValues});
        historyQ = random({c.batch, std::max<std::int64_t>(c.tapsKeys - 1, 0), c.heads * c.key});
        historyK = random({c.batch, std::max<std::int64_t>(c.tapsKeys - 1, 0), keys});
        historyV = random({c.batch, std::max<std::int64_t>(c.tapsValues - 1, 0), values});
        state = at::randn({c.batch, c.heads, c.key, c.value}).to(typeOf(c.narrowState));
        expectedState = wide(state);
        firstQ = historyQ.clone(), firstK = historyK.clone(), firstV = historyV.clone();
        workspace = at::zeros({c.batch * c.heads}, at::kInt);
    }

    /// Column block `which` of the projections.
    Tensor part(const Tensor& rows, std::size_t which) const
    {
        std::int64_t first = 0;
        for (std::size_t i = 0; i < which; ++i)
            first += widths[i];
        return rows.narrow(-1, first, widths[which]);
    }

    Tensor kernel(std::int64_t t) const
    {
        const Tensor y = at::full({c.batch, c.heads * c.value}, std::numeric_limits<float>::quiet_NaN(), type);
        const auto rows = [&](std::size_t which) {
            return cuda::TokenRows{part(projections, which)[t].const_data_ptr(), projections.size(2)};
        };
        const auto convolution = [&](const Tensor& kernels, bool perToken, std::int64_t taps, const Tensor& history) {
            if (taps == 0)
                return cuda::StepConvolution{};
            const Tensor now = perToken ? kernels[t] : kernels;
            return cuda::StepConvolution{now.const_data_ptr(), perToken ? now.size(1) * taps : 0, taps, history.mutable_data_ptr()};
        };
        cuda::RecurrentStep p;
        p.batch = c.batch, p.heads = c.heads, p.groups = c.groups, p.keyDim = c.key, p.valueDim = c.value;
        p.element = p.gateElement = p.parameters = elementOf(c.narrow);
        p.stateElement = elementOf(c.narrowState);
        p.q = rows(1), p.k = rows(2), p.v = rows(3);
        p.convolutionQ = convolution(kernelsQ, false, c.tapsKeys, historyQ);
        p.convolutionK = convolution(kernelsK, false, c.tapsKeys, historyK);
        p.convolutionV = convolution(kernelsV, c.perToken, c.tapsValues, historyV);
        p.siluKeys = p.siluValues = c.silu;
        p.unitLength = c.unitLength;
        p.scale = 0.3f;
        p.decay = c.decay;
        p.g = c.decay == StepDecay::None ? cuda::TokenRows{} : rows(4);
        p.aLog = aLog.const_data_ptr();
        p.dtBias = dtBias.const_data_ptr();
        p.gateNormalizer = 16;
        p.b = c.delta ? rows(5) : cuda::TokenRows{};
        p.state = state.mutable_data_ptr();
        p.normWeight = c.norm ? normWeight.const_data_ptr() : nullptr;
        p.epsilon = 1e-5f;
        p.gate = c.gate ? rows(6) : cuda::TokenRows{};
        p.y = y.mutable_data_ptr();
        EXPECT_TRUE(cuda::recurrentStepCanTake(p));
        EXPECT_EQ(cuda::recurrentStepWorkspace(p), workspace.nbytes());
        EXPECT_EQ(cuda::launchRecurrentStep(p, workspace.mutable_data_ptr(), nullptr), cudaSuccess);
        return y;
    }

    Tensor reference(std::int64_t t)
    {
        const auto rounded = [&](const Tensor& x) { return wide(x.to(type)); };
        const auto input = [&](std::size_t which) { return wide(part(projections, which)[t]); };
        const auto channels = [&](std::size_t which, const Tensor& kernels, bool perToken, std::int64_t taps, const Tensor& firstHistory) {
            Tensor x = input(which);
            if (taps > 0) {
                const Tensor all = at::cat({wide(firstHistory), wide(part(projections, which)).narrow(0, 0, t + 1).transpose(0, 1)}, 1);
                const Tensor window = all.narrow(1, t, taps).transpose(1, 2); // [batch, channels, taps]
                x = rounded((window * wide(perToken ? kernels[t] : kernels)).sum(-1));
            }
            return c.silu ? rounded(at::silu(x)) : x;
        };
        const auto unit = [&](const Tensor& x) { return c.unitLength ? x / (x.square().sum(-1, true) + 1e-6).sqrt() : x; };
        const auto shared = [&](const Tensor& x) { return x.repeat_interleave(c.heads / c.groups, 1); };
        const Tensor q = unit(channels(1, kernelsQ, false, c.tapsKeys, firstQ).reshape({c.batch, c.heads, c.key}));
        const Tensor k = shared(unit(channels(2, kernelsK, false, c.tapsKeys, firstK).reshape({c.batch, c.groups, c.key})));
        const Tensor v = shared(channels(3, kernelsV, c.perToken, c.tapsValues, firstV).reshape({c.batch, c.groups, c.value}));

        const Tensor raw = input(4);
        Tensor g = at::zeros({c.batch, c.heads, 1}, at::kDouble);
        if (c.decay == StepDecay::PerHead)
            g = raw.unsqueeze(-1);
        if (c.decay == StepDecay::PerHeadFromRaw)
            g = (-wide(aLog).exp() * at::softplus(raw + wide(dtBias))).unsqueeze(-1);
        if (c.decay == StepDecay::PerChannel)
            g = shared(raw.reshape({c.batch, c.groups, c.key}));
        if (c.decay == StepDecay::PerChannelFromLogits)
            g = shared(at::log_sigmoid(raw).reshape({c.batch, c.groups, c.key}) / 16);
        expectedState = expectedState * g.exp().unsqueeze(-1);
        Tensor u = v;
        if (c.delta)
            u = input(5).sigmoid().unsqueeze(-1) * (v - at::einsum("bhkv,bhk->bhv", {expectedState, k}));
        expectedState = expectedState + k.unsqueeze(-1) * u.unsqueeze(-2);
        Tensor y = rounded(0.3 * at::einsum("bhkv,bhk->bhv", {expectedState, q}));
        if (c.narrowState)
            expectedState = wide(expectedState.to(at::kBFloat16));
        if (c.norm)
            y = y / (y.square().mean(at::IntArrayRef{-1}, true) + 1e-5).sqrt() * wide(normWeight);
        if (c.gate)
            y = y * at::silu(input(6)).reshape({c.batch, c.heads, c.value});
        return y.reshape({c.batch, c.heads * c.value});
    }

    /// The inputs that the next token will see.
    Tensor expectedHistory(std::size_t which, const Tensor& first) const
    {
        const Tensor all = at::cat({first, part(projections, which).transpose(0, 1)}, 1);
        return all.narrow(1, all.size(1) - first.size(1), first.size(1));
    }

    Case c;
    at::ScalarType type;
    std::int64_t decayWidth = 0;
    std::vector<std::int64_t> widths;
    Tensor projections, aLog, dtBias, normWeight, kernelsQ, kernelsK, kernelsV, historyQ, historyK, historyV, firstQ, firstK, firstV;
    Tensor state, expectedState, workspace;
};

/// The largest difference relative to the largest number of the reference.
double relativeError(const Tensor& actual, const Tensor& expected)
{
    EXPECT_EQ(actual.sizes(), expected.sizes());
    if (expected.numel() == 0)
        return 0;
    EXPECT_TRUE(at::isfinite(actual).all().item<bool>());
    return ((wide(actual) - expected).abs().max() / (expected.abs().max() + 1e-12)).item<double>();
}

class RecurrentStep : public testing::TestWithParam<Case> {};

TEST_P(RecurrentStep, FollowsTheReferenceTokenByToken)
{
    Trial run(GetParam());
    postnas::emulation::warpGroups = !run.c.oldDevice;
    // A number that falls on the other side of a rounding differs by one part in 256.
    const double bound = run.c.narrow || run.c.narrowState ? 8e-3 : 1e-5;
    for (std::int64_t t = 0; t < kSteps; ++t) {
        const Tensor y = run.kernel(t), expected = run.reference(t);
        EXPECT_LT(relativeError(y, expected), bound) << "token " << t;
        EXPECT_LT(relativeError(run.state, run.expectedState), bound) << "token " << t;
    }
    postnas::emulation::warpGroups = true;
    EXPECT_TRUE(at::equal(run.historyQ, run.c.tapsKeys > 0 ? run.expectedHistory(1, run.firstQ) : run.firstQ));
    EXPECT_TRUE(at::equal(run.historyK, run.c.tapsKeys > 0 ? run.expectedHistory(2, run.firstK) : run.firstK));
    EXPECT_TRUE(at::equal(run.historyV, run.c.tapsValues > 0 ? run.expectedHistory(3, run.firstV) : run.firstV));
    EXPECT_FALSE(run.workspace.any().item<bool>()) << "the next call needs zeros";
}

Case jet(const char* name, std::int64_t batch, std::int64_t heads, std::int64_t key, std::int64_t value)
{
    return {.name = name, .batch = batch, .heads = heads, .groups = heads, .key = key, .value = value, .tapsValues = 4, .perToken = true};
}

Case changed(Case c, const char* name, void (*change)(Case&))
{
    c.name = name;
    change(c);
    return c;
}

const Case kJet = jet("jet", 2, 2, 96, 256);
const Case kDeltaNet = {.name = "gated_delta_net", .batch = 2, .heads = 2, .groups = 2, .key = 64, .value = 144, .tapsKeys = 4, .tapsValues = 4};
const Case kGla = {.name = "gla", .batch = 3, .heads = 4, .groups = 2, .key = 64, .value = 72, .decay = StepDecay::PerChannelFromLogits,
                   .delta = false, .silu = false, .unitLength = false};

/// All of them as the newest device runs them, and as those before.
std::vector<Case> everyWay(std::vector<Case> cases)
{
    const std::size_t count = cases.size();
    for (std::size_t i = 0; i < count; ++i) {
        cases.push_back(cases[i]);
        cases.back().oldDevice = true;
    }
    return cases;
}

INSTANTIATE_TEST_SUITE_P(
    Blocks, RecurrentStep,
    testing::ValuesIn(everyWay({kJet, kDeltaNet, kGla, jet("jet_one_sequence", 1, 1, 128, 64), jet("jet_no_sequence", 0, 2, 96, 256),
                    jet("jet_odd_key", 3, 1, 37, 24), jet("jet_wide", 1, 1, 192, 576), jet("jet_widest", 1, 1, 256, 120),
                    changed(kJet, "jet_float32", [](Case& c) { c.narrow = false; }),
                    changed(kJet, "jet_narrow_state", [](Case& c) { c.narrowState = true; }),
                    changed(kJet, "jet_float32_narrow_state", [](Case& c) { c.narrow = false, c.narrowState = true, c.value = 200; }),
                    changed(kJet, "jet_strong_decay", [](Case& c) { c.strength = 4; }),
                    changed(kJet, "jet_no_decay", [](Case& c) { c.decay = StepDecay::None; }),
                    changed(kJet, "jet_one_tap", [](Case& c) { c.tapsValues = 1; }),
                    changed(kJet, "jet_five_taps", [](Case& c) { c.tapsValues = 5; }),
                    changed(kJet, "jet_nine_taps_float32", [](Case& c) { c.tapsValues = 9, c.narrow = false; }),
                    changed(kDeltaNet, "gated_delta_net_float32", [](Case& c) { c.narrow = false; }),
                    changed(kDeltaNet, "gated_delta_net_no_gate", [](Case& c) { c.gate = false; }),
                    changed(kDeltaNet, "gated_delta_net_no_norm", [](Case& c) { c.gate = c.norm = false; }),
                    changed(kDeltaNet, "gated_delta_net_narrow_state", [](Case& c) { c.narrowState = true, c.key = 200; }),
                    changed(kDeltaNet, "gated_delta_net_two_taps", [](Case& c) { c.tapsKeys = 2, c.tapsValues = 3; }),
                    changed(kDeltaNet, "gated_delta_net_six_taps", [](Case& c) { c.tapsKeys = 6, c.narrow = false; }),
                    changed(kGla, "gla_float32", [](Case& c) { c.narrow = false; }),
                    changed(kGla, "gla_narrow_state", [](Case& c) { c.narrowState = true; }),
                    changed(kGla, "gla_log_decay", [](Case& c) { c.decay = StepDecay::PerChannel, c.strength = 60; }),
                    changed(kGla, "retnet", [](Case& c) { c.decay = StepDecay::PerHead, c.groups = 4; }),
                    changed(kGla, "kda", [](Case& c) { c.decay = StepDecay::PerChannel, c.delta = c.unitLength = true; }),
                    changed(kGla, "retnet_wide_keys", [](Case& c) { c.decay = StepDecay::PerHead, c.groups = 1, c.key = 200, c.value = 264; }),
                    jet("jet_large_state", 1, 2, 128, 256), jet("jet_wide_in_one_block", 1, 1, 24, 640), jet("jet_few_numbers", 2, 3, 9, 4),
                    changed(jet("jet_many_heads_no_norm", 8, 8, 16, 24), "jet_many_heads_no_norm", [](Case& c) { c.gate = c.norm = false; }),
                    changed(kJet, "jet_gate_not_aligned", [](Case& c) { c.shift = 3; }),
                    changed(kJet, "jet_float32_gate_not_aligned", [](Case& c) { c.narrow = false, c.shift = 1; })})),
    [](const auto& info) { return std::string(info.param.name) + (info.param.oldDevice ? "_old_device" : ""); });

TEST(RecurrentStepLimits, RefusesWhatItCannotHold)
{
    cuda::RecurrentStep p;
    p.batch = 1, p.heads = p.groups = 2, p.keyDim = 64, p.valueDim = 64;
    EXPECT_TRUE(cuda::recurrentStepCanTake(p));
    const auto refuses = [&](auto change) {
        cuda::RecurrentStep other = p;
        change(other);
        return !cuda::recurrentStepCanTake(other) && cuda::launchRecurrentStep(other, nullptr, nullptr) == cudaErrorInvalidValue;
    };
    EXPECT_TRUE(refuses([](auto& s) { s.keyDim = 257; }));
    EXPECT_TRUE(refuses([](auto& s) { s.valueDim = 66; }));
    EXPECT_TRUE(refuses([](auto& s) { s.valueDim = 68, s.stateElement = Element::BFloat16; }));
    EXPECT_TRUE(refuses([](auto& s) { s.element = Element::Float16; }));
    EXPECT_TRUE(refuses([](auto& s) { s.state = reinterpret_cast<void*>(std::uintptr_t(8)); }));
    EXPECT_TRUE(refuses([&](auto& s) { s.groups = 1, s.convolutionV = {&p, 0, 1, nullptr}; }));
    EXPECT_TRUE(refuses([&](auto& s) { s.convolutionV = {&p, 0, 4, nullptr}; }));
    EXPECT_TRUE(refuses([&](auto& s) { s.gate = {&p, 0}; }));
}

} // namespace
