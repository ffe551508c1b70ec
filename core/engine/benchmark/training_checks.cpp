// The operators of training against their formulas in torch's own functions and float64, with gradients.
#include "core/engine/benchmark/operator_checks.h"

#include <cmath>
#include <functional>

#include <torch/torch.h>

#include "core/engine/benchmark/comparison.h"
#include "core/engine/model/functional.h"
#include "core/engine/model/trained_layer.h"
#include "core/engine/training/head_loss.h"
#include "kernels/include/training_operators.h"

namespace postnas::engine {
namespace {

using torch::Tensor;
using Tensors = std::vector<Tensor>;
using Subject = GradientSubject;

Subject feedForwardSubject(std::int64_t tokens, std::int64_t width, std::int64_t inner)
{
    const double in = 1 / std::sqrt(static_cast<double>(width)), out = 1 / std::sqrt(static_cast<double>(inner));
    return {"feed_forward",
            "tokens " + std::to_string(tokens) + ", width " + std::to_string(width) + ", inner " + std::to_string(inner),
            {normal({1, tokens, width}), normal({width}), normal({inner, width}, in), normal({inner, width}, in), normal({width, inner}, out)},
            [](const Tensors& x) -> Tensors {
                const Tensor normed = rmsNorm(x[0], x[1], 1e-6);
                return {x[0] + at::linear(at::silu(at::linear(normed, x[2])) * at::linear(normed, x[3]), x[4])};
            },
            [](const Tensors& x) -> Tensors { return {feedForward(x[0], x[1], x[2], x[3], x[4], 1e-6)}; }};
}

Subject gatedNormSubject(std::int64_t tokens, std::int64_t heads, std::int64_t width)
{
    return {"gated_norm",
            "tokens " + std::to_string(tokens) + ", heads " + std::to_string(heads) + ", width " + std::to_string(width),
            {normal({1, tokens, heads, width}), normal({width}), normal({1, tokens, heads, width})},
            [](const Tensors& x) -> Tensors { return {rmsNorm(x[0], x[1], 1e-5) * at::silu(x[2])}; },
            [](const Tensors& x) -> Tensors { return {ops::differentiableGatedNorm(x[0], x[1], x[2], 1e-5)}; }};
}

Subject distanceSubject(std::int64_t tokens, std::int64_t width)
{
    const Tensor teacher = normal({tokens, width}), valid = torch::arange(tokens) % 3 != 1;
    // The teacher is rounded as the student is.
    const auto typed = [teacher](const Tensor& like) { return teacher.to(torch::kBFloat16).to(like.options()); };
    return {"relative_distance",
            "tokens " + std::to_string(tokens) + ", width " + std::to_string(width),
            {normal({tokens, width})},
            [=](const Tensors& x) -> Tensors {
                const Tensor kept = valid.unsqueeze(1), t = typed(x[0]);
                return {((x[0] - t).square() * kept).sum() / (t.square() * kept).sum()};
            },
            [=](const Tensors& x) -> Tensors { return {ops::relativeDistance(x[0], typed(x[0].detach()), valid.to(x[0].device()))}; }};
}

Subject rotationSubject(std::int64_t tokens, std::int64_t heads, std::int64_t dim)
{
    const Tensor angles = torch::rand({tokens, dim / 2}) * 6, both = torch::cat({angles, angles}, 1);
    const Tensor cosine = both.cos(), sine = both.sin();
    return {"rotation",
            "tokens " + std::to_string(tokens) + ", heads " + std::to_string(heads) + " and 1, dim " + std::to_string(dim),
            {normal({1, tokens, heads, dim}), normal({1, tokens, 1, dim})},
            [=](const Tensors& x) -> Tensors { return {applyRotary(x[0], cosine, sine), applyRotary(x[1], cosine, sine)}; },
            [=](const Tensors& x) -> Tensors {
                const auto [q, k] = rotated(x[0], x[1], cosine.to(x[0].device()), sine.to(x[0].device()));
                return {q, k};
            }};
}

Subject headSubject(std::int64_t tokens, std::int64_t width, std::int64_t vocabulary)
{
    const Tensor ids = torch::randint(vocabulary, {tokens}), weights = torch::rand({tokens}, torch::kFloat64);
    const Tensor teacherHidden = normal({tokens, width}), teacherHead = normal({vocabulary, width}, 1 / std::sqrt(static_cast<double>(width)));
    const auto typed = [](const Tensor& t, const Tensor& like) { return t.to(torch::kBFloat16).to(like.options().requires_grad(false)); };
    constexpr double kCrossEntropy = 0.5, kDivergence = 2, kTemperature = 1.5;
    return {"head_loss",
            "tokens " + std::to_string(tokens) + ", width " + std::to_string(width) + ", vocabulary " + std::to_string(vocabulary),
            {normal({tokens, width}), normal({vocabulary, width}, 1 / std::sqrt(static_cast<double>(width)))},
            [=](const Tensors& x) -> Tensors {
                const Tensor logits = at::linear(x[0], x[1]);
                const Tensor target = at::log_softmax(at::linear(typed(teacherHidden, x[0]), typed(teacherHead, x[0])) / kTemperature, -1);
                const Tensor ce = -at::log_softmax(logits, -1).gather(1, ids.unsqueeze(1)).squeeze(1);
                const Tensor kl = (target.exp() * (target - at::log_softmax(logits / kTemperature, -1))).sum(-1) * (kTemperature * kTemperature);
                return {((ce * kCrossEntropy + kl * kDivergence) * weights).sum()};
            },
            [=](const Tensors& x) -> Tensors {
                HeadTargets targets;
                targets.weights = weights.to(x[0].device());
                targets.ids = ids.to(x[0].device());
                targets.crossEntropy = kCrossEntropy;
                targets.divergence = kDivergence;
                targets.temperature = kTemperature;
                targets.teacherHidden = typed(teacherHidden, x[0]);
                targets.teacherHead = typed(teacherHead, x[0]);
                return {headLoss(x[0], x[1], targets, 4 * vocabulary)};
            }};
}

} // namespace

std::vector<OperatorCheck> checkTrainingOperators(const std::string& device, const std::string& only)
{
    std::vector<OperatorCheck> out;
    for (const Subject& s : {feedForwardSubject(37, 64, 136), feedForwardSubject(1, 72, 40), gatedNormSubject(33, 3, 128), gatedNormSubject(5, 2, 264),
                             gatedNormSubject(1, 1, 40), distanceSubject(50, 72), distanceSubject(1, 8), rotationSubject(19, 3, 64),
                             headSubject(11, 64, 264)}) {
        if (!isChosen(s.name, s.shape, only))
            continue;
        out.push_back(checkWithGradients(s, device, torch::kFloat32, 1e-4));
        // Three products behind each other, each rounded: the gradients of a single token came up to 1.5e-2 from the formula's.
        out.push_back(checkWithGradients(s, device, torch::kBFloat16, s.name == "feed_forward" ? 4e-2 : 2e-2));
    }
    return out;
}

} // namespace postnas::engine
