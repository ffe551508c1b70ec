// Cross-entropy and distillation through the head, slice by slice.
#include "core/engine/training/head_loss.h"

#include <algorithm>

namespace postnas::engine {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Targets final : torch::CustomClassHolder {
    HeadTargets value;
    std::int64_t slice = 1;
};

/// Loss of a slice, weighted and summed; `logits` becomes its gradient.
torch::Tensor sliceLoss(torch::Tensor& logits, const HeadTargets& t, std::int64_t begin, std::int64_t end)
{
    const torch::Tensor weights = t.weights.slice(0, begin, end).to(logits.scalar_type()) * t.scale;
    torch::Tensor loss = torch::zeros({}, logits.options());
    torch::Tensor gradient;
    if (t.crossEntropy != 0) {
        const torch::Tensor logs = at::log_softmax(logits, -1), ids = t.ids.slice(0, begin, end).unsqueeze(1);
        const torch::Tensor share = weights * t.crossEntropy;
        loss = loss - (logs.gather(1, ids).squeeze(1) * share).sum();
        gradient = logs.exp_().mul_(share.unsqueeze(1));
        gradient.scatter_add_(1, ids, -share.unsqueeze(1));
    }
    if (t.divergence != 0) {
        const double sharpness = 1 / t.temperature;
        const torch::Tensor teacher =
            at::log_softmax(at::linear(t.teacherHidden.slice(0, begin, end), t.teacherHead).to(logits.scalar_type()).mul_(sharpness), -1);
        const torch::Tensor student = at::log_softmax(logits.mul_(sharpness), -1);
        const torch::Tensor share = weights * (t.divergence * t.temperature * t.temperature);
        const torch::Tensor chances = teacher.exp();
        loss = loss + ((chances * (teacher - student)).sum(-1) * share).sum();
        const torch::Tensor part = student.exp().sub_(chances).mul_(share.unsqueeze(1) * sharpness);
        gradient = gradient.defined() ? gradient.add_(part) : part;
    }
    logits = gradient.defined() ? gradient : torch::zeros_like(logits);
    return loss;
}

class HeadLoss : public torch::autograd::Function<HeadLoss> {
public:
    static torch::Tensor forward(AutogradContext* context, const torch::Tensor& hidden, const torch::Tensor& head, const c10::intrusive_ptr<Targets>& targets)
    {
        const torch::ScalarType wide = torch::promoteTypes(hidden.scalar_type(), torch::kFloat32);
        const bool throughHidden = hidden.requires_grad(), throughHead = head.requires_grad();
        torch::Tensor loss = torch::zeros({}, hidden.options().dtype(wide)), gradHidden, gradHead;
        if (throughHidden)
            gradHidden = torch::empty_like(hidden);
        if (throughHead)
            gradHead = torch::zeros(head.sizes(), head.options().dtype(wide));
        for (std::int64_t begin = 0; begin < hidden.size(0); begin += targets->slice) {
            const std::int64_t end = std::min(hidden.size(0), begin + targets->slice);
            const torch::Tensor rows = hidden.slice(0, begin, end);
            torch::Tensor logits = at::linear(rows, head).to(wide);
            loss += sliceLoss(logits, targets->value, begin, end);
            const torch::Tensor gradient = logits.to(hidden.scalar_type());
            if (throughHidden)
                gradHidden.slice(0, begin, end).copy_(at::mm(gradient, head));
            if (throughHead && gradient.scalar_type() == wide)
                gradHead.addmm_(gradient.t(), rows);
            else if (throughHead)
                gradHead += at::mm(gradient.t(), rows);
        }
        context->save_for_backward({gradHidden, gradHead});
        context->saved_data["head type"] = static_cast<std::int64_t>(head.scalar_type());
        return loss;
    }

    static variable_list backward(AutogradContext* context, const variable_list& upstream)
    {
        const variable_list saved = context->get_saved_variables();
        const auto scaled = [&](const torch::Tensor& t) { return t.defined() ? t * upstream.front().to(t.scalar_type()) : t; };
        torch::Tensor gradHead = scaled(saved[1]);
        if (gradHead.defined())
            gradHead = gradHead.to(static_cast<torch::ScalarType>(context->saved_data["head type"].toInt()));
        return {scaled(saved[0]), gradHead, torch::Tensor()};
    }
};

} // namespace

torch::Tensor headLoss(const torch::Tensor& hidden, const torch::Tensor& head, const HeadTargets& targets, std::int64_t sliceElements)
{
    auto held = c10::make_intrusive<Targets>();
    held->value = targets;
    held->slice = std::max<std::int64_t>(1, sliceElements / std::max<std::int64_t>(1, head.size(0)));
    return HeadLoss::apply(hidden, head, held);
}

} // namespace postnas::engine
