// Binds the chunked kernels to the linear recurrence of packed sequences; part of libpostnas_cuda.so. What they cannot take goes
// sequence by sequence.
#include <algorithm>

#include <ATen/core/Tensor.h>
#include <c10/cuda/CUDAGuard.h>
#include <torch/library.h>

#include "kernels/linear_recurrence/cuda_problem.h"

namespace postnas::ops {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;
using cuda::as, cuda::backwardInChunks, cuda::packed, cuda::Prepared, cuda::workspaceOf;

bool inChunks(RecurrenceSizes s, at::ScalarType type)
{
    s.length = std::max<std::int64_t>(s.length, 64); // many short sequences together are enough work
    return cudaRecurrencePath(s, type) == RecurrencePath::Chunks;
}

RecurrenceResult forward(const Tensor& q, const Tensor& k, const Tensor& v, const OptionalTensor& g, const OptionalTensor& beta,
                         const OptionalTensor& initialState, const Tensor& starts, double scale, const OptionalTensor& removalKey)
{
    const RecurrenceSizes s = checkPackedRecurrence(q, k, v, g, beta, initialState, starts, removalKey);
    const c10::cuda::CUDAGuard guard(v.device());
    if (!inChunks(s, v.scalar_type()))
        return packedRecurrenceOneByOne(q, k, v, g, beta, initialState, starts, scale, removalKey);
    const Tensor onDevice = starts.to(v.device());
    Prepared p(s, q, k, v, g, beta, initialState, scale, removalKey, at::kBFloat16);
    p.problem.starts = onDevice.const_data_ptr<std::int64_t>();
    p.problem.sequences = starts.numel() - 1;
    if (!cuda::chunkedFits(p.problem, false))
        return packedRecurrenceOneByOne(q, k, v, g, beta, initialState, starts, scale, removalKey);
    const Tensor o = at::empty({s.length, s.heads, s.valueDim}, p.v.options());
    const Tensor state = at::empty({p.problem.sequences, s.heads, s.keyDim, s.valueDim}, p.v.options().dtype(at::kFloat));
    const Tensor workspace = workspaceOf(cuda::chunkedForwardWorkspace(p.problem), p.v);
    cuda::check(cuda::launchChunkedForward(p.problem, o.mutable_data_ptr(), state.mutable_data_ptr<float>(), workspace.mutable_data_ptr(),
                                           c10::cuda::getCurrentCUDAStream()),
                "packed linear recurrence in chunks");
    return {o, state};
}

RecurrenceBackwardResult backward(const OptionalTensor& gradO, const OptionalTensor& gradFinalState, const Tensor& q, const Tensor& k, const Tensor& v,
                                  const OptionalTensor& g, const OptionalTensor& beta, const OptionalTensor& initialState, const Tensor& starts,
                                  double scale, const OptionalTensor& removalKey)
{
    const RecurrenceSizes s = checkPackedRecurrence(q, k, v, g, beta, initialState, starts, removalKey);
    const c10::cuda::CUDAGuard guard(v.device());
    if (!inChunks(s, v.scalar_type()))
        return packedRecurrenceBackwardOneByOne(gradO, gradFinalState, q, k, v, g, beta, initialState, starts, scale, removalKey);
    const Tensor onDevice = starts.to(v.device());
    Prepared p(s, q, k, v, g, beta, initialState, scale, removalKey, at::kBFloat16);
    p.problem.starts = onDevice.const_data_ptr<std::int64_t>();
    p.problem.sequences = starts.numel() - 1;
    if (!cuda::chunkedFits(p.problem, true))
        return packedRecurrenceBackwardOneByOne(gradO, gradFinalState, q, k, v, g, beta, initialState, starts, scale, removalKey);
    const Tensor upstream = gradO ? packed(gradO->to(at::kBFloat16)) : at::zeros_like(p.v);
    const auto [gradQ, gradK, gradV, gradG, gradBeta, gradState, gradRemoval] = backwardInChunks(p, upstream, cuda::float32(gradFinalState));
    return {as(gradQ, q), as(gradK, k), as(gradV, v), as(gradG, g), as(gradBeta, beta), as(gradState, initialState), as(gradRemoval, removalKey)};
}

} // namespace

TORCH_LIBRARY_IMPL(postnas, CUDA, m)
{
    m.impl("packed_recurrence", &forward);
    m.impl("packed_recurrence_backward", &backward);
}

} // namespace postnas::ops
