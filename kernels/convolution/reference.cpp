// The causal convolutions over tensors on the CPU, in float32 or float64: the reference of every other implementation.
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include "kernels/convolution/cpu_kernel.h"
#include "kernels/include/implementations.h"

namespace postnas::ops {

namespace {

/// Contiguous copies in the type that is computed in; shared kernels become [taps, channels].
struct Prepared {
    at::ScalarType type;
    at::Tensor x, kernels, history;

    Prepared(const ConvolutionSizes& s, const at::Tensor& xIn, const at::Tensor& kernelsIn, const std::optional<at::Tensor>& historyIn)
        : type(xIn.scalar_type() == at::kDouble ? at::kDouble : at::kFloat), x(xIn.to(type).contiguous()),
          kernels((s.perToken ? kernelsIn : kernelsIn.t()).to(type).contiguous()),
          history(historyIn ? historyIn->to(type).contiguous() : at::Tensor())
    {
    }

    template <typename Scalar>
    cpu::ConvolutionInputs<Scalar> inputs(const ConvolutionSizes& s) const
    {
        return {s.batch, s.length, s.channels, s.taps, s.perToken, x.const_data_ptr<Scalar>(), kernels.const_data_ptr<Scalar>(),
                history.defined() ? history.const_data_ptr<Scalar>() : nullptr};
    }
};

template <typename Scalar>
void runForward(const ConvolutionSizes& s, const Prepared& p, const at::Tensor& y)
{
    const auto in = p.inputs<Scalar>(s);
    Scalar* out = y.mutable_data_ptr<Scalar>();
    const std::int64_t grain = std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, s.channels * s.taps));
    at::parallel_for(0, s.batch * s.length, grain, [&](std::int64_t begin, std::int64_t end) {
        cpu::convolutionForward(in, out, begin, end, cpu::bestVectorLevel());
    });
}

template <typename Scalar>
void runBackward(const ConvolutionSizes& s, const Prepared& p, const at::Tensor& gradY, const at::Tensor& gradX,
                 const at::Tensor& gradKernels, const at::Tensor& gradHistory)
{
    const auto in = p.inputs<Scalar>(s);
    at::parallel_for(0, s.batch, 1, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t b = begin; b < end; ++b) {
            // Shared kernels: one copy a sequence, summed afterwards in a fixed order, so that threads change no digit.
            const cpu::ConvolutionGradients<Scalar> out{
                gradY.const_data_ptr<Scalar>(), gradX.mutable_data_ptr<Scalar>(),
                gradKernels.mutable_data_ptr<Scalar>() + (s.perToken ? 0 : b * s.taps * s.channels),
                gradHistory.defined() ? gradHistory.mutable_data_ptr<Scalar>() : nullptr};
            cpu::convolutionBackward(in, out, b, b + 1, cpu::bestVectorLevel());
        }
    });
}

} // namespace

at::Tensor causalConvolutionCpu(const at::Tensor& x, const at::Tensor& kernels, const std::optional<at::Tensor>& history)
{
    const ConvolutionSizes s = checkConvolution(x, kernels, history);
    const Prepared p(s, x, kernels, history);
    const at::Tensor y = at::empty({s.batch, s.length, s.channels}, p.x.options());
    if (p.type == at::kDouble)
        runForward<double>(s, p, y);
    else
        runForward<float>(s, p, y);
    return y.to(x.scalar_type());
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> causalConvolutionBackwardCpu(const at::Tensor& gradY, const at::Tensor& x,
                                                                            const at::Tensor& kernels,
                                                                            const std::optional<at::Tensor>& history)
{
    const ConvolutionSizes s = checkConvolution(x, kernels, history);
    const Prepared p(s, x, kernels, history);
    const at::Tensor upstream = gradY.to(p.type).contiguous();
    const at::Tensor gradX = at::zeros_like(p.x);
    at::Tensor gradKernels = s.perToken ? at::zeros_like(p.kernels) : at::zeros({s.batch, s.taps, s.channels}, p.x.options());
    const at::Tensor gradHistory = p.history.defined() ? at::zeros_like(p.history) : at::Tensor();
    if (p.type == at::kDouble)
        runBackward<double>(s, p, upstream, gradX, gradKernels, gradHistory);
    else
        runBackward<float>(s, p, upstream, gradX, gradKernels, gradHistory);
    if (!s.perToken)
        gradKernels = gradKernels.sum(0).t();
    return {gradX.to(x.scalar_type()), gradKernels.to(kernels.scalar_type()),
            history ? gradHistory.to(history->scalar_type()) : at::Tensor()};
}

} // namespace postnas::ops
