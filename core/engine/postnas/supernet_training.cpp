// Feature distillation of the supernet's linear paths.
#include "core/engine/postnas/supernet_training.h"

#include "core/engine/training/losses.h"

namespace postnas::engine {

SupernetTrainer::SupernetTrainer(Supernet& supernet, const SupernetTrainerOptions& options)
    : m_supernet(supernet)
    , m_options(options)
    , m_optimizer(supernet.weights(), options.optimizer)
    , m_pass(options.recompute, supernet.teacher().device())
{
    for (const TrainedWeight& weight : supernet.weights())
        weight.compute.requires_grad_();
}

SupernetTrainer::~SupernetTrainer()
{
    for (const TrainedWeight& weight : m_supernet.weights())
        weight.compute.requires_grad_(false);
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
        model.forward(ids, nullptr, [&](int, const torch::Tensor& hidden) { teacher.push_back(hidden); });
    }
    const std::vector<const Block*> mixers = m_supernet.mixers(path(step));
    m_pass.forward(model, ids, &mixers, [&](int, const torch::Tensor& hidden) { student.push_back(hidden); });
    const torch::Tensor loss = featureDistillationLoss(student, teacher, valid);
    if (loss.requires_grad())
        loss.backward();
    return loss.item<double>();
}

} // namespace postnas::engine
