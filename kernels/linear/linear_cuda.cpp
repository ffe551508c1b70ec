// Binds the products of a few tokens to the dispatcher; part of libpostnas_cuda.so. More tokens, or other types, go to cuBLAS.
#include <ATen/ATen.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include "kernels/include/cuda_binding.h"
#include "kernels/include/elementwise_launch.h"
#include "kernels/include/linear_launch.h"
#include "kernels/linear/composed.h"

namespace postnas::ops {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

constexpr std::int64_t kFewTokens = 4; ///< with more, cuBLAS with its launches around takes less time
constexpr std::int64_t kUpcomingBytes = 16 * 1024;

bool aligned(const Tensor& t) { return reinterpret_cast<std::uintptr_t>(t.const_data_ptr()) % 16 == 0; }
bool suits(const Tensor& t) { return t.scalar_type() == at::kBFloat16 && t.is_contiguous() && aligned(t); }

int multiprocessorsOf(const Tensor& tensor)
{
    int out = 0;
    cuda::check(cudaDeviceGetAttribute(&out, cudaDevAttrMultiProcessorCount, tensor.device().index()), "matrix products");
    return out;
}

/// The part of the problem that all share; false where the kernel is not for it.
bool describe(cuda::TokenProducts& p, const Tensor& x, const OptionalTensor& norm, double epsilon, at::TensorList upcoming)
{
    if (x.dim() != 2 || x.size(0) > kFewTokens || !suits(x) || (norm && !suits(*norm)))
        return false;
    p.tokens = x.size(0);
    p.width = x.size(1);
    p.x = x.const_data_ptr();
    p.normWeight = norm ? norm->const_data_ptr() : nullptr;
    p.epsilon = static_cast<float>(epsilon);
    for (std::size_t i = 0; i < upcoming.size() && i < std::size_t(cuda::kMaxUpcomingReads); ++i)
        if (upcoming[i].is_contiguous() && aligned(upcoming[i]))
            p.upcoming[i] = {upcoming[i].const_data_ptr(), static_cast<std::int64_t>(upcoming[i].nbytes())};
    p.upcomingBytes = kUpcomingBytes;
    return true;
}

bool addTo(cuda::TokenProducts& p, const Tensor& weight, const OptionalTensor& bias, bool silu = false, bool unrounded = false)
{
    const bool biasSuits = !bias || (bias->scalar_type() == at::kBFloat16 && bias->is_contiguous());
    if (p.count == cuda::kMaxTokenProducts || !suits(weight) || weight.dim() != 2 || weight.size(1) != p.width || !biasSuits)
        return false;
    p.products[p.count++] = {weight.const_data_ptr(), bias ? bias->const_data_ptr() : nullptr, nullptr, weight.size(0), silu, unrounded};
    return true;
}

void launch(const cuda::TokenProducts& p, const Tensor& x)
{
    cuda::check(cuda::launchTokenProducts(p, multiprocessorsOf(x), c10::cuda::getCurrentCUDAStream()), "matrix products");
}

/// RMSNorm by the kernel of the elementwise operators, so that only the product itself is cuBLAS's.
Tensor normed(const Tensor& x, const OptionalTensor& norm, double epsilon)
{
    if (!norm)
        return x;
    const bool fits = x.dim() == 2 && x.is_contiguous() && norm->is_contiguous() && norm->scalar_type() == x.scalar_type() && aligned(x) && aligned(*norm)
        && (x.scalar_type() == at::kBFloat16 || x.scalar_type() == at::kFloat) && x.size(1) % 8 == 0 && x.size(1) <= cuda::kMaxNormWidth;
    if (!fits)
        return at::rms_norm(x, {x.size(-1)}, norm->to(x.scalar_type()), epsilon);
    const Tensor out = at::empty_like(x);
    const cuda::ResidualNormProblem p{x.size(0), x.size(1), cuda::elementOf(x.scalar_type()), x.const_data_ptr(), nullptr, norm->const_data_ptr(),
                                      static_cast<float>(epsilon)};
    cuda::check(cuda::launchResidualNorm(p, nullptr, out.mutable_data_ptr(), c10::cuda::getCurrentCUDAStream()), "norm");
    return out;
}

std::vector<Tensor> tokenProductsCuda(const Tensor& x, const OptionalTensor& norm, double epsilon, at::TensorList weights, const OptionalTensors& biases,
                                      std::int64_t silu, std::int64_t unrounded, at::TensorList upcoming)
{
    const c10::cuda::CUDAGuard guard(x.device());
    cuda::TokenProducts p;
    bool fits = describe(p, x, norm, epsilon, upcoming);
    for (std::size_t i = 0; fits && i < weights.size(); ++i)
        fits = addTo(p, weights[i], biases.get(i), silu >> i & 1, unrounded >> i & 1);
    if (!fits || !cuda::tokenProductsCanTake(p))
        return tokenProductsComposed(normed(x, norm, epsilon), std::nullopt, 0, weights, biases, silu, unrounded);
    std::vector<Tensor> out;
    for (int i = 0; i < p.count; ++i) {
        out.push_back(at::empty({p.tokens, p.products[i].rows}, p.products[i].unrounded ? x.options().dtype(at::kFloat) : x.options()));
        p.products[i].out = out.back().mutable_data_ptr();
    }
    launch(p, x);
    return out;
}

Tensor gatedProductCuda(const Tensor& x, const OptionalTensor& norm, double epsilon, const Tensor& gate, const Tensor& up, at::TensorList upcoming)
{
    const c10::cuda::CUDAGuard guard(x.device());
    cuda::TokenProducts p;
    p.swiGlu = true;
    if (describe(p, x, norm, epsilon, upcoming) && addTo(p, gate, std::nullopt) && addTo(p, up, std::nullopt) && cuda::tokenProductsCanTake(p)) {
        const Tensor out = at::empty({p.tokens, gate.size(0)}, x.options());
        p.products[0].out = out.mutable_data_ptr();
        launch(p, x);
        return out;
    }
    const std::vector<Tensor> both =
        tokenProductsComposed(normed(x, norm, epsilon), std::nullopt, 0, {gate, up}, OptionalTensors({std::nullopt, std::nullopt}), 0, 0);
    static const auto swiGlu = c10::Dispatcher::singleton().findSchemaOrThrow("postnas::swiglu", "").typed<Tensor(const Tensor&, const Tensor&)>();
    return swiGlu.call(both[0], both[1]);
}

void addProductCuda(Tensor& sum, const Tensor& x, const Tensor& weight, const OptionalTensor& bias, at::TensorList upcoming)
{
    const c10::cuda::CUDAGuard guard(x.device());
    cuda::TokenProducts p;
    if (sum.scalar_type() == at::kBFloat16 && sum.is_contiguous() && describe(p, x, std::nullopt, 0, upcoming) && addTo(p, weight, bias)) {
        p.residual = sum.const_data_ptr();
        p.products[0].out = sum.mutable_data_ptr();
        if (cuda::tokenProductsCanTake(p))
            return launch(p, x);
    }
    addProductComposed(sum, x, weight, bias);
}

} // namespace

TORCH_LIBRARY_IMPL(postnas, CUDA, m)
{
    m.impl("token_products", &tokenProductsCuda);
    m.impl("gated_product", &gatedProductCuda);
    m.impl("add_product", &addProductCuda);
}

} // namespace postnas::ops
