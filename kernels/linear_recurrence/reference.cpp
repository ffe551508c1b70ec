// The linear recurrence over tensors on the CPU, in float32 or float64: the reference of every other implementation.
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include "kernels/include/implementations.h"
#include "kernels/linear_recurrence/cpu_kernel.h"

namespace postnas::ops {

namespace {

/// Contiguous copies in the type that is computed in.
struct Prepared {
    at::Tensor q, k, v, decay, beta, initialState, removalKey;
};

at::Tensor prepare(const at::Tensor& tensor, at::ScalarType type) { return tensor.to(type).contiguous(); }

Prepared prepare(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const std::optional<at::Tensor>& g,
                 const std::optional<at::Tensor>& beta, const std::optional<at::Tensor>& initialState, const std::optional<at::Tensor>& removalKey,
                 at::ScalarType type)
{
    return {prepare(q, type),
            prepare(k, type),
            prepare(v, type),
            g ? prepare(*g, type).exp() : at::Tensor(),
            beta ? prepare(*beta, type) : at::Tensor(),
            initialState ? prepare(*initialState, type) : at::Tensor(),
            removalKey ? prepare(*removalKey, type) : at::Tensor()};
}

template <typename Scalar>
const Scalar* pointer(const at::Tensor& tensor)
{
    return tensor.defined() ? tensor.const_data_ptr<Scalar>() : nullptr;
}

template <typename Scalar>
Scalar* mutablePointer(const at::Tensor& tensor)
{
    return tensor.defined() ? tensor.mutable_data_ptr<Scalar>() : nullptr;
}

template <typename Scalar>
cpu::RecurrenceInputs<Scalar> inputs(const RecurrenceSizes& s, const Prepared& p, double scale)
{
    cpu::RecurrenceInputs<Scalar> in;
    in.batch = s.batch;
    in.length = s.length;
    in.heads = s.heads;
    in.keyDim = s.keyDim;
    in.valueDim = s.valueDim;
    in.decayKind = !p.decay.defined() ? cpu::Decay::None : s.decayPerChannel ? cpu::Decay::PerChannel : cpu::Decay::PerHead;
    in.q = pointer<Scalar>(p.q);
    in.k = pointer<Scalar>(p.k);
    in.v = pointer<Scalar>(p.v);
    in.decay = pointer<Scalar>(p.decay);
    in.beta = pointer<Scalar>(p.beta);
    in.initialState = pointer<Scalar>(p.initialState);
    in.removalKey = pointer<Scalar>(p.removalKey);
    in.scale = static_cast<Scalar>(scale);
    return in;
}

at::ScalarType computeType(const at::Tensor& v) { return v.scalar_type() == at::kDouble ? at::kDouble : at::kFloat; }

template <typename Scalar>
void runForward(const RecurrenceSizes& s, const Prepared& p, double scale, const at::Tensor& o, const at::Tensor& finalState)
{
    const cpu::RecurrenceInputs<Scalar> in = inputs<Scalar>(s, p, scale);
    const cpu::RecurrenceOutputs<Scalar> out{mutablePointer<Scalar>(o), mutablePointer<Scalar>(finalState)};
    const cpu::VectorLevel level = cpu::bestVectorLevel();
    at::parallel_for(0, cpu::forwardItems(in), 1,
                     [&](std::int64_t begin, std::int64_t end) { cpu::recurrenceForward(in, out, begin, end, level); });
}

template <typename Scalar>
void runBackward(const RecurrenceSizes& s, const Prepared& p, double scale, const cpu::RecurrenceGradients<Scalar>& gradients)
{
    const cpu::RecurrenceInputs<Scalar> in = inputs<Scalar>(s, p, scale);
    const cpu::VectorLevel level = cpu::bestVectorLevel();
    at::parallel_for(0, s.batch * s.heads, 1,
                     [&](std::int64_t begin, std::int64_t end) { cpu::recurrenceBackward(in, gradients, begin, end, level); });
}

} // namespace

RecurrenceResult linearRecurrenceCpu(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const std::optional<at::Tensor>& g,
                                     const std::optional<at::Tensor>& beta, const std::optional<at::Tensor>& initialState, double scale,
                                     const std::optional<at::Tensor>& removalKey)
{
    const RecurrenceSizes s = checkRecurrence(q, k, v, g, beta, initialState, removalKey);
    const at::ScalarType type = computeType(v);
    const Prepared p = prepare(q, k, v, g, beta, initialState, removalKey, type);
    const at::Tensor o = at::empty({s.batch, s.length, s.heads, s.valueDim}, v.options().dtype(type));
    const at::Tensor finalState = at::empty({s.batch, s.heads, s.keyDim, s.valueDim}, v.options().dtype(type));
    if (type == at::kDouble)
        runForward<double>(s, p, scale, o, finalState);
    else
        runForward<float>(s, p, scale, o, finalState);
    return {o.to(v.scalar_type()), finalState};
}

RecurrenceBackwardResult linearRecurrenceBackwardCpu(const std::optional<at::Tensor>& gradO, const std::optional<at::Tensor>& gradFinalState,
                                                     const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                                     const std::optional<at::Tensor>& g, const std::optional<at::Tensor>& beta,
                                                     const std::optional<at::Tensor>& initialState, double scale,
                                                     const std::optional<at::Tensor>& removalKey)
{
    const RecurrenceSizes s = checkRecurrence(q, k, v, g, beta, initialState, removalKey);
    const at::ScalarType type = computeType(v);
    const Prepared p = prepare(q, k, v, g, beta, initialState, removalKey, type);
    const at::Tensor upstream = gradO ? prepare(*gradO, type) : at::Tensor();
    const at::Tensor upstreamState = gradFinalState ? prepare(*gradFinalState, type) : at::Tensor();
    const auto cleared = [](const at::Tensor& like) { return like.defined() ? at::zeros_like(like) : at::Tensor(); };
    const at::Tensor gradQ = cleared(p.q), gradK = cleared(p.k), gradV = cleared(p.v), gradG = cleared(p.decay),
                     gradBeta = cleared(p.beta), gradState = cleared(p.initialState), gradRemoval = cleared(p.removalKey);
    const auto run = [&](auto zero) {
        using Scalar = decltype(zero);
        cpu::RecurrenceGradients<Scalar> out;
        out.gradO = pointer<Scalar>(upstream);
        out.gradFinalState = pointer<Scalar>(upstreamState);
        out.q = mutablePointer<Scalar>(gradQ);
        out.k = mutablePointer<Scalar>(gradK);
        out.v = mutablePointer<Scalar>(gradV);
        out.g = mutablePointer<Scalar>(gradG);
        out.beta = mutablePointer<Scalar>(gradBeta);
        out.initialState = mutablePointer<Scalar>(gradState);
        out.removalKey = mutablePointer<Scalar>(gradRemoval);
        runBackward<Scalar>(s, p, scale, out);
    };
    if (type == at::kDouble)
        run(0.0);
    else
        run(0.0f);
    const auto as = [](const at::Tensor& gradient, const std::optional<at::Tensor>& input) {
        return input ? gradient.to(input->scalar_type()) : at::Tensor();
    };
    return {as(gradQ, q), as(gradK, k), as(gradV, v), as(gradG, g), as(gradBeta, beta), as(gradState, initialState), as(gradRemoval, removalKey)};
}

} // namespace postnas::ops
