// The operators of training in torch's own functions: the reference of the CUDA kernels, and what the CPU uses.
#include <ATen/ATen.h>

#include "kernels/training/reference.h"

namespace postnas::ops {
namespace {

using at::Tensor;

Tensor wide(const Tensor& t) { return t.to(t.scalar_type() == at::kDouble ? at::kDouble : at::kFloat); }
/// The derivative of silu.
Tensor slope(const Tensor& x)
{
    const Tensor chance = at::sigmoid(x);
    return chance * (1 + x * (1 - chance));
}

} // namespace

std::tuple<Tensor, Tensor> swiGluBackwardReference(const Tensor& gradient, const Tensor& gate, const Tensor& up)
{
    const Tensor g = wide(gate), upstream = wide(gradient);
    return {(upstream * wide(up) * slope(g)).to(gate.scalar_type()), (upstream * at::silu(g)).to(up.scalar_type())};
}

std::tuple<Tensor, Tensor, Tensor> gatedNormBackwardReference(const Tensor& gradient, const Tensor& x, const Tensor& weight,
                                                              const std::optional<Tensor>& gate, double epsilon)
{
    const Tensor in = wide(x), w = wide(weight), upstream = wide(gradient);
    const Tensor scale = (in.square().mean(-1, true) + epsilon).rsqrt(), normed = in * scale;
    const Tensor behind = gate ? upstream * at::silu(wide(*gate)) : upstream; // gradient of normed * weight
    const Tensor through = behind * w;
    const Tensor gradX = scale * (through - normed * (through * normed).mean(-1, true));
    const Tensor gradWeight = (behind * normed).flatten(0, -2).sum(0);
    Tensor gradGate;
    if (gate)
        gradGate = (upstream * normed * w * slope(wide(*gate))).to(gate->scalar_type());
    return {gradX.to(x.scalar_type()), gradWeight.to(weight.scalar_type()), gradGate};
}

Tensor squaredSumsReference(const Tensor& x, const Tensor& y, const Tensor& valid)
{
    const Tensor outside = valid.logical_not().unsqueeze(-1);
    const auto sum = [&](const Tensor& t) { return t.square().masked_fill(outside, 0).sum(); };
    return at::stack({sum(wide(x) - wide(y)), sum(wide(y))});
}

Tensor squaredSumsBackwardReference(const Tensor& factor, const Tensor& x, const Tensor& y, const Tensor& valid)
{
    return ((wide(x) - wide(y)) * (2 * factor)).masked_fill(valid.logical_not().unsqueeze(-1), 0).to(x.scalar_type());
}

Tensor headGradientReference(Tensor& logits, const std::optional<Tensor>& teacher, const std::optional<Tensor>& ids, const Tensor& weights,
                             double crossEntropy, double divergence, double temperature)
{
    const Tensor in = wide(logits), scale = weights.to(in.scalar_type());
    Tensor losses = at::zeros_like(scale), gradient;
    if (crossEntropy != 0) {
        const Tensor logs = at::log_softmax(in, -1), index = ids->unsqueeze(1), share = scale * crossEntropy;
        losses = losses - logs.gather(1, index).squeeze(1) * share;
        gradient = logs.exp_().mul_(share.unsqueeze(1));
        gradient.scatter_add_(1, index, -share.unsqueeze(1));
    }
    if (divergence != 0) {
        const double sharpness = 1 / temperature;
        const Tensor target = at::log_softmax(wide(*teacher) * sharpness, -1), student = at::log_softmax(in * sharpness, -1);
        const Tensor share = scale * (divergence * temperature * temperature), chances = target.exp();
        losses = losses + (chances * (target - student)).sum(-1) * share;
        const Tensor part = student.exp().sub_(chances).mul_(share.unsqueeze(1) * sharpness);
        gradient = gradient.defined() ? gradient.add_(part) : part;
    }
    if (gradient.defined())
        logits.copy_(gradient);
    else
        logits.zero_();
    return losses;
}

} // namespace postnas::ops
