// Binds the chunked kernels to RWKV-7, whose pairs of tokens they make themselves; part of libpostnas_cuda.so. What they cannot take goes through the
// linear recurrence.
#include <ATen/core/Tensor.h>
#include <ATen/ops/ones.h>
#include <c10/cuda/CUDAGuard.h>
#include <torch/library.h>

#include "kernels/linear_recurrence/cuda_problem.h"

namespace postnas::ops {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;
using cuda::as, cuda::packed, cuda::workspaceOf;

/// Contiguous tensors of one call and the problem that points into them. Values have both tokens of a pair, everything else a row for a pair.
struct Pairs {
    Tensor r, w, k, v, kappa, a, state, beta;
    cuda::RecurrenceProblem problem;

    Pairs(const RecurrenceSizes& s, const Tensor& rIn, const Tensor& wIn, const Tensor& kIn, const Tensor& vIn, const Tensor& kappaIn,
        const Tensor& aIn, const OptionalTensor& stateIn, double scale)
        : r(narrow(rIn))
        , w(packed(cuda::float32(wIn)))
        , k(narrow(kIn))
        , v(both(narrow(vIn)))
        , kappa(narrow(kappaIn))
        , a(narrow(aIn))
        , state(cuda::float32(stateIn))
        , beta(at::ones({ s.batch, s.length, s.heads }, w.options()))
    {
        problem.batch = s.batch;
        problem.length = s.length;
        problem.heads = s.heads;
        problem.keyDim = s.keyDim;
        problem.valueDim = s.valueDim;
        problem.element = cuda::Element::BFloat16;
        problem.q = r.const_data_ptr();
        problem.k = k.const_data_ptr();
        problem.v = v.const_data_ptr();
        problem.g = cuda::floats(w);
        problem.gatePerChannel = true;
        problem.beta = cuda::floats(beta);
        problem.initialState = cuda::floats(state);
        problem.removalKey = kappa.const_data_ptr();
        problem.removalRate = a.const_data_ptr();
        problem.scale = static_cast<float>(scale);
    }

    static Tensor narrow(const Tensor& t) { return packed(t.to(at::kBFloat16)); }
    static Tensor both(const Tensor& t) { return bothTokens(at::zeros_like(t), t); }
};

RecurrenceResult forward(const Tensor& r, const Tensor& w, const Tensor& k, const Tensor& v, const Tensor& kappa, const Tensor& a,
    const OptionalTensor& initialState, double scale)
{
    const RecurrenceSizes s = checkRwkv7(r, w, k, v, kappa, a, initialState);
    const c10::cuda::CUDAGuard guard(v.device());
    if (cudaRecurrencePath(s, v.scalar_type()) != RecurrencePath::Chunks)
        return rwkv7AsRecurrence(r, w, k, v, kappa, a, initialState, scale);
    const Pairs p(s, r, w, k, v, kappa, a, initialState, scale);
    if (!cuda::chunkedFits(p.problem, false))
        return rwkv7AsRecurrence(r, w, k, v, kappa, a, initialState, scale);
    const Tensor o = at::empty_like(p.v);
    const Tensor state = at::empty({ s.batch, s.heads, s.keyDim, s.valueDim }, p.w.options());
    const Tensor workspace = workspaceOf(cuda::chunkedForwardWorkspace(p.problem), p.v);
    cuda::check(cuda::launchChunkedForward(p.problem, o.mutable_data_ptr(), state.mutable_data_ptr<float>(), workspace.mutable_data_ptr(),
                    c10::cuda::getCurrentCUDAStream()),
        "rwkv7 in chunks");
    return { secondTokens(o).contiguous(), state };
}

Rwkv7BackwardResult backward(const OptionalTensor& gradO, const OptionalTensor& gradFinalState, const Tensor& r, const Tensor& w, const Tensor& k,
    const Tensor& v, const Tensor& kappa, const Tensor& a, const OptionalTensor& initialState, double scale)
{
    const RecurrenceSizes s = checkRwkv7(r, w, k, v, kappa, a, initialState);
    const c10::cuda::CUDAGuard guard(v.device());
    if (cudaRecurrencePath(s, v.scalar_type()) != RecurrencePath::Chunks)
        return rwkv7BackwardAsRecurrence(gradO, gradFinalState, r, w, k, v, kappa, a, initialState, scale);
    const Pairs p(s, r, w, k, v, kappa, a, initialState, scale);
    if (!cuda::chunkedFits(p.problem, true))
        return rwkv7BackwardAsRecurrence(gradO, gradFinalState, r, w, k, v, kappa, a, initialState, scale);
    const Tensor upstream = gradO ? Pairs::both(Pairs::narrow(*gradO)) : at::zeros_like(p.v), upstreamState = cuda::float32(gradFinalState);
    const auto like = [](const Tensor& t) { return t.defined() ? at::empty_like(t) : Tensor(); };
    const Tensor gradR = like(p.r), gradW = like(p.w), gradK = like(p.k), gradV = like(p.v), gradKappa = like(p.kappa), gradA = like(p.a),
                 gradState = like(p.state), gradBeta = like(p.beta);
    cuda::ChunkedGradients out;
    out.gradO = upstream.const_data_ptr();
    out.gradFinalState = cuda::floats(upstreamState);
    out.q = gradR.mutable_data_ptr();
    out.k = gradK.mutable_data_ptr();
    out.v = gradV.mutable_data_ptr();
    out.g = cuda::mutableFloats(gradW);
    out.beta = cuda::mutableFloats(gradBeta);
    out.initialState = cuda::mutableFloats(gradState);
    out.removalKey = gradKappa.mutable_data_ptr();
    out.removalRate = gradA.mutable_data_ptr();
    const Tensor workspace = workspaceOf(cuda::chunkedBackwardWorkspace(p.problem), p.v);
    cuda::check(
        cuda::launchChunkedBackward(p.problem, out, workspace.mutable_data_ptr(), c10::cuda::getCurrentCUDAStream()), "rwkv7 in chunks, backward");
    return { as(gradR, r), as(gradW, w), as(gradK, k), as(secondTokens(gradV).contiguous(), v), as(gradKappa, kappa), as(gradA, a),
        as(gradState, initialState) };
}

} // namespace

TORCH_LIBRARY_IMPL(postnas, CUDA, m)
{
    m.impl("rwkv7", &forward);
    m.impl("rwkv7_backward", &backward);
}

} // namespace postnas::ops
