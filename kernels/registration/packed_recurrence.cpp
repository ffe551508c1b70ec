// Registers the linear recurrence of packed sequences: its schema, a way for every device, and autograd.
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

using PackedBackward = RecurrenceBackwardResult(const OptionalTensor&, const OptionalTensor&, const Tensor&, const Tensor&, const Tensor&,
                                                const OptionalTensor&, const OptionalTensor&, const OptionalTensor&, const Tensor&, double,
                                                const OptionalTensor&);

class PackedFunction : public torch::autograd::Function<PackedFunction> {
public:
    static variable_list forward(AutogradContext* context, const Tensor& q, const Tensor& k, const Tensor& v, const OptionalTensor& g,
                                 const OptionalTensor& beta, const OptionalTensor& initialState, const Tensor& starts, double scale,
                                 const OptionalTensor& removalKey)
    {
        const at::AutoDispatchBelowADInplaceOrView guard;
        auto [o, finalState] = packedLinearRecurrence(q, k, v, g, beta, initialState, starts, scale, removalKey);
        context->save_for_backward({q, k, v, valueOf(g), valueOf(beta), valueOf(initialState), starts, valueOf(removalKey)});
        context->saved_data["scale"] = scale;
        context->set_materialize_grads(false);
        return {o, finalState};
    }

    static variable_list backward(AutogradContext* context, variable_list gradients)
    {
        if (!gradients[0].defined() && !gradients[1].defined())
            return variable_list(9);
        const variable_list saved = context->get_saved_variables();
        static const auto op = c10::Dispatcher::singleton().findSchemaOrThrow("postnas::packed_recurrence_backward", "").typed<PackedBackward>();
        auto [q, k, v, g, beta, state, removalKey] =
            op.call(optional(gradients[0]), optional(gradients[1]), saved[0], saved[1], saved[2], optional(saved[3]), optional(saved[4]),
                    optional(saved[5]), saved[6], context->saved_data["scale"].toDouble(), optional(saved[7]));
        return {q, k, v, g, beta, state, Tensor(), Tensor(), removalKey};
    }
};

RecurrenceResult packedAutograd(const Tensor& q, const Tensor& k, const Tensor& v, const OptionalTensor& g, const OptionalTensor& beta,
                                const OptionalTensor& initialState, const Tensor& starts, double scale, const OptionalTensor& removalKey)
{
    const variable_list out = PackedFunction::apply(q, k, v, g, beta, initialState, starts, scale, removalKey);
    return {out[0], out[1]};
}

} // namespace

TORCH_LIBRARY_FRAGMENT(postnas, m)
{
    m.def("packed_recurrence(Tensor q, Tensor k, Tensor v, Tensor? g, Tensor? beta, Tensor? initial_state, Tensor starts, float scale, "
          "Tensor? removal_key=None) -> (Tensor, Tensor)");
    m.def("packed_recurrence_backward(Tensor? grad_o, Tensor? grad_final_state, Tensor q, Tensor k, Tensor v, Tensor? g, Tensor? beta, "
          "Tensor? initial_state, Tensor starts, float scale, Tensor? removal_key=None) -> "
          "(Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(postnas, CompositeExplicitAutograd, m)
{
    m.impl("packed_recurrence", &packedRecurrenceOneByOne);
    m.impl("packed_recurrence_backward", &packedRecurrenceBackwardOneByOne);
}

TORCH_LIBRARY_IMPL(postnas, Autograd, m) { m.impl("packed_recurrence", &packedAutograd); }

RecurrenceResult packedLinearRecurrence(const Tensor& q, const Tensor& k, const Tensor& v, const OptionalTensor& g, const OptionalTensor& beta,
                                        const OptionalTensor& initialState, const Tensor& starts, double scale, const OptionalTensor& removalKey)
{
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("postnas::packed_recurrence", "")
                               .typed<RecurrenceResult(const Tensor&, const Tensor&, const Tensor&, const OptionalTensor&, const OptionalTensor&,
                                                       const OptionalTensor&, const Tensor&, double, const OptionalTensor&)>();
    return op.call(q, k, v, g, beta, initialState, starts, scale, removalKey);
}

} // namespace postnas::ops
