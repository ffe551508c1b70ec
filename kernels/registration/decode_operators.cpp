// Registers the operators of a decoding step with the torch dispatcher: schemas, the CPU, and the C++ functions that call them.
#include <torch/library.h>

#include "kernels/decode/reference.h"
#include "kernels/include/decode_schema.h"

namespace postnas::ops {
namespace {

using at::Tensor;

/// The typed handle of an operator whose C++ signature is F's.
template <typename F>
auto handle(const char* name)
{
    return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<F>();
}

Tensor recurrentStepCpu(POSTNAS_RECURRENT_STEP_PARAMETERS) { return recurrentStepReference(POSTNAS_RECURRENT_STEP_STRUCT); }

} // namespace

TORCH_LIBRARY_FRAGMENT(postnas, m)
{
    m.def("recurrent_step(int heads, int groups, Tensor q, Tensor k, Tensor v, Tensor? kernels_q, Tensor(a!)? history_q, Tensor? kernels_k, "
          "Tensor(b!)? history_k, Tensor? kernels_v, Tensor(c!)? history_v, bool silu_keys, bool silu_values, bool unit_length, float scale, "
          "int decay, Tensor? g, Tensor? a_log, Tensor? dt_bias, float gate_normalizer, Tensor? b, Tensor(d!) state, Tensor? norm_weight, "
          "float epsilon, Tensor? gate) -> Tensor");
    m.def("decode_attention(Tensor q, Tensor keys, Tensor values, Tensor lengths, float scale) -> Tensor");
    m.def("rope_append(Tensor q, Tensor k, Tensor v, Tensor? query_norm, Tensor? key_norm, float epsilon, Tensor cosine, Tensor sine, "
          "Tensor lengths, Tensor(a!) keys, Tensor(b!) values) -> Tensor");
    m.def("residual_norm(Tensor x, Tensor residual, Tensor weight, float epsilon) -> (Tensor, Tensor)");
    m.def("swiglu(Tensor gate, Tensor up) -> Tensor");
}

TORCH_LIBRARY_IMPL(postnas, CPU, m)
{
    m.impl("recurrent_step", &recurrentStepCpu);
    m.impl("decode_attention", &decodeAttentionReference);
    m.impl("rope_append", &ropeAppendReference);
    m.impl("residual_norm", &residualNormReference);
    m.impl("swiglu", &swiGluReference);
}

Tensor recurrentStep(const RecurrentStep& s)
{
    static const auto op = handle<Tensor(POSTNAS_RECURRENT_STEP_PARAMETERS)>("postnas::recurrent_step");
    return op.call(s.heads, s.groups, s.q, s.k, s.v, s.convolutionQ.kernels, s.convolutionQ.history, s.convolutionK.kernels, s.convolutionK.history,
                   s.convolutionV.kernels, s.convolutionV.history, s.siluKeys, s.siluValues, s.unitLength, s.scale,
                   static_cast<std::int64_t>(s.decay), s.g, s.aLog, s.dtBias, s.gateNormalizer, s.b, s.state, s.normWeight, s.epsilon, s.gate);
}

Tensor decodeAttention(const Tensor& q, const Tensor& keys, const Tensor& values, const Tensor& lengths, double scale)
{
    static const auto op = handle<decltype(decodeAttentionReference)>("postnas::decode_attention");
    return op.call(q, keys, values, lengths, scale);
}

Tensor ropeAppend(const Tensor& q, const Tensor& k, const Tensor& v, const std::optional<Tensor>& queryNorm, const std::optional<Tensor>& keyNorm,
                  double epsilon, const Tensor& cosine, const Tensor& sine, const Tensor& lengths, Tensor& keys, Tensor& values)
{
    static const auto op = handle<decltype(ropeAppendReference)>("postnas::rope_append");
    return op.call(q, k, v, queryNorm, keyNorm, epsilon, cosine, sine, lengths, keys, values);
}

std::tuple<Tensor, Tensor> residualNorm(const Tensor& x, const Tensor& residual, const Tensor& weight, double epsilon)
{
    static const auto op = handle<decltype(residualNormReference)>("postnas::residual_norm");
    return op.call(x, residual, weight, epsilon);
}

Tensor swiGlu(const Tensor& gate, const Tensor& up)
{
    static const auto op = handle<decltype(swiGluReference)>("postnas::swiglu");
    return op.call(gate, up);
}

} // namespace postnas::ops
