// Binds the CUDA kernels of training to the dispatcher; part of libpostnas_cuda.so. What a kernel cannot take is computed by torch's own
// functions on the GPU (kernels/training/reference.cpp).
#include <algorithm>
#include <initializer_list>

#include <ATen/ATen.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include "kernels/include/cuda_binding.h"
#include "kernels/include/training_launch.h"
#include "kernels/training/reference.h"

namespace postnas::ops {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

/// Whether a kernel takes tensors of this type and width.
bool takes(const Tensor& t)
{
    const at::ScalarType type = t.scalar_type();
    return (type == at::kFloat || type == at::kHalf || type == at::kBFloat16) && t.dim() > 0 && t.size(-1) % 8 == 0 && t.numel() > 0;
}

/// Contiguous, of the same type as `like`, on 16 bytes.
Tensor packed(const Tensor& t, const Tensor& like)
{
    const Tensor out = t.to(like.scalar_type()).contiguous();
    return reinterpret_cast<std::uintptr_t>(out.const_data_ptr()) % 16 == 0 ? out : out.clone();
}

int multiprocessorsOf(const Tensor& tensor)
{
    int out = 0;
    cuda::check(cudaDeviceGetAttribute(&out, cudaDevAttrMultiProcessorCount, tensor.device().index()), "training");
    return out;
}

std::tuple<Tensor, Tensor> swiGluBackwardCuda(const Tensor& gradientIn, const Tensor& gateIn, const Tensor& upIn)
{
    const c10::cuda::CUDAGuard guard(gateIn.device());
    if (!takes(gateIn))
        return cuda::slowPath("swiglu_backward", gradientIn), swiGluBackwardReference(gradientIn, gateIn, upIn);
    const Tensor gate = packed(gateIn, gateIn), up = packed(upIn, gateIn), gradient = packed(gradientIn, gateIn);
    const Tensor gradGate = at::empty_like(gate), gradUp = at::empty_like(up);
    const cuda::SwiGluBackwardProblem p{gate.numel(), cuda::elementOf(gate.scalar_type()), gradient.const_data_ptr(), gate.const_data_ptr(), up.const_data_ptr()};
    cuda::check(cuda::launchSwiGluBackward(p, gradGate.mutable_data_ptr(), gradUp.mutable_data_ptr(), c10::cuda::getCurrentCUDAStream()),
                "SwiGLU, backward");
    return {gradGate, gradUp};
}

std::tuple<Tensor, Tensor, Tensor> gatedNormBackwardCuda(const Tensor& gradientIn, const Tensor& xIn, const Tensor& weightIn, const OptionalTensor& gateIn,
                                                         double epsilon)
{
    const c10::cuda::CUDAGuard guard(xIn.device());
    if (!takes(xIn) || xIn.size(-1) > 1024)
        return cuda::slowPath("gated_norm_backward", gradientIn), gatedNormBackwardReference(gradientIn, xIn, weightIn, gateIn, epsilon);
    const Tensor x = packed(xIn, xIn), gradient = packed(gradientIn, xIn), weight = packed(weightIn, xIn);
    const Tensor gate = gateIn ? packed(*gateIn, xIn) : Tensor();
    const Tensor gradX = at::empty_like(x), gradGate = gateIn ? at::empty_like(gate) : Tensor();
    const cuda::GatedNormBackwardProblem p{x.numel() / x.size(-1), x.size(-1), cuda::elementOf(x.scalar_type()), gradient.const_data_ptr(),
                                           x.const_data_ptr(), weight.const_data_ptr(), gateIn ? gate.const_data_ptr() : nullptr, static_cast<float>(epsilon)};
    const std::int64_t parts = cuda::gatedNormBackwardParts(p, multiprocessorsOf(x));
    const Tensor weightParts = at::empty({parts, x.size(-1)}, x.options().dtype(at::kFloat));
    cuda::check(cuda::launchGatedNormBackward(p, gradX.mutable_data_ptr(), gateIn ? gradGate.mutable_data_ptr() : nullptr,
                                              weightParts.mutable_data_ptr<float>(), parts, c10::cuda::getCurrentCUDAStream()),
                "gated norm, backward");
    return {gradX, weightParts.sum(0).to(weightIn.scalar_type()), gateIn ? gradGate.to(gateIn->scalar_type()) : Tensor()};
}

/// x and y as they lie, if a kernel takes them.
bool distanceFits(const Tensor& x, const Tensor& y, const Tensor& valid)
{
    return takes(x) && x.sizes() == y.sizes() && x.scalar_type() == y.scalar_type() && valid.scalar_type() == at::kBool && valid.numel() * x.size(-1) == x.numel();
}

cuda::DistanceProblem distanceOf(const Tensor& x, const Tensor& y, const Tensor& valid)
{
    return {valid.numel(), x.size(-1), cuda::elementOf(x.scalar_type()), x.const_data_ptr(), y.const_data_ptr(), valid.const_data_ptr<bool>()};
}

Tensor squaredSumsCuda(const Tensor& xIn, const Tensor& yIn, const Tensor& validIn)
{
    const c10::cuda::CUDAGuard guard(xIn.device());
    if (!distanceFits(xIn, yIn, validIn))
        return cuda::slowPath("squared_sums", xIn), squaredSumsReference(xIn, yIn, validIn);
    const Tensor x = packed(xIn, xIn), y = packed(yIn, xIn), valid = validIn.contiguous();
    const cuda::DistanceProblem p = distanceOf(x, y, valid);
    const std::int64_t parts = cuda::distanceParts(p, multiprocessorsOf(x));
    const Tensor sums = at::empty({2, parts}, x.options().dtype(at::kFloat));
    cuda::check(cuda::launchDistance(p, sums.mutable_data_ptr<float>(), parts, c10::cuda::getCurrentCUDAStream()), "squared sums");
    return sums.sum(1);
}

Tensor squaredSumsBackwardCuda(const Tensor& factor, const Tensor& xIn, const Tensor& yIn, const Tensor& validIn)
{
    const c10::cuda::CUDAGuard guard(xIn.device());
    if (!distanceFits(xIn, yIn, validIn))
        return cuda::slowPath("squared_sums_backward", xIn), squaredSumsBackwardReference(factor, xIn, yIn, validIn);
    const Tensor x = packed(xIn, xIn), y = packed(yIn, xIn), valid = validIn.contiguous(), gradX = at::empty_like(x);
    const Tensor number = factor.to(at::kFloat).contiguous();
    cuda::check(cuda::launchDistanceBackward(distanceOf(x, y, valid), number.const_data_ptr<float>(), gradX.mutable_data_ptr(),
                                             c10::cuda::getCurrentCUDAStream()),
                "squared sums, backward");
    return gradX;
}

Tensor headGradientCuda(Tensor& logits, const OptionalTensor& teacherIn, const OptionalTensor& idsIn, const Tensor& weights, double crossEntropy,
                        double divergence, double temperature)
{
    const c10::cuda::CUDAGuard guard(logits.device());
    if (!takes(logits) || logits.dim() != 2 || !logits.is_contiguous() || reinterpret_cast<std::uintptr_t>(logits.const_data_ptr()) % 16 != 0)
        return cuda::slowPath("head_gradient", logits), headGradientReference(logits, teacherIn, idsIn, weights, crossEntropy, divergence, temperature);
    const Tensor teacher = divergence != 0 ? packed(*teacherIn, logits) : Tensor();
    const Tensor ids = crossEntropy != 0 ? idsIn->to(at::kLong).contiguous() : Tensor(), scale = weights.to(at::kFloat).contiguous();
    const Tensor losses = at::empty({logits.size(0)}, logits.options().dtype(at::kFloat));
    const cuda::HeadProblem p{logits.size(0),
                              logits.size(1),
                              cuda::elementOf(logits.scalar_type()),
                              logits.mutable_data_ptr(),
                              teacher.defined() ? teacher.const_data_ptr() : nullptr,
                              ids.defined() ? ids.const_data_ptr<std::int64_t>() : nullptr,
                              scale.const_data_ptr<float>(),
                              static_cast<float>(crossEntropy),
                              static_cast<float>(divergence),
                              static_cast<float>(temperature)};
    cuda::check(cuda::launchHead(p, losses.mutable_data_ptr<float>(), c10::cuda::getCurrentCUDAStream()), "head losses");
    return losses;
}

} // namespace

TORCH_LIBRARY_IMPL(postnas, CUDA, m)
{
    m.impl("swiglu_backward", &swiGluBackwardCuda);
    m.impl("gated_norm_backward", &gatedNormBackwardCuda);
    m.impl("head_gradient_", &headGradientCuda);
    m.impl("squared_sums", &squaredSumsCuda);
    m.impl("squared_sums_backward", &squaredSumsBackwardCuda);
}

} // namespace postnas::ops
