// Registers the operators of training with the torch dispatcher: schemas, the CPU, and the functions that make them differentiable.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "kernels/include/prefill_operators.h"
#include "kernels/include/training_operators.h"
#include "kernels/training/reference.h"

namespace postnas::ops {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

template <typename F>
auto handle(const char* name)
{
    return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<F>();
}

class GatedNorm : public torch::autograd::Function<GatedNorm> {
public:
    static Tensor forward(AutogradContext* context, const Tensor& o, const Tensor& weight, const OptionalTensor& gate, double epsilon)
    {
        context->save_for_backward({o, weight, gate ? *gate : Tensor()});
        context->saved_data["epsilon"] = epsilon;
        return gatedNorm(o, weight, gate, epsilon);
    }
    static variable_list backward(AutogradContext* context, const variable_list& gradients)
    {
        const variable_list saved = context->get_saved_variables();
        const auto [o, weight, gate] = gatedNormBackward(gradients.front(), saved[0], saved[1], saved[2].defined() ? OptionalTensor(saved[2]) : std::nullopt,
                                                         context->saved_data["epsilon"].toDouble());
        return {o, weight, gate, Tensor()};
    }
};

class RelativeDistance : public torch::autograd::Function<RelativeDistance> {
public:
    static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& y, const Tensor& valid)
    {
        static const auto op = handle<decltype(squaredSumsReference)>("postnas::squared_sums");
        const Tensor sums = op.call(x, y, valid), size = sums[1].clamp_min(1e-12);
        context->save_for_backward({x, y, valid, size});
        return sums[0] / size;
    }
    static variable_list backward(AutogradContext* context, const variable_list& gradients)
    {
        static const auto op = handle<decltype(squaredSumsBackwardReference)>("postnas::squared_sums_backward");
        const variable_list saved = context->get_saved_variables();
        return {op.call(gradients.front() / saved[3], saved[0], saved[1], saved[2]), Tensor(), Tensor()};
    }
};

} // namespace

TORCH_LIBRARY_FRAGMENT(postnas, m)
{
    m.def("swiglu_backward(Tensor gradient, Tensor gate, Tensor up) -> (Tensor, Tensor)");
    m.def("gated_norm_backward(Tensor gradient, Tensor x, Tensor weight, Tensor? gate, float epsilon) -> (Tensor, Tensor, Tensor)");
    m.def("head_gradient_(Tensor(a!) logits, Tensor? teacher, Tensor? ids, Tensor weights, float cross_entropy, float divergence, float temperature) "
          "-> Tensor");
    m.def("squared_sums(Tensor x, Tensor y, Tensor valid) -> Tensor");
    m.def("squared_sums_backward(Tensor factor, Tensor x, Tensor y, Tensor valid) -> Tensor");
}

TORCH_LIBRARY_IMPL(postnas, CPU, m)
{
    m.impl("swiglu_backward", &swiGluBackwardReference);
    m.impl("gated_norm_backward", &gatedNormBackwardReference);
    m.impl("head_gradient_", &headGradientReference);
    m.impl("squared_sums", &squaredSumsReference);
    m.impl("squared_sums_backward", &squaredSumsBackwardReference);
}

std::tuple<Tensor, Tensor> swiGluBackward(const Tensor& gradient, const Tensor& gate, const Tensor& up)
{
    static const auto op = handle<decltype(swiGluBackwardReference)>("postnas::swiglu_backward");
    return op.call(gradient, gate, up);
}

std::tuple<Tensor, Tensor, Tensor> gatedNormBackward(const Tensor& gradient, const Tensor& o, const Tensor& weight, const OptionalTensor& gate,
                                                     double epsilon)
{
    static const auto op = handle<decltype(gatedNormBackwardReference)>("postnas::gated_norm_backward");
    return op.call(gradient, o, weight, gate, epsilon);
}

Tensor differentiableGatedNorm(const Tensor& o, const Tensor& weight, const OptionalTensor& gate, double epsilon)
{
    return GatedNorm::apply(o, weight, gate, epsilon);
}

Tensor headGradient(Tensor& logits, const OptionalTensor& teacher, const OptionalTensor& ids, const Tensor& weights, double crossEntropy, double divergence,
                    double temperature)
{
    static const auto op = handle<decltype(headGradientReference)>("postnas::head_gradient_");
    return op.call(logits, teacher, ids, weights, crossEntropy, divergence, temperature);
}

Tensor relativeDistance(const Tensor& x, const Tensor& y, const Tensor& valid) { return RelativeDistance::apply(x, y, valid); }

} // namespace postnas::ops
