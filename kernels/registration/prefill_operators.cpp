// Registers the operators of whole sequences with the torch dispatcher: schemas, the CPU, and the C++ functions that call them.
#include <torch/library.h>

#include "kernels/prefill/reference.h"

namespace postnas::ops {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

template <typename F>
auto handle(const char* name)
{
    return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<F>();
}

} // namespace

TORCH_LIBRARY_FRAGMENT(postnas, m)
{
    m.def("gated_norm(Tensor o, Tensor weight, Tensor? gate, float epsilon) -> Tensor");
    m.def("unit_length(Tensor x, bool silu) -> Tensor");
    m.def("silu_convolution(Tensor x, Tensor kernels, Tensor? history) -> Tensor");
    m.def("generated_convolution(Tensor x, Tensor hidden, Tensor weight, Tensor? bias, Tensor? history) -> Tensor");
    m.def("rotate(Tensor q, Tensor k, Tensor? query_norm, Tensor? key_norm, float epsilon, Tensor cosine, Tensor sine) -> (Tensor, Tensor)");
    m.def("rotate_into(Tensor q, Tensor k, Tensor v, Tensor? query_norm, Tensor? key_norm, float epsilon, Tensor cosine, Tensor sine, int first, "
          "Tensor(a!) keys, Tensor(b!) values) -> Tensor");
    m.def("merge_attention(Tensor[] parts, Tensor[] log_sums) -> Tensor");
    m.def("delta_gates(Tensor ab, Tensor a_log, Tensor dt_bias) -> (Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(postnas, CPU, m)
{
    m.impl("gated_norm", &gatedNormReference);
    m.impl("unit_length", &unitLengthReference);
    m.impl("silu_convolution", &siluConvolutionReference);
    m.impl("generated_convolution", &generatedConvolutionReference);
    m.impl("rotate", &rotateReference);
    m.impl("rotate_into", &rotateIntoReference);
    m.impl("merge_attention", &mergeAttentionReference);
    m.impl("delta_gates", &deltaGatesReference);
}

Tensor gatedNorm(const Tensor& o, const Tensor& weight, const OptionalTensor& gate, double epsilon)
{
    static const auto op = handle<decltype(gatedNormReference)>("postnas::gated_norm");
    return op.call(o, weight, gate, epsilon);
}

Tensor unitLength(const Tensor& x, bool silu)
{
    static const auto op = handle<decltype(unitLengthReference)>("postnas::unit_length");
    return op.call(x, silu);
}

Tensor siluConvolution(const Tensor& x, const Tensor& kernels, const OptionalTensor& history)
{
    static const auto op = handle<decltype(siluConvolutionReference)>("postnas::silu_convolution");
    return op.call(x, kernels, history);
}

Tensor generatedConvolution(const Tensor& x, const Tensor& hidden, const Tensor& weight, const OptionalTensor& bias, const OptionalTensor& history)
{
    static const auto op = handle<decltype(generatedConvolutionReference)>("postnas::generated_convolution");
    return op.call(x, hidden, weight, bias, history);
}

std::tuple<Tensor, Tensor> rotate(const Tensor& q, const Tensor& k, const OptionalTensor& queryNorm, const OptionalTensor& keyNorm, double epsilon,
                                  const Tensor& cosine, const Tensor& sine)
{
    static const auto op = handle<decltype(rotateReference)>("postnas::rotate");
    return op.call(q, k, queryNorm, keyNorm, epsilon, cosine, sine);
}

Tensor rotateInto(const Tensor& q, const Tensor& k, const Tensor& v, const OptionalTensor& queryNorm, const OptionalTensor& keyNorm, double epsilon,
                  const Tensor& cosine, const Tensor& sine, std::int64_t first, Tensor& keys, Tensor& values)
{
    static const auto op = handle<decltype(rotateIntoReference)>("postnas::rotate_into");
    return op.call(q, k, v, queryNorm, keyNorm, epsilon, cosine, sine, first, keys, values);
}

Tensor mergeAttention(at::TensorList parts, at::TensorList logSums)
{
    static const auto op = handle<decltype(mergeAttentionReference)>("postnas::merge_attention");
    return op.call(parts, logSums);
}

std::tuple<Tensor, Tensor> deltaGates(const Tensor& ab, const Tensor& aLog, const Tensor& dtBias)
{
    static const auto op = handle<decltype(deltaGatesReference)>("postnas::delta_gates");
    return op.call(ab, aLog, dtBias);
}

} // namespace postnas::ops
