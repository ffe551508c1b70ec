// Feature distillation of the supernet's linear paths.
#include "core/engine/postnas/supernet_training.h"

#include "core/engine/training/autocast.h"
#include "core/engine/training/losses.h"

namespace postnas::engine {
namespace {

NamedTensors trainable(const Supernet& supernet)
{
    NamedTensors out = supernet.parameters();
    for (auto& [name, tensor] : out)
        tensor.requires_grad_();
    return out;
}

} // namespace

SupernetTrainer::SupernetTrainer(Supernet& supernet, const SupernetTrainerOptions& options)
    : m_supernet(supernet)
    , m_options(options)
    , m_optimizer(trainable(supernet), options.optimizer)
{
}

SupernetTrainer::~SupernetTrainer()
{
    for (const auto& [name, tensor] : m_optimizer.parameters())
        tensor.requires_grad_(false);
}

LayerSet SupernetTrainer::path(std::int64_t step) const
{
    return randomPath(m_supernet.layerCount(), m_options.fullProbability, m_options.seed, step);
}

double SupernetTrainer::backward(const torch::Tensor& ids, const torch::Tensor& valid, std::int64_t step)
{
    const HybridModel& model = m_supernet.teacher();
    std::vector<torch::Tensor> teacher, student;
    {
        const torch::NoGradGuard guard;
        const AutocastScope scope(m_options.autocast);
        model.forward(ids, nullptr, [&](int, const torch::Tensor& hidden) { teacher.push_back(hidden); });
    }
    const std::vector<const Block*> mixers = m_supernet.mixers(path(step));
    {
        const AutocastScope scope(m_options.autocast);
        model.forward(ids, &mixers, [&](int, const torch::Tensor& hidden) { student.push_back(hidden); });
    }
    const torch::Tensor loss = featureDistillationLoss(student, teacher, valid);
    if (loss.requires_grad())
        loss.backward();
    return loss.item<double>();
}

} // namespace postnas::engine
