// Chunked cross-entropy and feature distillation.
#include "core/engine/training/losses.h"

#include <algorithm>

#include "core/engine/training/autocast.h"

namespace postnas::engine {

torch::Tensor nextTokenLossBackward(const HybridModel& model, const BatchTensors& batch, double share, bool autocast, std::int64_t chunkElements)
{
    const std::int64_t length = batch.ids.size(1);
    torch::Tensor hidden;
    {
        const AutocastScope scope(autocast);
        hidden = model.forward(batch.ids.narrow(1, 0, length - 1));
    }
    const torch::Tensor weights = batch.weights.narrow(1, 1, length - 1).reshape({-1});
    const torch::Tensor targets = batch.ids.narrow(1, 1, length - 1).reshape({-1});
    const torch::Tensor total = weights.sum().clamp_min(1e-6);
    // The head sees a detached copy, piece by piece; its gradient then goes through the layers in one backward pass.
    torch::Tensor rows = hidden.detach().flatten(0, 1).requires_grad_();
    torch::Tensor loss = torch::zeros({}, rows.options().dtype(torch::kFloat32));
    const std::int64_t chunk = std::max<std::int64_t>(1, chunkElements / model.architecture().vocabularySize);
    for (std::int64_t begin = 0; begin < rows.size(0); begin += chunk) {
        const std::int64_t end = std::min(rows.size(0), begin + chunk);
        torch::Tensor logits;
        {
            const AutocastScope scope(autocast);
            logits = model.logits(rows.slice(0, begin, end));
        }
        const torch::Tensor nll = at::cross_entropy_loss(logits.to(torch::kFloat32), targets.slice(0, begin, end), {}, at::Reduction::None);
        const torch::Tensor part = (nll * weights.slice(0, begin, end)).sum() / total;
        loss += part.detach();
        (part * share).backward();
    }
    hidden.backward(rows.grad().view_as(hidden));
    return loss;
}

torch::Tensor featureDistillationLoss(const std::vector<torch::Tensor>& student, const std::vector<torch::Tensor>& teacher, const torch::Tensor& valid)
{
    const torch::Tensor mask = valid.unsqueeze(-1);
    torch::Tensor sum;
    for (std::size_t i = 0; i < student.size(); ++i) {
        const torch::Tensor t = teacher[i].to(torch::kFloat32);
        const torch::Tensor difference = (student[i].to(torch::kFloat32) - t).square().masked_fill(mask.logical_not(), 0).sum();
        const torch::Tensor scale = t.square().masked_fill(mask.logical_not(), 0).sum().clamp_min(1e-12);
        const torch::Tensor part = difference / scale;
        sum = sum.defined() ? sum + part : part;
    }
    return sum / double(student.size());
}

} // namespace postnas::engine
