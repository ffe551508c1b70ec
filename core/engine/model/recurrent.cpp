// State, norms and initial values that the recurrent blocks share.
#include "core/engine/blocks/recurrent.h"

#include <cmath>

#include "core/engine/model/functional.h"
#include "kernels/include/operators.h"
#include "kernels/include/prefill_operators.h"
#include "kernels/include/training_operators.h"

namespace postnas::engine {

RecurrentState::RecurrentState(std::int64_t batch, std::int64_t heads, std::int64_t keyDim, std::int64_t valueDim,
                               const std::vector<std::pair<std::int64_t, std::int64_t>>& sizes, const torch::TensorOptions& options)
    : recurrent(torch::zeros({batch, heads, keyDim, valueDim},
                             options.dtype(torch::typeMetaToScalarType(options.dtype()) == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32)))
{
    for (const auto& [rows, channels] : sizes)
        histories.push_back(torch::zeros({batch, rows, channels}, options));
}

void RecurrentState::reset()
{
    // The tensor may still be the result of a call, so it is replaced rather than overwritten.
    recurrent = torch::zeros_like(recurrent);
    for (torch::Tensor& history : histories)
        history.zero_();
}

void RecurrentState::fillRandomly(std::int64_t)
{
    recurrent.normal_();
    for (torch::Tensor& history : histories)
        history.normal_();
}

void RecurrentState::assignRow(std::int64_t row, const BlockState& single)
{
    const auto& from = static_cast<const RecurrentState&>(single);
    recurrent.select(0, row).copy_(from.recurrent.select(0, 0));
    for (std::size_t i = 0; i < histories.size(); ++i)
        histories[i].select(0, row).copy_(from.histories[i].select(0, 0));
}

std::int64_t RecurrentState::bytes() const
{
    std::size_t sum = recurrent.nbytes();
    for (const torch::Tensor& history : histories)
        sum += history.nbytes();
    return static_cast<std::int64_t>(sum);
}

torch::Tensor RecurrentBlock::project(const torch::Tensor& hidden, const std::string& name) const
{
    return at::linear(hidden, weight(name + ".weight"), hasWeight(name + ".bias") ? weight(name + ".bias") : torch::Tensor());
}

torch::Tensor RecurrentBlock::projectHeads(const torch::Tensor& hidden, const std::string& name, std::int64_t dim) const
{
    return project(hidden, name).unflatten(-1, {-1, dim});
}

torch::Tensor RecurrentBlock::output(const torch::Tensor& o, const std::string& normName, const torch::Tensor& gate,
                                     torch::ScalarType type) const
{
    if (!at::GradMode::is_enabled()) {
        const torch::Tensor y =
            ops::gatedNorm(o, weight(normName + ".weight"), gate.defined() ? std::optional(gate) : std::nullopt, m_spec.real("norm_eps"));
        return project(y.flatten(2).to(type), "o_proj");
    }
    if (o.is_cuda()) {
        const torch::Tensor y = ops::differentiableGatedNorm(o, weight(normName + ".weight").to(o.scalar_type()),
                                                             gate.defined() ? std::optional(gate) : std::nullopt, m_spec.real("norm_eps"));
        return project(y.flatten(2).to(type), "o_proj");
    }
    const torch::ScalarType wide = torch::promoteTypes(o.scalar_type(), torch::kFloat32);
    torch::Tensor y = rmsNorm(o.to(wide), weight(normName + ".weight"), m_spec.real("norm_eps"));
    if (gate.defined())
        y = y * at::silu(gate.to(wide));
    return project(y.flatten(2).to(type), "o_proj");
}

ops::RecurrentStep RecurrentBlock::stepOf(RecurrentState& state, const std::string& normName, const torch::Tensor& gate) const
{
    ops::RecurrentStep step;
    step.heads = step.groups = state.recurrent.size(1);
    step.scale = 1.0 / std::sqrt(static_cast<double>(state.recurrent.size(2)));
    step.state = state.recurrent;
    step.normWeight = weight(normName + ".weight");
    step.epsilon = m_spec.real("norm_eps");
    if (gate.defined())
        step.gate = gate;
    return step;
}

torch::Tensor RecurrentBlock::logDecay(const torch::Tensor& hidden) const
{
    const torch::Tensor a = project(hidden, "a_proj");
    const torch::ScalarType wide = torch::promoteTypes(a.scalar_type(), torch::kFloat32);
    return -weight("A_log").to(wide).exp() * at::softplus(a.to(wide) + weight("dt_bias").to(wide));
}

void RecurrentBlock::replace(const std::string& name, const torch::Tensor& value)
{
    torch::Tensor& held = m_weights.at(name);
    held = value.reshape(held.sizes()).to(held.options());
}

void RecurrentBlock::initialiseDecay(torch::Generator& generator)
{
    const std::int64_t heads = weight("A_log").numel();
    // Drawn on the CPU so that a seed gives the same weights on every device.
    replace("A_log", torch::empty({heads}, torch::kFloat32).uniform_(1.0, 16.0, generator).log());
    const torch::Tensor step = torch::empty({heads}, torch::kFloat32).uniform_(std::log(0.001), std::log(0.1), generator).exp().clamp_min(1e-4);
    replace("dt_bias", step + (-(-step).expm1()).log());
}

void RecurrentBlock::initialiseUniform(const std::string& name, double bound, torch::Generator& generator)
{
    replace(name, torch::empty({weight(name).numel()}, torch::kFloat32).uniform_(-bound, bound, generator));
}

torch::Tensor unitLength(const torch::Tensor& x, bool silu)
{
    if (!at::GradMode::is_enabled())
        return ops::unitLength(x, silu);
    const torch::Tensor wide = (silu ? at::silu(x) : x).to(torch::promoteTypes(x.scalar_type(), torch::kFloat32));
    return wide * (wide.square().sum(-1, true) + 1e-6).rsqrt();
}

torch::Tensor siluConvolution(const torch::Tensor& x, const torch::Tensor& kernels, const std::optional<torch::Tensor>& history)
{
    if (!at::GradMode::is_enabled())
        return ops::siluConvolution(x, kernels, history);
    return at::silu(kernels.dim() == 2 ? ops::shortConvolution(x, kernels, history) : ops::dynamicConvolution(x, kernels, history));
}

void advanceHistory(torch::Tensor& history, const torch::Tensor& x)
{
    const std::int64_t rows = history.size(1), length = x.size(1);
    if (rows == 0 || length == 0)
        return;
    const torch::Tensor values = x.detach();
    if (length >= rows)
        history.copy_(values.narrow(1, length - rows, rows));
    else
        history.copy_(torch::cat({history.narrow(1, length, rows - length), values}, 1));
}

} // namespace postnas::engine
