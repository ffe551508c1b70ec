// Binds the CUDA kernels of the linear recurrence to the dispatcher; part of libpostnas_cuda.so.
#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros_like.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include "kernels/include/cuda_binding.h"
#include "kernels/include/implementations.h"
#include "kernels/linear_recurrence/cuda_problem.h"

namespace postnas::ops {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;
using cuda::as, cuda::backwardInChunks, cuda::packed, cuda::Prepared, cuda::workspaceOf;

RecurrenceResult forward(const Tensor& q, const Tensor& k, const Tensor& v, const OptionalTensor& g, const OptionalTensor& beta,
                         const OptionalTensor& initialState, double scale, const OptionalTensor& removalKey)
{
    const RecurrenceSizes s = checkRecurrence(q, k, v, g, beta, initialState, removalKey);
    const c10::cuda::CUDAGuard guard(v.device());
    const RecurrencePath path = cudaRecurrencePath(s, v.scalar_type());
    if (path == RecurrencePath::Cpu) {
        cuda::slowPath("linear_recurrence", q);
        static const auto op = c10::Dispatcher::singleton()
                                   .findSchemaOrThrow("postnas::linear_recurrence", "")
                                   .typed<RecurrenceResult(const Tensor&, const Tensor&, const Tensor&, const OptionalTensor&,
                                                           const OptionalTensor&, const OptionalTensor&, double, const OptionalTensor&)>();
        const auto [o, state] = op.call(q.cpu(), k.cpu(), v.cpu(), cuda::onCpu(g), cuda::onCpu(beta), cuda::onCpu(initialState), scale,
                                        cuda::onCpu(removalKey));
        return {o.to(v.device()), state.to(v.device())};
    }
    const Prepared p(s, q, k, v, g, beta, initialState, scale, removalKey, v.scalar_type());
    const bool inChunks = path == RecurrencePath::Chunks && cuda::chunkedFits(p.problem, false);
    if (path == RecurrencePath::Chunks && !inChunks)
        cuda::tokenByToken("the linear recurrence");
    const Tensor o = at::empty({s.batch, s.length, s.heads, s.valueDim}, p.v.options());
    const Tensor state = at::empty({s.batch, s.heads, s.keyDim, s.valueDim}, p.v.options().dtype(at::kFloat));
    const auto stream = c10::cuda::getCurrentCUDAStream();
    if (inChunks) {
        const Tensor workspace = workspaceOf(cuda::chunkedForwardWorkspace(p.problem), p.v);
        cuda::check(cuda::launchChunkedForward(p.problem, o.mutable_data_ptr(), state.mutable_data_ptr<float>(), workspace.mutable_data_ptr(), stream),
                    "linear recurrence in chunks");
    } else {
        cuda::check(cuda::launchRecurrenceForward(p.problem, o.mutable_data_ptr(), state.mutable_data_ptr<float>(), stream), "linear recurrence");
    }
    return {o, state};
}

RecurrenceBackwardResult backward(const OptionalTensor& gradO, const OptionalTensor& gradFinalState, const Tensor& q, const Tensor& k,
                                  const Tensor& v, const OptionalTensor& g, const OptionalTensor& beta, const OptionalTensor& initialState,
                                  double scale, const OptionalTensor& removalKey)
{
    const RecurrenceSizes s = checkRecurrence(q, k, v, g, beta, initialState, removalKey);
    const c10::cuda::CUDAGuard guard(v.device());
    const RecurrencePath path = cudaRecurrencePath(s, v.scalar_type());
    if (path == RecurrencePath::Cpu) {
        cuda::slowPath("linear_recurrence", q);
        static const auto op =
            c10::Dispatcher::singleton()
                .findSchemaOrThrow("postnas::linear_recurrence_backward", "")
                .typed<RecurrenceBackwardResult(const OptionalTensor&, const OptionalTensor&, const Tensor&, const Tensor&, const Tensor&,
                                                const OptionalTensor&, const OptionalTensor&, const OptionalTensor&, double,
                                                const OptionalTensor&)>();
        const auto out = op.call(cuda::onCpu(gradO), cuda::onCpu(gradFinalState), q.cpu(), k.cpu(), v.cpu(), cuda::onCpu(g),
                                 cuda::onCpu(beta), cuda::onCpu(initialState), scale, cuda::onCpu(removalKey));
        return std::apply(
            [&](const auto&... t) { return RecurrenceBackwardResult((t.defined() ? t.to(v.device()) : t)...); }, out);
    }
    if (path == RecurrencePath::Chunks) {
        const Prepared p(s, q, k, v, g, beta, initialState, scale, removalKey, at::kBFloat16);
        if (cuda::chunkedFits(p.problem, true)) {
            const Tensor upstream = gradO ? packed(gradO->to(at::kBFloat16)) : at::zeros_like(p.v);
            const auto [gradQ, gradK, gradV, gradG, gradBeta, gradState, gradRemoval] = backwardInChunks(p, upstream, cuda::float32(gradFinalState));
            return {as(gradQ, q),       as(gradK, k),       as(gradV, v), as(gradG, g), as(gradBeta, beta), as(gradState, initialState),
                    as(gradRemoval, removalKey)};
        }
        cuda::tokenByToken("the backward pass of the linear recurrence");
    }
    const Prepared p(s, q, k, v, g, beta, initialState, scale, removalKey, at::kFloat);
    const Tensor upstream = cuda::float32(gradO), upstreamState = cuda::float32(gradFinalState);
    // Zeros, not empty: with no token or no value column the kernels write nothing.
    const auto like = [](const Tensor& t) { return t.defined() ? at::zeros_like(t) : Tensor(); };
    const Tensor gradQ = like(p.q), gradK = like(p.k), gradV = like(p.v), gradG = like(p.g), gradBeta = like(p.beta),
                 gradState = like(p.initialState), gradRemoval = like(p.removalKey);
    cuda::RecurrenceGradients out;
    out.gradO = cuda::floats(upstream);
    out.gradFinalState = cuda::floats(upstreamState);
    out.q = gradQ.mutable_data_ptr<float>();
    out.k = gradK.mutable_data_ptr<float>();
    out.v = gradV.mutable_data_ptr<float>();
    out.g = cuda::mutableFloats(gradG);
    out.beta = cuda::mutableFloats(gradBeta);
    out.initialState = cuda::mutableFloats(gradState);
    out.removalKey = cuda::mutableFloats(gradRemoval);
    int multiprocessors = 0;
    cuda::check(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, v.device().index()), "linear recurrence");
    const Tensor workspace = workspaceOf(cuda::recurrenceBackwardWorkspace(p.problem, multiprocessors), p.v);
    cuda::check(cuda::launchRecurrenceBackward(p.problem, out, workspace.mutable_data_ptr(), multiprocessors,
                                               c10::cuda::getCurrentCUDAStream()),
                "linear recurrence, backward");
    return {as(gradQ, q), as(gradK, k), as(gradV, v), as(gradG, g), as(gradBeta, beta), as(gradState, initialState), as(gradRemoval, removalKey)};
}

/// Whether chunks of such a recurrence, with values like v [batch, length, heads, value], fit this device: forward, and backward.
std::tuple<bool, bool> chunksFit(const Tensor& v, std::int64_t key, bool delta, bool gatePerChannel, bool removalKey)
{
    const c10::cuda::CUDAGuard guard(v.device());
    const float something = 0; // null would mean that there is none
    cuda::RecurrenceProblem p;
    p.batch = v.size(0);
    p.length = v.size(1);
    p.heads = v.size(2);
    p.keyDim = key;
    p.valueDim = v.size(3);
    p.element = cuda::Element::BFloat16;
    p.g = &something;
    p.gatePerChannel = gatePerChannel;
    p.beta = delta ? &something : nullptr;
    alignas(16) static const char aligned[16] = {};
    p.removalKey = removalKey ? aligned : nullptr;
    return {cuda::chunkedFits(p, false), cuda::chunkedFits(p, true)};
}

} // namespace

TORCH_LIBRARY_IMPL(postnas, CUDA, m)
{
    m.impl("recurrence_chunks_fit", &chunksFit);
    m.impl("linear_recurrence", &forward);
    m.impl("linear_recurrence_backward", &backward);
}

} // namespace postnas::ops
