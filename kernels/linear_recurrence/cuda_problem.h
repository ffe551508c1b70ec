// A recurrence's tensors as the CUDA launch functions take them. Internal: torch and the CUDA runtime.
#pragma once

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros_like.h>
#include <c10/cuda/CUDAStream.h>

#include "kernels/include/cuda_binding.h"
#include "kernels/include/implementations.h"
#include "kernels/include/recurrence_launch.h"

namespace postnas::ops::cuda {

/// Contiguous, and where the chunked kernels' 16-byte loads can start: a view into a larger tensor may begin anywhere.
inline at::Tensor packed(const at::Tensor& tensor)
{
    const at::Tensor out = tensor.contiguous();
    return reinterpret_cast<std::uintptr_t>(out.const_data_ptr()) % 16 == 0 ? out : out.clone();
}

inline at::Tensor workspaceOf(std::size_t bytes, const at::Tensor& like)
{
    return at::empty({static_cast<std::int64_t>(bytes)}, like.options().dtype(at::kByte));
}

/// Contiguous tensors of one call and the problem that points into them.
struct Prepared {
    at::Tensor q, k, v, g, beta, initialState, removalKey;
    RecurrenceProblem problem;

    Prepared(const RecurrenceSizes& s, const at::Tensor& qIn, const at::Tensor& kIn, const at::Tensor& vIn, const std::optional<at::Tensor>& gIn,
             const std::optional<at::Tensor>& betaIn, const std::optional<at::Tensor>& stateIn, double scale,
             const std::optional<at::Tensor>& removalKeyIn, at::ScalarType type)
        : q(packed(qIn.to(type))), k(packed(kIn.to(type))), v(packed(vIn.to(type))), g(float32(gIn)),
          beta(float32(betaIn)), initialState(float32(stateIn)), removalKey(removalKeyIn ? packed(removalKeyIn->to(type)) : at::Tensor())
    {
        problem.batch = s.batch;
        problem.length = s.length;
        problem.heads = s.heads;
        problem.keyDim = s.keyDim;
        problem.valueDim = s.valueDim;
        problem.element = elementOf(type);
        problem.q = q.const_data_ptr();
        problem.k = k.const_data_ptr();
        problem.v = v.const_data_ptr();
        problem.g = floats(g);
        problem.gatePerChannel = s.decayPerChannel;
        problem.beta = floats(beta);
        problem.initialState = floats(initialState);
        problem.removalKey = removalKey.defined() ? removalKey.const_data_ptr() : nullptr;
        problem.scale = static_cast<float>(scale);
    }
};

/// The gradient in its input's type; undefined where there was no input.
inline at::Tensor as(const at::Tensor& gradient, const std::optional<at::Tensor>& input) { return input ? gradient.to(input->scalar_type()) : at::Tensor(); }

inline RecurrenceBackwardResult backwardInChunks(const Prepared& p, const at::Tensor& upstream, const at::Tensor& upstreamState)
{
    // The kernels write everything but the gradients of tokens that no packed sequence has.
    const bool gaps = p.problem.starts != nullptr;
    const auto like = [&](const at::Tensor& t) { return !t.defined() ? at::Tensor() : gaps ? at::zeros_like(t) : at::empty_like(t); };
    RecurrenceBackwardResult out{like(p.q), like(p.k), like(p.v), like(p.g), like(p.beta), like(p.initialState), like(p.removalKey)};
    const auto& [q, k, v, g, beta, state, removalKey] = out;
    const ChunkedGradients gradients{upstream.const_data_ptr(), floats(upstreamState), q.mutable_data_ptr(), k.mutable_data_ptr(),
                                           v.mutable_data_ptr(), mutableFloats(g), mutableFloats(beta), mutableFloats(state),
                                           removalKey.defined() ? removalKey.mutable_data_ptr() : nullptr};
    const at::Tensor workspace = workspaceOf(chunkedBackwardWorkspace(p.problem), p.v);
    check(launchChunkedBackward(p.problem, gradients, workspace.mutable_data_ptr(), c10::cuda::getCurrentCUDAStream()),
                "linear recurrence in chunks, backward");
    return out;
}

} // namespace postnas::ops::cuda
