// torch's AdamW with its state in safetensors.
#include "core/engine/training/optimizer.h"

#include "core/base/error.h"
#include "core/engine/model/tensor_io.h"

namespace postnas::engine {
namespace {

std::vector<torch::optim::OptimizerParamGroup> parameterGroups(const NamedTensors& parameters, const OptimizerOptions& options)
{
    std::vector<torch::Tensor> matrices, vectors;
    for (const auto& [name, tensor] : parameters)
        (tensor.dim() > 1 ? matrices : vectors).push_back(tensor);
    const auto group = [&](std::vector<torch::Tensor> tensors, double decay) {
        auto adam = std::make_unique<torch::optim::AdamWOptions>(0.0);
        adam->betas({options.beta1, options.beta2}).eps(options.epsilon).weight_decay(decay);
        return torch::optim::OptimizerParamGroup(std::move(tensors), std::move(adam));
    };
    std::vector<torch::optim::OptimizerParamGroup> groups;
    if (!matrices.empty())
        groups.push_back(group(std::move(matrices), options.weightDecay));
    if (!vectors.empty())
        groups.push_back(group(std::move(vectors), 0.0));
    return groups;
}

const TensorView& shaped(const SafetensorsFile& file, const std::string& name, const torch::Tensor& like)
{
    const TensorView& view = file.at(name);
    if (like.sizes() != at::IntArrayRef(std::vector<std::int64_t>(view.shape.begin(), view.shape.end())))
        throw inputError(file.source() + ": tensor " + name + " has shape " + shapeText(view.shape) + ", which does not fit the model");
    return view;
}

} // namespace

Optimizer::Optimizer(NamedTensors parameters, const OptimizerOptions& options)
    : m_parameters(std::move(parameters))
    , m_options(options)
    , m_adam(parameterGroups(m_parameters, options), torch::optim::AdamWOptions(0.0))
{
}

double Optimizer::step(double learningRate)
{
    double norm = 0;
    std::vector<torch::Tensor> tensors;
    for (const auto& [name, tensor] : m_parameters)
        if (tensor.grad().defined())
            tensors.push_back(tensor);
    norm = torch::nn::utils::clip_grad_norm_(tensors, m_options.gradientClip > 0 ? m_options.gradientClip : std::numeric_limits<double>::infinity());
    for (auto& group : m_adam.param_groups())
        static_cast<torch::optim::AdamWOptions&>(group.options()).lr(learningRate);
    m_adam.step();
    m_adam.zero_grad();
    return norm;
}

void Optimizer::save(SafetensorsWriter& writer) const
{
    const auto& states = const_cast<torch::optim::AdamW&>(m_adam).state();
    for (const auto& [name, tensor] : m_parameters) {
        const auto it = states.find(tensor.unsafeGetTensorImpl());
        if (it == states.end())
            continue;
        const auto& state = static_cast<const torch::optim::AdamWParamState&>(*it->second);
        addTensor(writer, name + ".exp_avg", state.exp_avg());
        addTensor(writer, name + ".exp_avg_sq", state.exp_avg_sq());
        addTensor(writer, name + ".step", torch::tensor({state.step()}, torch::kInt64));
    }
}

void Optimizer::load(const SafetensorsFile& file)
{
    for (const auto& [name, tensor] : m_parameters) {
        if (file.find(name + ".step") == nullptr)
            continue;
        auto state = std::make_unique<torch::optim::AdamWParamState>();
        state->exp_avg(copyFrom(shaped(file, name + ".exp_avg", tensor)).to(tensor.options()));
        state->exp_avg_sq(copyFrom(shaped(file, name + ".exp_avg_sq", tensor)).to(tensor.options()));
        state->step(copyFrom(shaped(file, name + ".step", torch::zeros({1}))).item<std::int64_t>());
        m_adam.state()[tensor.unsafeGetTensorImpl()] = std::move(state);
    }
}

void loadParameters(const SafetensorsFile& file, const NamedTensors& parameters)
{
    const torch::NoGradGuard guard;
    for (const auto& [name, tensor] : parameters)
        const_cast<torch::Tensor&>(tensor).copy_(copyFrom(shaped(file, name, tensor)));
}

} // namespace postnas::engine
