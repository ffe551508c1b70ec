// Registers the operators with the torch dispatcher: schemas, CPU, a fallback for devices without own code, and autograd.
//
// Two primitives, `linear_recurrence` and `causal_convolution`, have an implementation per device and a backward operator.
// The named operators (gated_linear_attention, gated_delta_rule, dynamic_convolution, short_convolution) are instances.
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "kernels/include/implementations.h"
#include "kernels/include/operators.h"
#include "kernels/registration/optional_tensor.h"

namespace postnas::ops {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

RecurrenceResult linearRecurrence(const Tensor& q, const Tensor& k, const Tensor& v, const OptionalTensor& g, const OptionalTensor& beta,
                                  const OptionalTensor& initialState, double scale, const OptionalTensor& removalKey)
{
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("postnas::linear_recurrence", "")
                               .typed<RecurrenceResult(const Tensor&, const Tensor&, const Tensor&, const OptionalTensor&,
                                                       const OptionalTensor&, const OptionalTensor&, double, const OptionalTensor&)>();
    return op.call(q, k, v, g, beta, initialState, scale, removalKey);
}

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The other primitives through the dispatcher ----------------------------------------------------------------------------------

RecurrenceBackwardResult linearRecurrenceBackward(const OptionalTensor& gradO, const OptionalTensor& gradFinalState, const Tensor& q,
                                                  const Tensor& k, const Tensor& v, const OptionalTensor& g, const OptionalTensor& beta,
                                                  const OptionalTensor& initialState, double scale, const OptionalTensor& removalKey)
{
    static const auto op =
        c10::Dispatcher::singleton()
            .findSchemaOrThrow("postnas::linear_recurrence_backward", "")
            .typed<RecurrenceBackwardResult(const OptionalTensor&, const OptionalTensor&, const Tensor&, const Tensor&, const Tensor&,
                                            const OptionalTensor&, const OptionalTensor&, const OptionalTensor&, double,
                                            const OptionalTensor&)>();
    return op.call(gradO, gradFinalState, q, k, v, g, beta, initialState, scale, removalKey);
}

Tensor causalConvolution(const Tensor& x, const Tensor& kernels, const OptionalTensor& history)
{
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("postnas::causal_convolution", "")
                               .typed<Tensor(const Tensor&, const Tensor&, const OptionalTensor&)>();
    return op.call(x, kernels, history);
}

std::tuple<Tensor, Tensor, Tensor> causalConvolutionBackward(const Tensor& gradY, const Tensor& x, const Tensor& kernels,
                                                             const OptionalTensor& history)
{
    static const auto op =
        c10::Dispatcher::singleton()
            .findSchemaOrThrow("postnas::causal_convolution_backward", "")
            .typed<std::tuple<Tensor, Tensor, Tensor>(const Tensor&, const Tensor&, const Tensor&, const OptionalTensor&)>();
    return op.call(gradY, x, kernels, history);
}

// Devices without own code: through the CPU ------------------------------------------------------------------------------

Tensor onCpu(const Tensor& tensor) { return tensor.cpu(); }
OptionalTensor onCpu(const OptionalTensor& tensor) { return tensor ? OptionalTensor(tensor->cpu()) : std::nullopt; }

template <typename... Tensors>
std::tuple<Tensors...> onDevice(const std::tuple<Tensors...>& tensors, at::Device device)
{
    return std::apply([&](const auto&... t) { return std::tuple<Tensors...>((t.defined() ? t.to(device) : t)...); }, tensors);
}

RecurrenceResult linearRecurrenceFallback(const Tensor& q, const Tensor& k, const Tensor& v, const OptionalTensor& g,
                                          const OptionalTensor& beta, const OptionalTensor& initialState, double scale,
                                          const OptionalTensor& removalKey)
{
    checkRecurrence(q, k, v, g, beta, initialState, removalKey);
    return onDevice(linearRecurrenceCpu(onCpu(q), onCpu(k), onCpu(v), onCpu(g), onCpu(beta), onCpu(initialState), scale, onCpu(removalKey)),
                    q.device());
}

RecurrenceBackwardResult linearRecurrenceBackwardFallback(const OptionalTensor& gradO, const OptionalTensor& gradFinalState,
                                                          const Tensor& q, const Tensor& k, const Tensor& v, const OptionalTensor& g,
                                                          const OptionalTensor& beta, const OptionalTensor& initialState, double scale,
                                                          const OptionalTensor& removalKey)
{
    return onDevice(linearRecurrenceBackwardCpu(onCpu(gradO), onCpu(gradFinalState), onCpu(q), onCpu(k), onCpu(v), onCpu(g), onCpu(beta),
                                                onCpu(initialState), scale, onCpu(removalKey)),
                    q.device());
}

Tensor causalConvolutionFallback(const Tensor& x, const Tensor& kernels, const OptionalTensor& history)
{
    checkConvolution(x, kernels, history);
    return causalConvolutionCpu(onCpu(x), onCpu(kernels), onCpu(history)).to(x.device());
}

std::tuple<Tensor, Tensor, Tensor> causalConvolutionBackwardFallback(const Tensor& gradY, const Tensor& x, const Tensor& kernels,
                                                                     const OptionalTensor& history)
{
    return onDevice(causalConvolutionBackwardCpu(onCpu(gradY), onCpu(x), onCpu(kernels), onCpu(history)), x.device());
}

// Autograd ---------------------------------------------------------------------------------------------------------------

class RecurrenceFunction : public torch::autograd::Function<RecurrenceFunction> {
public:
    static variable_list forward(AutogradContext* context, const Tensor& q, const Tensor& k, const Tensor& v, const OptionalTensor& g,
                                 const OptionalTensor& beta, const OptionalTensor& initialState, double scale, const OptionalTensor& removalKey)
    {
        const at::AutoDispatchBelowADInplaceOrView guard;
        auto [o, finalState] = linearRecurrence(q, k, v, g, beta, initialState, scale, removalKey);
        context->save_for_backward({q, k, v, valueOf(g), valueOf(beta), valueOf(initialState), valueOf(removalKey)});
        context->saved_data["scale"] = scale;
        context->set_materialize_grads(false);
        return {o, finalState};
    }

    static variable_list backward(AutogradContext* context, variable_list gradients)
    {
        const variable_list saved = context->get_saved_variables();
        if (!gradients[0].defined() && !gradients[1].defined())
            return variable_list(8);
        auto [q, k, v, g, beta, state, removalKey] =
            linearRecurrenceBackward(optional(gradients[0]), optional(gradients[1]), saved[0], saved[1], saved[2], optional(saved[3]),
                                     optional(saved[4]), optional(saved[5]), context->saved_data["scale"].toDouble(), optional(saved[6]));
        return {q, k, v, g, beta, state, Tensor(), removalKey};
    }
};

RecurrenceResult linearRecurrenceAutograd(const Tensor& q, const Tensor& k, const Tensor& v, const OptionalTensor& g,
                                          const OptionalTensor& beta, const OptionalTensor& initialState, double scale,
                                          const OptionalTensor& removalKey)
{
    const variable_list out = RecurrenceFunction::apply(q, k, v, g, beta, initialState, scale, removalKey);
    return {out[0], out[1]};
}

class ConvolutionFunction : public torch::autograd::Function<ConvolutionFunction> {
public:
    static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& kernels, const OptionalTensor& history)
    {
        const at::AutoDispatchBelowADInplaceOrView guard;
        context->save_for_backward({x, kernels, valueOf(history)});
        return causalConvolution(x, kernels, history);
    }

    static variable_list backward(AutogradContext* context, variable_list gradients)
    {
        const variable_list saved = context->get_saved_variables();
        auto [x, kernels, history] = causalConvolutionBackward(gradients[0], saved[0], saved[1], optional(saved[2]));
        return {x, kernels, history};
    }
};

Tensor causalConvolutionAutograd(const Tensor& x, const Tensor& kernels, const OptionalTensor& history)
{
    return ConvolutionFunction::apply(x, kernels, history);
}

// The named operators ----------------------------------------------------------------------------------------------------

RecurrenceResult gatedLinearAttentionImplementation(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& g,
                                                    const OptionalTensor& initialState, double scale)
{
    return linearRecurrence(q, k, v, g, std::nullopt, initialState, scale, std::nullopt);
}

RecurrenceResult gatedDeltaRuleImplementation(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& g, const Tensor& beta,
                                              const OptionalTensor& initialState, double scale)
{
    return linearRecurrence(q, k, v, g, beta, initialState, scale, std::nullopt);
}

Tensor dynamicConvolutionImplementation(const Tensor& x, const Tensor& kernels, const OptionalTensor& history)
{
    TORCH_CHECK(kernels.dim() == 4, "dynamic convolution: kernels must be [batch, length, channels, taps], they have shape ",
                kernels.sizes());
    return causalConvolution(x, kernels, history);
}

Tensor shortConvolutionImplementation(const Tensor& x, const Tensor& weight, const OptionalTensor& history)
{
    TORCH_CHECK(weight.dim() == 2, "short convolution: the weight must be [channels, taps], it has shape ", weight.sizes());
    return causalConvolution(x, weight, history);
}

} // namespace

TORCH_LIBRARY(postnas, m)
{
    m.def("linear_recurrence(Tensor q, Tensor k, Tensor v, Tensor? g, Tensor? beta, Tensor? initial_state, float scale, "
          "Tensor? removal_key=None) -> (Tensor, Tensor)");
    m.def("linear_recurrence_backward(Tensor? grad_o, Tensor? grad_final_state, Tensor q, Tensor k, Tensor v, Tensor? g, Tensor? beta, "
          "Tensor? initial_state, float scale, Tensor? removal_key=None) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)");
    m.def("recurrence_chunks_fit(Tensor v, int key, bool delta, bool gate_per_channel, bool removal_key) -> (bool, bool)");
    m.def("causal_convolution(Tensor x, Tensor kernels, Tensor? history) -> Tensor");
    m.def("causal_convolution_backward(Tensor grad_y, Tensor x, Tensor kernels, Tensor? history) -> (Tensor, Tensor, Tensor)");
    m.def("gated_linear_attention(Tensor q, Tensor k, Tensor v, Tensor g, Tensor? initial_state, float scale) -> (Tensor, Tensor)",
          &gatedLinearAttentionImplementation);
    m.def("gated_delta_rule(Tensor q, Tensor k, Tensor v, Tensor g, Tensor beta, Tensor? initial_state, float scale) "
          "-> (Tensor, Tensor)",
          &gatedDeltaRuleImplementation);
    m.def("dynamic_convolution(Tensor x, Tensor kernels, Tensor? history) -> Tensor", &dynamicConvolutionImplementation);
    m.def("short_convolution(Tensor x, Tensor weight, Tensor? history) -> Tensor", &shortConvolutionImplementation);
}

TORCH_LIBRARY_IMPL(postnas, CPU, m)
{
    m.impl("linear_recurrence", &linearRecurrenceCpu);
    m.impl("linear_recurrence_backward", &linearRecurrenceBackwardCpu);
    m.impl("causal_convolution", &causalConvolutionCpu);
    m.impl("causal_convolution_backward", &causalConvolutionBackwardCpu);
}

TORCH_LIBRARY_IMPL(postnas, CompositeExplicitAutograd, m)
{
    m.impl("linear_recurrence", &linearRecurrenceFallback);
    m.impl("linear_recurrence_backward", &linearRecurrenceBackwardFallback);
    m.impl("causal_convolution", &causalConvolutionFallback);
    m.impl("causal_convolution_backward", &causalConvolutionBackwardFallback);
}

TORCH_LIBRARY_IMPL(postnas, Autograd, m)
{
    m.impl("linear_recurrence", &linearRecurrenceAutograd);
    m.impl("causal_convolution", &causalConvolutionAutograd);
}

std::tuple<Tensor, Tensor> gatedLinearAttention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& g,
                                                const OptionalTensor& initialState, double scale)
{
    static const auto op =
        c10::Dispatcher::singleton()
            .findSchemaOrThrow("postnas::gated_linear_attention", "")
            .typed<RecurrenceResult(const Tensor&, const Tensor&, const Tensor&, const Tensor&, const OptionalTensor&, double)>();
    return op.call(q, k, v, g, initialState, scale);
}

std::tuple<Tensor, Tensor> gatedDeltaRule(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& g, const Tensor& beta,
                                          const OptionalTensor& initialState, double scale)
{
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("postnas::gated_delta_rule", "")
                               .typed<RecurrenceResult(const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                                       const OptionalTensor&, double)>();
    return op.call(q, k, v, g, beta, initialState, scale);
}

Tensor dynamicConvolution(const Tensor& x, const Tensor& kernels, const OptionalTensor& history)
{
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("postnas::dynamic_convolution", "")
                               .typed<Tensor(const Tensor&, const Tensor&, const OptionalTensor&)>();
    return op.call(x, kernels, history);
}

Tensor shortConvolution(const Tensor& x, const Tensor& weight, const OptionalTensor& history)
{
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("postnas::short_convolution", "")
                               .typed<Tensor(const Tensor&, const Tensor&, const OptionalTensor&)>();
    return op.call(x, weight, history);
}

} // namespace postnas::ops
