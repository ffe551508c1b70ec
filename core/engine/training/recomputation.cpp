// Activation checkpointing as an autograd function over one layer.
#include "core/engine/training/recomputation.h"

#include <algorithm>
#include <limits>

#include <c10/core/CachingDeviceAllocator.h>

namespace postnas::engine {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using c10::CachingAllocator::StatType;

struct Call final : torch::CustomClassHolder {
    HiddenFunction f;
    std::shared_ptr<double> measured;
};

c10::CachingDeviceAllocator::DeviceStats gpuStats()
{
    return at::getDeviceAllocator(at::kCUDA)->getDeviceStats(0);
}
double allocatedBytes(const c10::CachingDeviceAllocator::DeviceStats& stats)
{
    return static_cast<double>(stats.allocated_bytes[static_cast<std::size_t>(StatType::AGGREGATE)].current);
}

class Recomputed : public torch::autograd::Function<Recomputed> {
public:
    static torch::Tensor forward(AutogradContext* context, const torch::Tensor& hidden, at::TensorList weights, const c10::intrusive_ptr<Call>& call)
    {
        variable_list saved = {hidden};
        saved.insert(saved.end(), weights.begin(), weights.end());
        context->save_for_backward(saved);
        context->saved_data["call"] = c10::IValue::make_capsule(call);
        // As it will be computed the second time: where no gradient is asked for, other operators with other roundings may be chosen.
        const torch::AutoGradMode enable(true);
        return call->f(hidden.detach()).detach();
    }

    static variable_list backward(AutogradContext* context, const variable_list& gradients)
    {
        const variable_list saved = context->get_saved_variables();
        const auto call = c10::static_intrusive_pointer_cast<Call>(context->saved_data["call"].toCapsule());
        const bool measure = call->measured && saved.front().is_cuda();
        variable_list out(saved.size() + 1); // the call itself has no gradient
        const torch::AutoGradMode enable(true);
        const bool through = context->needs_input_grad(0);
        const torch::Tensor hidden = saved.front().detach().requires_grad_(through);
        const double before = measure ? allocatedBytes(gpuStats()) : 0;
        const torch::Tensor result = call->f(hidden);
        if (measure)
            *call->measured = std::max(*call->measured, allocatedBytes(gpuStats()) - before);
        variable_list inputs(saved.begin() + 1, saved.end());
        if (through)
            inputs.push_back(hidden);
        const variable_list found = torch::autograd::grad({result}, inputs, {gradients.front()}, std::nullopt, false, true);
        std::copy(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(saved.size()) - 1, out.begin() + 1);
        if (through)
            out.front() = found.back();
        return out;
    }
};

/// The tensors of a layer that train.
std::vector<torch::Tensor> trainedTensors(const HybridModel& model, int layer, const Block& mixer)
{
    std::vector<torch::Tensor> out;
    const LayerWeights& w = model.layerWeights(layer);
    for (const torch::Tensor& tensor : {w.inputNorm, w.outputNorm, w.gate, w.up, w.down})
        if (tensor.requires_grad())
            out.push_back(tensor);
    for (const auto& [name, tensor] : mixer.weights())
        if (tensor.requires_grad())
            out.push_back(tensor);
    return out;
}

} // namespace

torch::Tensor recomputed(const HiddenFunction& f, const torch::Tensor& hidden, const std::vector<torch::Tensor>& weights,
                         std::shared_ptr<double> measured)
{
    auto call = c10::make_intrusive<Call>();
    call->f = f;
    call->measured = std::move(measured);
    return Recomputed::apply(hidden, at::TensorList(weights), call);
}

TrainingPass::TrainingPass(RecomputeChoice choice, torch::Device device)
    : m_choice(choice)
    , m_gpu(device.is_cuda())
    , m_layerBytes(std::make_shared<double>(0))
{
}

Json TrainingPass::state() const
{
    return m_kept < 0 ? Json::object() : Json({{"kept_layers", m_kept}, {"measured_tokens", m_tokens}});
}

void TrainingPass::restore(const Json& state)
{
    if (!state.contains("kept_layers"))
        return;
    const JsonReader in(state, "state.json");
    m_kept = static_cast<int>(in.integer("kept_layers", 0, std::numeric_limits<int>::max()));
    m_tokens = in.integer("measured_tokens", 0, std::numeric_limits<std::int64_t>::max());
}

int TrainingPass::layersToRecompute(int layers, std::int64_t tokens)
{
    if (m_choice != RecomputeChoice::Auto)
        return m_choice == RecomputeChoice::Always ? layers : 0;
    if (!m_gpu)
        return 0;
    auto* const allocator = at::getDeviceAllocator(at::kCUDA);
    if (tokens > m_tokens) {
        m_tokens = tokens;
        m_kept = -1;
        *m_layerBytes = 0;
        allocator->resetPeakStats(0);
        return layers;
    }
    if (m_kept < 0) {
        // What was free at the fullest moment of the measured step, with a tenth of the memory left for gaps between tensors.
        const auto stats = gpuStats();
        const auto [free, total] = allocator->getMemoryInfo(0);
        const auto index = static_cast<std::size_t>(StatType::AGGREGATE);
        const double spare = static_cast<double>(free) + static_cast<double>(stats.reserved_bytes[index].current - stats.allocated_bytes[index].peak)
            - 0.1 * static_cast<double>(total);
        m_kept = *m_layerBytes > 0 ? static_cast<int>(std::clamp(spare / *m_layerBytes, 0.0, static_cast<double>(layers))) : layers;
    }
    return std::max(0, layers - m_kept);
}

torch::Tensor TrainingPass::forward(const HybridModel& model, const torch::Tensor& ids, const std::vector<const Block*>* mixers,
                                    const std::function<void(int, const torch::Tensor&)>& visit)
{
    const int layers = model.architecture().layerCount();
    // The first ones, whose gradients come last: what the others keep is free again when these run a second time.
    m_recomputed = layersToRecompute(layers, ids.numel());
    const ForwardContext positions = model.context(0, ids.size(1));
    torch::Tensor hidden = model.embed(ids);
    for (int i = 0; i < layers; ++i) {
        const Block& mixer = mixers != nullptr ? *(*mixers)[static_cast<std::size_t>(i)] : model.block(i);
        const HiddenFunction layer = [&model, &mixer, positions, i](const torch::Tensor& x) { return model.layer(i, mixer, x, positions, nullptr); };
        hidden = i < m_recomputed ? recomputed(layer, hidden, trainedTensors(model, i, mixer), m_layerBytes) : layer(hidden);
        if (visit)
            visit(i, hidden);
    }
    return hidden;
}

} // namespace postnas::engine
