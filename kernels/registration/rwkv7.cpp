// Registers RWKV-7: its schema, a way for every device, and autograd.
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "kernels/include/implementations.h"
#include "kernels/include/operators.h"
#include "kernels/registration/optional_tensor.h"

namespace postnas::ops {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

using Backward = Rwkv7BackwardResult(const OptionalTensor&, const OptionalTensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
    const Tensor&, const Tensor&, const OptionalTensor&, double);

class Rwkv7Function : public torch::autograd::Function<Rwkv7Function> {
public:
    static variable_list forward(AutogradContext* context, const Tensor& r, const Tensor& w, const Tensor& k, const Tensor& v, const Tensor& kappa,
        const Tensor& a, const OptionalTensor& initialState, double scale)
    {
        const at::AutoDispatchBelowADInplaceOrView guard;
        auto [o, finalState] = rwkv7(r, w, k, v, kappa, a, initialState, scale);
        context->save_for_backward({ r, w, k, v, kappa, a, valueOf(initialState) });
        context->saved_data["scale"] = scale;
        context->set_materialize_grads(false);
        return { o, finalState };
    }

    static variable_list backward(AutogradContext* context, variable_list gradients)
    {
        if (!gradients[0].defined() && !gradients[1].defined())
            return variable_list(8);
        const variable_list saved = context->get_saved_variables();
        static const auto op = c10::Dispatcher::singleton().findSchemaOrThrow("postnas::rwkv7_backward", "").typed<Backward>();
        auto [r, w, k, v, kappa, a, state] = op.call(optional(gradients[0]), optional(gradients[1]), saved[0], saved[1], saved[2], saved[3], saved[4],
            saved[5], optional(saved[6]), context->saved_data["scale"].toDouble());
        return { r, w, k, v, kappa, a, state, Tensor() };
    }
};

RecurrenceResult rwkv7Autograd(const Tensor& r, const Tensor& w, const Tensor& k, const Tensor& v, const Tensor& kappa, const Tensor& a,
    const OptionalTensor& initialState, double scale)
{
    const variable_list out = Rwkv7Function::apply(r, w, k, v, kappa, a, initialState, scale);
    return { out[0], out[1] };
}

} // namespace

TORCH_LIBRARY_FRAGMENT(postnas, m)
{
    m.def("rwkv7(Tensor r, Tensor w, Tensor k, Tensor v, Tensor kappa, Tensor a, Tensor? initial_state, float scale) -> (Tensor, Tensor)");
    m.def("rwkv7_backward(Tensor? grad_o, Tensor? grad_final_state, Tensor r, Tensor w, Tensor k, Tensor v, Tensor kappa, Tensor a, "
          "Tensor? initial_state, float scale) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(postnas, CompositeExplicitAutograd, m)
{
    m.impl("rwkv7", &rwkv7AsRecurrence);
    m.impl("rwkv7_backward", &rwkv7BackwardAsRecurrence);
}

TORCH_LIBRARY_IMPL(postnas, Autograd, m) { m.impl("rwkv7", &rwkv7Autograd); }

std::tuple<Tensor, Tensor> rwkv7(const Tensor& r, const Tensor& w, const Tensor& k, const Tensor& v, const Tensor& kappa, const Tensor& a,
    const OptionalTensor& initialState, double scale)
{
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("postnas::rwkv7", "")
                               .typed<RecurrenceResult(const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                   const OptionalTensor&, double)>();
    return op.call(r, w, k, v, kappa, a, initialState, scale);
}

} // namespace postnas::ops
