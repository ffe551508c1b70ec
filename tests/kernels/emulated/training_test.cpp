// The gradients between matrix products, run on the CPU by kernels/emulation, against the formulas in float64 and their automatic gradients.
#include <torch/csrc/autograd/autograd.h>

#include "kernels/include/training_launch.h"
#include "kernels/training/reference.h"
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
    double bound() const { return type == at::kFloat ? 1e-5 : type == at::kHalf ? 1e-3 : 6e-3; }
};

std::ostream& operator<<(std::ostream& out, const Shape& s) { return out << "N" << s.tokens << "_W" << s.width << "_" << at::toString(s.type); }

class Training : public testing::TestWithParam<Shape> {};

Tensor leaf(const Tensor& t) { return wide(t).requires_grad_(); }

TEST_P(Training, SwiGluBackward)
{
    const Shape& s = GetParam();
    at::manual_seed(1);
    const Tensor gate = (at::randn({s.tokens, s.width}) * 4).to(s.type), up = at::randn({s.tokens, s.width}).to(s.type);
    const Tensor gradient = at::randn({s.tokens, s.width}).to(s.type);
    const Tensor g = leaf(gate), u = leaf(up);
    const auto expected = torch::autograd::grad({at::silu(g) * u}, {g, u}, {wide(gradient)});
    const Tensor gradGate = unwritten(gate.sizes(), s.type), gradUp = unwritten(gate.sizes(), s.type);
    const cuda::SwiGluBackwardProblem p{gate.numel(), s.element(), gradient.const_data_ptr(), gate.const_data_ptr(), up.const_data_ptr()};
    ASSERT_EQ(cuda::launchSwiGluBackward(p, gradGate.mutable_data_ptr(), gradUp.mutable_data_ptr(), nullptr), cudaSuccess);
    EXPECT_LT(relativeError(gradGate, expected[0]), s.bound());
    EXPECT_LT(relativeError(gradUp, expected[1]), s.bound());
    const auto [referenceGate, referenceUp] = postnas::ops::swiGluBackwardReference(wide(gradient), wide(gate), wide(up));
    EXPECT_LT(relativeError(referenceGate, expected[0]), 1e-12);
    EXPECT_LT(relativeError(referenceUp, expected[1]), 1e-12);
}

TEST_P(Training, GatedNormBackward)
{
    const Shape& s = GetParam();
    at::manual_seed(2);
    const double epsilon = 1e-2;
    const Tensor x = at::randn({s.tokens, s.width}).to(s.type), weight = (at::rand({s.width}) + 0.5).to(s.type);
    const Tensor gate = (at::randn({s.tokens, s.width}) * 3).to(s.type), gradient = at::randn({s.tokens, s.width}).to(s.type);
    for (const bool gated : {true, false}) {
        const Tensor in = leaf(x), w = leaf(weight), g = leaf(gate);
        Tensor y = in * (in.square().mean(-1, true) + epsilon).rsqrt() * w;
        if (gated)
            y = y * at::silu(g);
        const auto expected = torch::autograd::grad({y}, {in, w, g}, {wide(gradient)}, std::nullopt, false, true);
        const Tensor gradX = unwritten(x.sizes(), s.type), gradGate = unwritten(x.sizes(), s.type);
        const cuda::GatedNormBackwardProblem p{s.tokens, s.width, s.element(), gradient.const_data_ptr(), x.const_data_ptr(), weight.const_data_ptr(),
                                               gated ? gate.const_data_ptr() : nullptr, float(epsilon)};
        for (const int multiprocessors : {1, 64}) { // few blocks take several rows each
            const std::int64_t parts = std::min<std::int64_t>(cuda::gatedNormBackwardParts(p, multiprocessors), multiprocessors);
            const Tensor weightParts = unwritten({parts, s.width}, at::kFloat);
            ASSERT_EQ(cuda::launchGatedNormBackward(p, gradX.mutable_data_ptr(), gated ? gradGate.mutable_data_ptr() : nullptr,
                                                    weightParts.mutable_data_ptr<float>(), parts, nullptr),
                      cudaSuccess);
            EXPECT_LT(relativeError(gradX, expected[0]), s.bound());
            EXPECT_LT(relativeError(weightParts.sum(0), expected[1]), 1e-5);
            if (gated) {
                EXPECT_LT(relativeError(gradGate, expected[2]), s.bound());
            }
        }
        const auto [referenceX, referenceWeight, referenceGate] = postnas::ops::gatedNormBackwardReference(
            wide(gradient), wide(x), wide(weight), gated ? std::optional(wide(gate)) : std::nullopt, epsilon);
        EXPECT_LT(relativeError(referenceX, expected[0]), 1e-12);
        EXPECT_LT(relativeError(referenceWeight, expected[1]), 1e-12);
        EXPECT_EQ(referenceGate.defined(), gated);
        if (gated) {
            EXPECT_LT(relativeError(referenceGate, expected[2]), 1e-12);
        }
    }
}

TEST_P(Training, Distance)
{
    const Shape& s = GetParam();
    at::manual_seed(3);
    const Tensor x = at::randn({s.tokens, s.width}).to(s.type), y = at::randn({s.tokens, s.width}).to(s.type);
    const Tensor valid = at::rand({s.tokens}) < 0.7, factor = at::full({1}, -1.5);
    // What is not valid must not count, whatever stands there.
    x.masked_fill_(valid.logical_not().unsqueeze(1), std::numeric_limits<double>::quiet_NaN());
    const Tensor kept = valid.unsqueeze(1).to(at::kDouble), a = wide(x).nan_to_num(0), b = wide(y);
    const Tensor expected = at::stack({((a - b).square() * kept).sum(), (b.square() * kept).sum()}), expectedGradient = (a - b) * kept * -3;
    const cuda::DistanceProblem p{s.tokens, s.width, s.element(), x.const_data_ptr(), y.const_data_ptr(), valid.const_data_ptr<bool>()};
    for (const std::int64_t parts : {std::int64_t(1), cuda::distanceParts(p, 3)}) {
        const Tensor sums = unwritten({2, parts}, at::kFloat);
        ASSERT_EQ(cuda::launchDistance(p, sums.mutable_data_ptr<float>(), parts, nullptr), cudaSuccess);
        EXPECT_LT(relativeError(sums.sum(1), expected), 1e-5);
    }
    const Tensor gradient = unwritten(x.sizes(), s.type);
    ASSERT_EQ(cuda::launchDistanceBackward(p, factor.const_data_ptr<float>(), gradient.mutable_data_ptr(), nullptr), cudaSuccess);
    EXPECT_LT(relativeError(gradient, expectedGradient), s.bound());
    EXPECT_LT(relativeError(postnas::ops::squaredSumsReference(wide(x), b, valid), expected), 1e-12);
    EXPECT_LT(relativeError(postnas::ops::squaredSumsBackwardReference(wide(factor), wide(x), b, valid), expectedGradient), 1e-12);
}

INSTANTIATE_TEST_SUITE_P(Shapes, Training,
                         testing::Values(Shape{1, 8}, Shape{7, 8, at::kFloat}, Shape{37, 64}, Shape{33, 72}, Shape{70, 128}, Shape{5, 128, at::kHalf},
                                         Shape{19, 136, at::kFloat}, Shape{9, 256}, Shape{11, 264}, Shape{6, 512}, Shape{3, 1000}, Shape{2, 1024, at::kFloat}),
                         testing::PrintToStringParamName());

struct HeadShape {
    std::int64_t tokens, vocabulary;
    double crossEntropy, divergence, temperature, size;
    at::ScalarType type = at::kBFloat16;
};

TEST(Head, LossesAndTheirGradients)
{
    for (const HeadShape& s : {HeadShape{1, 8, 1, 0, 1, 1}, HeadShape{3, 5000, 0.5, 0, 1, 20}, HeadShape{2, 4104, 0, 1, 1, 3, at::kFloat}, HeadShape{4, 72, 0.3, 2, 2.5, 5},
                               HeadShape{2, 9000, 1, 1, 1, 2, at::kFloat}, HeadShape{3, 264, 1, 0.5, 0.5, 60, at::kFloat}}) {
        at::manual_seed(s.vocabulary);
        const Tensor logits = (at::randn({s.tokens, s.vocabulary}) * s.size).to(s.type), teacher = (at::randn({s.tokens, s.vocabulary}) * s.size).to(s.type);
        const Tensor ids = at::randint(s.vocabulary, {s.tokens}), weights = at::rand({s.tokens});
        Tensor in = leaf(logits), losses = at::zeros({s.tokens}, at::kDouble);
        losses = losses - s.crossEntropy * at::log_softmax(in, -1).gather(1, ids.unsqueeze(1)).squeeze(1);
        const Tensor target = at::log_softmax(wide(teacher) / s.temperature, -1);
        losses = losses + s.divergence * s.temperature * s.temperature * (target.exp() * (target - at::log_softmax(in / s.temperature, -1))).sum(-1);
        losses = losses * weights;
        const Tensor gradient = torch::autograd::grad({losses.sum()}, {in})[0];
        const cuda::Element element = s.type == at::kFloat ? cuda::Element::Float32 : cuda::Element::BFloat16;
        Tensor changed = logits.clone();
        const Tensor out = unwritten({s.tokens}, at::kFloat);
        const cuda::HeadProblem p{s.tokens, s.vocabulary, element, changed.mutable_data_ptr(), s.divergence != 0 ? teacher.const_data_ptr() : nullptr,
                                  s.crossEntropy != 0 ? ids.const_data_ptr<std::int64_t>() : nullptr, weights.const_data_ptr<float>(),
                                  float(s.crossEntropy), float(s.divergence), float(s.temperature)};
        ASSERT_EQ(cuda::launchHead(p, out.mutable_data_ptr<float>(), nullptr), cudaSuccess);
        EXPECT_LT(relativeError(out, losses.detach()), 2e-5) << s.vocabulary;
        EXPECT_LT(relativeError(changed, gradient), s.type == at::kFloat ? 5e-5 : 6e-3) << s.vocabulary;
        Tensor reference = wide(logits);
        const Tensor referenceLosses =
            postnas::ops::headGradientReference(reference, wide(teacher), ids, wide(weights), s.crossEntropy, s.divergence, s.temperature);
        EXPECT_LT(relativeError(referenceLosses, losses.detach()), 1e-12);
        EXPECT_LT(relativeError(reference, gradient), 1e-12);
    }
}

TEST(TrainingLaunch, RefusesWhatItCannotTake)
{
    alignas(16) unsigned char memory[64];
    EXPECT_EQ(cuda::launchSwiGluBackward({12, cuda::Element::Float32, memory, memory, memory}, memory, memory, nullptr), cudaErrorInvalidValue);
    EXPECT_EQ(cuda::launchSwiGluBackward({8, cuda::Element::Float32, memory + 4, memory, memory}, memory, memory, nullptr), cudaErrorInvalidValue);
    cuda::GatedNormBackwardProblem norm{1, 1032, cuda::Element::Float32, memory, memory, memory};
    EXPECT_EQ(cuda::launchGatedNormBackward(norm, memory, nullptr, nullptr, 1, nullptr), cudaErrorInvalidValue);
    EXPECT_EQ(cuda::launchHead({1, 12, cuda::Element::Float32, memory}, nullptr, nullptr), cudaErrorInvalidValue);
    EXPECT_EQ(cuda::launchDistance({1, 4, cuda::Element::Float32, memory, memory, nullptr}, nullptr, 1, nullptr), cudaErrorInvalidValue);
}

} // namespace
