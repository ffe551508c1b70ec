// Chunked cross-entropy and feature distillation.
#include "core/engine/training/losses.h"

#include "core/engine/training/head_loss.h"
#include "kernels/include/training_operators.h"

namespace postnas::engine {

torch::Tensor nextTokenLossBackward(const HybridModel& model, TrainingPass& pass, const BatchTensors& batch, double share)
{
    const std::int64_t length = batch.ids.size(1);
    const torch::Tensor hidden = pass.forward(model, batch.ids.narrow(1, 0, length - 1));
    HeadTargets targets;
    const torch::Tensor weights = batch.weights.narrow(1, 1, length - 1).reshape({-1});
    targets.weights = weights / weights.sum().clamp_min(1e-6);
    targets.ids = batch.ids.narrow(1, 1, length - 1).reshape({-1});
    const torch::Tensor loss = headLoss(model.finalNorm(hidden).flatten(0, 1), model.head(), targets);
    (loss * share).backward();
    return loss.detach();
}

torch::Tensor featureDistillationLoss(const std::vector<torch::Tensor>& student, const std::vector<torch::Tensor>& teacher, const torch::Tensor& valid)
{
    const torch::Tensor mask = valid.unsqueeze(-1);
    torch::Tensor sum;
    for (std::size_t i = 0; i < student.size(); ++i) {
        if (student[i].is_cuda()) {
            const torch::Tensor part = ops::relativeDistance(student[i].flatten(0, 1), teacher[i].flatten(0, 1), valid.flatten());
            sum = sum.defined() ? sum + part : part;
            continue;
        }
        const torch::Tensor t = teacher[i].to(torch::kFloat32);
        const torch::Tensor difference = (student[i].to(torch::kFloat32) - t).square().masked_fill(mask.logical_not(), 0).sum();
        const torch::Tensor scale = t.square().masked_fill(mask.logical_not(), 0).sum().clamp_min(1e-12);
        const torch::Tensor part = difference / scale;
        sum = sum.defined() ? sum + part : part;
    }
    return sum / double(student.size());
}

} // namespace postnas::engine
