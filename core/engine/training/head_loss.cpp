// Cross-entropy and distillation through the head, slice by slice.
#include "core/engine/training/head_loss.h"

#include <algorithm>

#include "kernels/include/training_operators.h"

namespace postnas::engine {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Targets final : torch::CustomClassHolder {
    HeadTargets value;
    std::int64_t slice = 1;
};

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
            torch::Tensor gradient = at::linear(rows, head); // the logits, at first
            const HeadTargets& t = targets->value;
            std::optional<torch::Tensor> teacher, ids;
            if (t.divergence != 0)
                teacher = at::linear(t.teacherHidden.slice(0, begin, end), t.teacherHead);
            if (t.crossEntropy != 0)
                ids = t.ids.slice(0, begin, end);
            const torch::Tensor weights = t.weights.slice(0, begin, end).to(wide) * t.scale;
            loss += ops::headGradient(gradient, teacher, ids, weights, t.crossEntropy, t.divergence, t.temperature).sum();
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
    // Few tokens at a time leave a GPU's matrix units idle.
    const std::int64_t elements = sliceElements > 0 ? sliceElements : std::int64_t{1} << (hidden.is_cuda() ? 28 : 25);
    held->slice = std::max<std::int64_t>(1, elements / std::max<std::int64_t>(1, head.size(0)));
    return HeadLoss::apply(hidden, head, held);
}

} // namespace postnas::engine
