// Binds the CUDA kernels of the causal convolutions to the dispatcher; part of libpostnas_cuda.so.
#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include "kernels/include/convolution_launch.h"
#include "kernels/include/cuda_binding.h"
#include "kernels/include/implementations.h"

namespace postnas::ops {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;
using Gradients = std::tuple<Tensor, Tensor, Tensor>;

/// Contiguous tensors of one call in x's type and the problem that points into them.
struct Prepared {
    Tensor x, kernels, history;
    cuda::ConvolutionProblem problem;

    Prepared(const ConvolutionSizes& s, const Tensor& xIn, const Tensor& kernelsIn, const OptionalTensor& historyIn)
        : x(xIn.contiguous()), kernels(kernelsIn.to(xIn.scalar_type()).contiguous()),
          history(historyIn ? historyIn->to(xIn.scalar_type()).contiguous() : Tensor())
    {
        problem.batch = s.batch;
        problem.length = s.length;
        problem.channels = s.channels;
        problem.taps = s.taps;
        problem.perToken = s.perToken;
        problem.element = cuda::elementOf(xIn.scalar_type());
        problem.x = x.const_data_ptr();
        problem.kernels = kernels.const_data_ptr();
        problem.history = history.defined() ? history.const_data_ptr() : nullptr;
    }
};

Tensor forward(const Tensor& x, const Tensor& kernels, const OptionalTensor& history)
{
    const ConvolutionSizes s = checkConvolution(x, kernels, history);
    const c10::cuda::CUDAGuard guard(x.device());
    if (x.scalar_type() == at::kDouble) {
        static const auto op = c10::Dispatcher::singleton()
                                   .findSchemaOrThrow("postnas::causal_convolution", "")
                                   .typed<Tensor(const Tensor&, const Tensor&, const OptionalTensor&)>();
        return op.call(x.cpu(), kernels.cpu(), cuda::onCpu(history)).to(x.device());
    }
    const Prepared p(s, x, kernels, history);
    const Tensor y = at::empty_like(p.x);
    cuda::check(cuda::launchConvolutionForward(p.problem, y.mutable_data_ptr(), c10::cuda::getCurrentCUDAStream()), "causal convolution");
    return y;
}

Gradients backward(const Tensor& gradY, const Tensor& x, const Tensor& kernels, const OptionalTensor& history)
{
    const ConvolutionSizes s = checkConvolution(x, kernels, history);
    const c10::cuda::CUDAGuard guard(x.device());
    if (x.scalar_type() == at::kDouble) {
        static const auto op = c10::Dispatcher::singleton()
                                   .findSchemaOrThrow("postnas::causal_convolution_backward", "")
                                   .typed<Gradients(const Tensor&, const Tensor&, const Tensor&, const OptionalTensor&)>();
        const auto [dx, dk, dh] = op.call(gradY.cpu(), x.cpu(), kernels.cpu(), cuda::onCpu(history));
        return {dx.to(x.device()), dk.to(x.device()), dh.defined() ? dh.to(x.device()) : dh};
    }
    const Prepared p(s, x, kernels, history);
    const Tensor upstream = gradY.to(x.scalar_type()).contiguous();
    const Tensor gradX = at::empty_like(p.x);
    const Tensor gradKernels = s.perToken ? at::empty_like(p.kernels) : at::zeros({s.channels, s.taps}, x.options().dtype(at::kFloat));
    const Tensor gradHistory = p.history.defined() ? at::empty_like(p.history) : Tensor();
    cuda::check(cuda::launchConvolutionBackward(p.problem, upstream.const_data_ptr(), gradX.mutable_data_ptr(),
                                                gradKernels.mutable_data_ptr(),
                                                gradHistory.defined() ? gradHistory.mutable_data_ptr() : nullptr,
                                                c10::cuda::getCurrentCUDAStream()),
                "causal convolution, backward");
    return {gradX, gradKernels.to(kernels.scalar_type()), history ? gradHistory.to(history->scalar_type()) : Tensor()};
}

} // namespace

TORCH_LIBRARY_IMPL(postnas, CUDA, m)
{
    m.impl("causal_convolution", &forward);
    m.impl("causal_convolution_backward", &backward);
}

} // namespace postnas::ops
