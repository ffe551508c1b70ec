// AdamW over lists of tensors: on a GPU a step is a few dozen launches, whatever the number of weights.
#include "core/engine/training/optimizer.h"

#include <cmath>

#include "core/base/error.h"
#include "core/engine/model/tensor_io.h"

namespace postnas::engine {
namespace {

using Scalars = std::vector<at::Scalar>;

const TensorView& shaped(const SafetensorsFile& file, const std::string& name, const torch::Tensor& like)
{
    const TensorView& view = file.at(name);
    if (like.sizes() != at::IntArrayRef(std::vector<std::int64_t>(view.shape.begin(), view.shape.end())))
        throw inputError(file.source() + ": tensor " + name + " has shape " + shapeText(view.shape) + ", which does not fit the model");
    return view;
}

/// Multiplies the gradients so that their norm is at most `limit` (0: none), and returns what it was.
double clip(const std::vector<torch::Tensor>& gradients, double limit)
{
    const std::vector<torch::Tensor> norms = at::_foreach_norm(gradients);
    const torch::Tensor norm = norms.size() == 1 ? norms.front() : torch::stack(norms).norm();
    if (limit > 0)
        at::_foreach_mul_(gradients, torch::clamp(limit / (norm + 1e-6), std::nullopt, 1.0));
    return norm.item<double>();
}

} // namespace

TrainedWeight trainedWeight(std::string name, const torch::Tensor& master, torch::ScalarType compute)
{
    return {std::move(name), master, master.scalar_type() == compute ? master : master.detach().to(compute)};
}

Optimizer::Optimizer(TrainedWeights weights, const OptimizerOptions& options)
    : m_weights(std::move(weights))
    , m_states(m_weights.size())
    , m_options(options)
{
}

void Optimizer::gather()
{
    const torch::NoGradGuard guard;
    for (std::size_t i = 0; i < m_weights.size(); ++i) {
        torch::Tensor& gradient = m_weights[i].compute.mutable_grad();
        if (m_weights[i].compute.is_same(m_weights[i].master) || !gradient.defined())
            continue;
        if (m_states[i].gradient.defined())
            m_states[i].gradient.add_(gradient);
        else
            m_states[i].gradient = gradient.to(m_weights[i].master.scalar_type());
        gradient.reset();
    }
}

double Optimizer::step(double learningRate)
{
    gather();
    const torch::NoGradGuard guard;
    std::vector<std::size_t> indices;
    std::vector<torch::Tensor> masters, decayed, gradients, firsts, seconds;
    Scalars rates, roots; // the corrections depend on how often a weight was stepped, and not every step reaches every weight
    for (std::size_t i = 0; i < m_weights.size(); ++i) {
        const TrainedWeight& weight = m_weights[i];
        State& state = m_states[i];
        const torch::Tensor gradient = state.gradient.defined() ? state.gradient : weight.compute.grad();
        if (!gradient.defined())
            continue;
        if (!state.first.defined()) {
            state.first = torch::zeros_like(weight.master);
            state.second = torch::zeros_like(weight.master);
        }
        ++state.steps;
        const double steps = static_cast<double>(state.steps);
        rates.emplace_back(-learningRate / (1 - std::pow(m_options.beta1, steps)));
        roots.emplace_back(std::sqrt(1 - std::pow(m_options.beta2, steps)));
        indices.push_back(i);
        masters.push_back(weight.master.detach());
        if (weight.master.dim() > 1)
            decayed.push_back(masters.back());
        gradients.push_back(gradient);
        firsts.push_back(state.first);
        seconds.push_back(state.second);
    }
    if (indices.empty())
        return 0;
    const double norm = clip(gradients, m_options.gradientClip);
    if (m_options.weightDecay != 0 && !decayed.empty())
        at::_foreach_mul_(decayed, 1 - learningRate * m_options.weightDecay);
    at::_foreach_mul_(firsts, m_options.beta1);
    at::_foreach_add_(firsts, gradients, 1 - m_options.beta1);
    at::_foreach_mul_(seconds, m_options.beta2);
    at::_foreach_addcmul_(seconds, gradients, gradients, 1 - m_options.beta2);
    const std::vector<torch::Tensor> denominators = at::_foreach_sqrt(seconds);
    at::_foreach_div_(denominators, roots);
    at::_foreach_add_(denominators, m_options.epsilon);
    at::_foreach_addcdiv_(masters, firsts, denominators, rates);
    publish(indices);
    for (const std::size_t i : indices) {
        m_states[i].gradient.reset();
        m_weights[i].compute.mutable_grad().reset();
    }
    return norm;
}

void Optimizer::publish(const std::vector<std::size_t>& indices)
{
    const torch::NoGradGuard guard;
    std::vector<torch::Tensor> from, to;
    for (const std::size_t i : indices)
        if (!m_weights[i].compute.is_same(m_weights[i].master)) {
            from.push_back(m_weights[i].master);
            to.push_back(m_weights[i].compute.detach());
        }
    if (!to.empty())
        at::_foreach_copy_(to, from);
}

void Optimizer::save(SafetensorsWriter& writer) const
{
    for (std::size_t i = 0; i < m_weights.size(); ++i) {
        const State& state = m_states[i];
        if (!state.first.defined())
            continue;
        const std::string& name = m_weights[i].name;
        addTensor(writer, name + ".exp_avg", state.first);
        addTensor(writer, name + ".exp_avg_sq", state.second);
        addTensor(writer, name + ".step", torch::tensor({state.steps}, torch::kInt64));
    }
}

void Optimizer::load(const SafetensorsFile& masters, const SafetensorsFile& state)
{
    const torch::NoGradGuard guard;
    std::vector<std::size_t> all;
    for (std::size_t i = 0; i < m_weights.size(); ++i) {
        const TrainedWeight& weight = m_weights[i];
        weight.master.detach().copy_(copyFrom(shaped(masters, weight.name, weight.master)));
        all.push_back(i);
        if (state.find(weight.name + ".step") == nullptr)
            continue;
        m_states[i].first = copyFrom(shaped(state, weight.name + ".exp_avg", weight.master)).to(weight.master.options().requires_grad(false));
        m_states[i].second = copyFrom(shaped(state, weight.name + ".exp_avg_sq", weight.master)).to(weight.master.options().requires_grad(false));
        m_states[i].steps = copyFrom(shaped(state, weight.name + ".step", torch::zeros({1}))).item<std::int64_t>();
    }
    publish(all);
}

} // namespace postnas::engine
