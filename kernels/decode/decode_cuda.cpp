// Binds the CUDA kernels of a decoding step to the dispatcher; part of libpostnas_cuda.so. What a kernel cannot take is computed by
// torch's own functions on the GPU (kernels/decode/reference.cpp).
#include <map>

#include <ATen/ATen.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include "kernels/decode/reference.h"
#include "kernels/include/attention_launch.h"
#include "kernels/include/cuda_binding.h"
#include "kernels/include/decode_launch.h"
#include "kernels/include/decode_schema.h"
#include "kernels/include/elementwise_launch.h"

namespace postnas::ops {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

int multiprocessorsOf(const Tensor& tensor)
{
    int out = 0;
    cuda::check(cudaDeviceGetAttribute(&out, cudaDevAttrMultiProcessorCount, tensor.device().index()), "decoding");
    return out;
}

const void* pointer(const OptionalTensor& tensor) { return tensor ? tensor->const_data_ptr() : nullptr; }

bool floatOrBFloat16(const Tensor& t) { return t.scalar_type() == at::kFloat || t.scalar_type() == at::kBFloat16; }

/// Scratch memory that is zero between calls, one piece for each device. Calls on one stream follow each other, so they can share it.
Tensor zeroedWorkspace(std::size_t bytes, const Tensor& like)
{
    thread_local std::map<int, Tensor> held;
    Tensor& piece = held[like.device().index()];
    if (!piece.defined() || piece.nbytes() < bytes)
        piece = at::zeros({static_cast<std::int64_t>(bytes)}, like.options().dtype(at::kByte));
    return piece;
}

// The recurrent step ------------------------------------------------------------------------------------------------------------

/// A row of each sequence; the rows themselves must be without gaps.
cuda::TokenRows rowsOf(const OptionalTensor& tensor)
{
    return tensor ? cuda::TokenRows{tensor->const_data_ptr(), tensor->stride(0)} : cuda::TokenRows{};
}

bool rowsAreDense(const OptionalTensor& tensor) { return !tensor || (tensor->dim() == 2 && (tensor->size(1) <= 1 || tensor->stride(1) == 1)); }

cuda::StepConvolution convolutionOf(const StepConvolution& c)
{
    if (!c.kernels)
        return {};
    const bool shared = c.kernels->dim() == 2;
    return {c.kernels->const_data_ptr(), shared ? 0 : c.kernels->stride(0), c.kernels->size(-1), c.history->mutable_data_ptr()};
}

bool convolutionFits(const StepConvolution& c, at::ScalarType type)
{
    return !c.kernels
        || (c.kernels->scalar_type() == type && c.history->scalar_type() == type && c.history->is_contiguous() && c.kernels->stride(-1) == 1
            && c.kernels->stride(-2) == c.kernels->size(-1));
}

bool fits(const RecurrentStep& s)
{
    const at::ScalarType type = s.q.scalar_type();
    const auto same = [&](const OptionalTensor& t) { return !t || t->scalar_type() == type; };
    const bool parameters = (!s.aLog || !s.dtBias || s.aLog->scalar_type() == s.dtBias->scalar_type())
        && (!s.aLog || !s.normWeight || s.aLog->scalar_type() == s.normWeight->scalar_type());
    return floatOrBFloat16(s.q) && same(s.k) && same(s.v) && same(s.b) && same(s.gate) && parameters && s.state.is_contiguous()
        && floatOrBFloat16(s.state) && (!s.g || floatOrBFloat16(*s.g)) && rowsAreDense(s.q) && rowsAreDense(s.k) && rowsAreDense(s.v)
        && rowsAreDense(s.g) && rowsAreDense(s.b) && rowsAreDense(s.gate) && convolutionFits(s.convolutionQ, type)
        && convolutionFits(s.convolutionK, type) && convolutionFits(s.convolutionV, type);
}

cuda::StepDecay decayOf(StepDecay decay)
{
    switch (decay) {
    case StepDecay::None: return cuda::StepDecay::None;
    case StepDecay::PerHead: return cuda::StepDecay::PerHead;
    case StepDecay::PerHeadFromRaw: return cuda::StepDecay::PerHeadFromRaw;
    case StepDecay::PerChannel: return cuda::StepDecay::PerChannel;
    case StepDecay::PerChannelFromLogits: return cuda::StepDecay::PerChannelFromLogits;
    }
    TORCH_CHECK(false, "no such kind of decay");
}

Tensor recurrentStepCuda(POSTNAS_RECURRENT_STEP_PARAMETERS)
{
    const RecurrentStep s = POSTNAS_RECURRENT_STEP_STRUCT;
    if (!fits(s))
        return cuda::slowPath("recurrent_step", s.q), recurrentStepReference(s);
    const c10::cuda::CUDAGuard guard(q.device());
    const Tensor y = at::empty({q.size(0), heads * state.size(3)}, q.options());
    cuda::RecurrentStep step;
    step.batch = q.size(0);
    step.heads = heads;
    step.groups = groups;
    step.keyDim = state.size(2);
    step.valueDim = state.size(3);
    step.element = cuda::elementOf(q.scalar_type());
    step.gateElement = g ? cuda::elementOf(g->scalar_type()) : cuda::Element::Float32;
    const OptionalTensor& parameter = aLog ? aLog : normWeight;
    step.parameters = parameter ? cuda::elementOf(parameter->scalar_type()) : cuda::Element::Float32;
    step.stateElement = cuda::elementOf(state.scalar_type());
    step.q = rowsOf(q);
    step.k = rowsOf(k);
    step.v = rowsOf(v);
    step.convolutionQ = convolutionOf(s.convolutionQ);
    step.convolutionK = convolutionOf(s.convolutionK);
    step.convolutionV = convolutionOf(s.convolutionV);
    step.siluKeys = siluKeys;
    step.siluValues = siluValues;
    step.unitLength = unitLength;
    step.scale = static_cast<float>(scale);
    step.decay = decayOf(s.decay);
    step.g = rowsOf(g);
    step.aLog = pointer(aLog);
    step.dtBias = pointer(dtBias);
    step.gateNormalizer = static_cast<float>(gateNormalizer);
    step.b = rowsOf(b);
    step.state = state.mutable_data_ptr();
    step.normWeight = pointer(normWeight);
    step.epsilon = static_cast<float>(epsilon);
    step.gate = rowsOf(gate);
    step.y = y.mutable_data_ptr();
    if (!cuda::recurrentStepCanTake(step))
        return cuda::slowPath("recurrent_step", s.q), recurrentStepReference(s);
    const Tensor workspace = zeroedWorkspace(cuda::recurrentStepWorkspace(step), q);
    cuda::check(cuda::launchRecurrentStep(step, workspace.mutable_data_ptr(), c10::cuda::getCurrentCUDAStream()), "recurrent step");
    return y;
}

// Attention ---------------------------------------------------------------------------------------------------------------------

Tensor decodeAttentionCuda(const Tensor& q, const Tensor& keys, const Tensor& values, const Tensor& lengths, double scale)
{
    const c10::cuda::CUDAGuard guard(q.device());
    const Tensor query = q.contiguous();
    cuda::DecodeAttentionProblem p;
    p.batch = q.size(0);
    p.heads = q.size(1);
    p.dim = q.size(2);
    p.keyValueHeads = keys.size(1);
    p.capacity = keys.size(2);
    p.q = query.const_data_ptr();
    p.keys = keys.const_data_ptr();
    p.values = values.const_data_ptr();
    p.scale = static_cast<float>(scale);
    const bool types = q.scalar_type() == at::kBFloat16 && keys.scalar_type() == at::kBFloat16 && lengths.scalar_type() == at::kInt;
    if (!types || !keys.is_contiguous() || !values.is_contiguous() || !lengths.is_contiguous() || !cuda::decodeAttentionCanTake(p))
        return cuda::slowPath("decode_attention", q), decodeAttentionReference(q, keys, values, lengths, scale);
    p.lengths = lengths.const_data_ptr<std::int32_t>();
    const Tensor out = at::empty_like(query);
    const int multiprocessors = multiprocessorsOf(q);
    const Tensor workspace =
        at::empty({static_cast<std::int64_t>(cuda::decodeAttentionWorkspace(p, multiprocessors))}, q.options().dtype(at::kByte));
    cuda::check(cuda::launchDecodeAttention(p, out.mutable_data_ptr(), workspace.mutable_data_ptr(), multiprocessors,
                                            c10::cuda::getCurrentCUDAStream()),
                "decode attention");
    return out;
}

Tensor ropeAppendCuda(const Tensor& q, const Tensor& k, const Tensor& v, const OptionalTensor& queryNorm, const OptionalTensor& keyNorm,
                      double epsilon, const Tensor& cosine, const Tensor& sine, const Tensor& lengths, Tensor& keys, Tensor& values)
{
    const c10::cuda::CUDAGuard guard(q.device());
    const auto dense = [](const Tensor& t) { return t.stride(2) == 1 && t.stride(1) == t.size(2); };
    cuda::RopeAppendProblem p;
    p.batch = q.size(0);
    p.length = 1;
    p.heads = q.size(1);
    p.keyValueHeads = k.size(1);
    p.dim = q.size(2);
    p.capacity = keys.size(2);
    p.element = q.scalar_type() == at::kBFloat16 ? cuda::Element::BFloat16 : cuda::Element::Float32;
    p.q = q.const_data_ptr();
    p.k = k.const_data_ptr();
    p.v = v.const_data_ptr();
    p.queryStride = q.stride(0);
    p.keyStride = k.stride(0);
    p.valueStride = v.stride(0);
    p.queryNorm = pointer(queryNorm);
    p.keyNorm = pointer(keyNorm);
    p.epsilon = static_cast<float>(epsilon);
    const Tensor out = at::empty({q.size(0), q.size(1), q.size(2)}, q.options());
    p.cosine = cosine.const_data_ptr<float>();
    p.sine = sine.const_data_ptr<float>();
    p.positions = lengths.const_data_ptr<std::int32_t>();
    p.positionOffset = -1;
    // A cache that is never outgrown behaves the same as a ring.
    p.ring = true;
    p.keys = keys.mutable_data_ptr();
    p.values = values.mutable_data_ptr();
    p.queryOut = out.mutable_data_ptr();
    const auto same = [&](const OptionalTensor& t) { return !t || t->scalar_type() == q.scalar_type(); };
    const bool fits = floatOrBFloat16(q) && same(k) && same(v) && same(keys) && same(values) && same(queryNorm) && same(keyNorm) && dense(q) && dense(k)
        && dense(v) && keys.is_contiguous() && values.is_contiguous() && cosine.is_contiguous() && sine.is_contiguous();
    if (!fits || !cuda::ropeAppendCanTake(p))
        return cuda::slowPath("rope_append", q), ropeAppendReference(q, k, v, queryNorm, keyNorm, epsilon, cosine, sine, lengths, keys, values);
    cuda::check(cuda::launchRopeAppend(p, c10::cuda::getCurrentCUDAStream()), "rotary positions");
    return out;
}

// Between the products ------------------------------------------------------------------------------------------------------------

bool aligned(const Tensor& t) { return reinterpret_cast<std::uintptr_t>(t.const_data_ptr()) % 16 == 0; }

std::tuple<Tensor, Tensor> residualNormCuda(const Tensor& x, const Tensor& residual, const Tensor& weight, double epsilon)
{
    const c10::cuda::CUDAGuard guard(x.device());
    const bool fits = floatOrBFloat16(x) && residual.scalar_type() == x.scalar_type() && weight.scalar_type() == x.scalar_type() && x.dim() == 2
        && x.is_contiguous() && residual.is_contiguous() && weight.is_contiguous() && aligned(x) && aligned(residual) && aligned(weight)
        && x.size(1) % 8 == 0 && x.size(1) <= cuda::kMaxNormWidth;
    if (!fits)
        return cuda::slowPath("residual_norm", x), residualNormReference(x, residual, weight, epsilon);
    const Tensor sum = at::empty_like(x), normed = at::empty_like(x);
    const cuda::ResidualNormProblem p{x.size(0), x.size(1), cuda::elementOf(x.scalar_type()), x.const_data_ptr(), residual.const_data_ptr(),
                                      weight.const_data_ptr(), static_cast<float>(epsilon)};
    cuda::check(cuda::launchResidualNorm(p, sum.mutable_data_ptr(), normed.mutable_data_ptr(), c10::cuda::getCurrentCUDAStream()), "residual norm");
    return {sum, normed};
}

Tensor swiGluCuda(const Tensor& gate, const Tensor& up)
{
    const c10::cuda::CUDAGuard guard(gate.device());
    const bool fits = floatOrBFloat16(gate) && up.scalar_type() == gate.scalar_type() && gate.dim() == 2 && gate.stride(1) == 1 && up.stride(1) == 1
        && gate.stride(0) % 8 == 0 && up.stride(0) % 8 == 0 && gate.size(1) % 8 == 0 && aligned(gate) && aligned(up);
    if (!fits)
        return cuda::slowPath("swiglu", gate), swiGluReference(gate, up);
    const Tensor out = at::empty({gate.size(0), gate.size(1)}, gate.options());
    const cuda::SwiGluProblem p{gate.size(0), gate.size(1), gate.stride(0), up.stride(0), cuda::elementOf(gate.scalar_type()), gate.const_data_ptr(),
                                up.const_data_ptr()};
    cuda::check(cuda::launchSwiGlu(p, out.mutable_data_ptr(), c10::cuda::getCurrentCUDAStream()), "SwiGLU");
    return out;
}

} // namespace

TORCH_LIBRARY_IMPL(postnas, CUDA, m)
{
    m.impl("recurrent_step", &recurrentStepCuda);
    m.impl("decode_attention", &decodeAttentionCuda);
    m.impl("rope_append", &ropeAppendCuda);
    m.impl("residual_norm", &residualNormCuda);
    m.impl("swiglu", &swiGluCuda);
}

} // namespace postnas::ops
