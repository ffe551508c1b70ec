// Binds the CUDA kernels for whole sequences to the dispatcher; part of libpostnas_cuda.so. What a kernel cannot take is computed by
// torch's own functions on the GPU (kernels/prefill/reference.cpp).
#include <algorithm>
#include <initializer_list>

#include <ATen/ATen.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include "kernels/include/attention_launch.h"
#include "kernels/include/convolution_launch.h"
#include "kernels/include/cuda_binding.h"
#include "kernels/include/heads_launch.h"
#include "kernels/include/implementations.h"
#include "kernels/prefill/reference.h"

namespace postnas::ops {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

const void* pointer(const OptionalTensor& tensor) { return tensor ? tensor->const_data_ptr() : nullptr; }

bool aligned(const OptionalTensor& t) { return !t || reinterpret_cast<std::uintptr_t>(t->const_data_ptr()) % 16 == 0; }

/// Whether all are of the first one's type, which a kernel knows, and begin on 16 bytes.
bool alike(std::initializer_list<OptionalTensor> tensors)
{
    const at::ScalarType type = (*tensors.begin())->scalar_type();
    const auto fits = [&](const OptionalTensor& t) { return !t || (t->scalar_type() == type && aligned(t)); };
    return (type == at::kFloat || type == at::kHalf || type == at::kBFloat16) && std::all_of(tensors.begin(), tensors.end(), fits);
}

/// Elements from one token of [batch, length, heads, width] to the next; where each sequence has one token, torch's stride of the length says nothing.
std::int64_t rowStride(const Tensor& t) { return t.stride(t.size(1) == 1 ? 0 : 1); }

/// Heads of [batch, length, heads, width] side by side, each token the same distance from the one before it, on 8 elements.
bool inRows(const Tensor& t)
{
    return t.dim() == 4 && t.size(3) % 8 == 0 && t.stride(3) == 1 && t.stride(2) == t.size(3) && rowStride(t) % 8 == 0
        && (t.size(0) == 1 || t.stride(0) == t.size(1) * rowStride(t));
}

auto currentStream() { return c10::cuda::getCurrentCUDAStream(); }

Tensor gatedNormCuda(const Tensor& oIn, const Tensor& weight, const OptionalTensor& gate, double epsilon)
{
    const c10::cuda::CUDAGuard guard(oIn.device());
    const Tensor o = oIn.contiguous();
    if (!alike({o, weight, gate}) || !inRows(o) || (gate && (gate->sizes() != o.sizes() || !inRows(*gate))) || !weight.is_contiguous()
        || o.size(3) > cuda::kMaxHeadWidth)
        return cuda::slowPath("gated_norm", o), gatedNormReference(o, weight, gate, epsilon);
    const cuda::GatedNormProblem p{o.size(0) * o.size(1), o.size(2), o.size(3), cuda::elementOf(o.scalar_type()), o.const_data_ptr(),
                                   weight.const_data_ptr(), static_cast<float>(epsilon), pointer(gate), gate ? rowStride(*gate) : 0};
    const Tensor out = at::empty_like(o);
    cuda::check(cuda::launchGatedNorm(p, out.mutable_data_ptr(), currentStream()), "gated norm");
    return out;
}

Tensor unitLengthCuda(const Tensor& x, bool silu)
{
    const c10::cuda::CUDAGuard guard(x.device());
    if (!alike({x}) || !inRows(x) || x.size(3) > cuda::kMaxHeadWidth)
        return cuda::slowPath("unit_length", x), unitLengthReference(x, silu);
    const cuda::UnitLengthProblem p{x.size(0) * x.size(1), x.size(2), x.size(3), rowStride(x), cuda::elementOf(x.scalar_type()), x.const_data_ptr(), silu};
    const Tensor out = at::empty(x.sizes(), x.options());
    cuda::check(cuda::launchUnitLength(p, out.mutable_data_ptr(), currentStream()), "unit length");
    return out;
}

// Convolutions ------------------------------------------------------------------------------------------------------------------

/// y = silu(convolution of x); x, kernels and y contiguous. False for what the kernel cannot take.
bool convolve(const Tensor& x, const Tensor& kernels, const OptionalTensor& history, const Tensor& y)
{
    const ConvolutionSizes s = checkConvolution(x, kernels, history);
    if (!alike({x, kernels, history}) || (history && !history->is_contiguous()))
        return false;
    const cuda::ConvolutionProblem p{s.batch, s.length, s.channels, s.taps, s.perToken, cuda::elementOf(x.scalar_type()), x.const_data_ptr(),
                                     kernels.const_data_ptr(), pointer(history), true};
    cuda::check(cuda::launchConvolutionForward(p, y.mutable_data_ptr(), currentStream()), "causal convolution with silu");
    return true;
}

Tensor siluConvolutionCuda(const Tensor& xIn, const Tensor& kernelsIn, const OptionalTensor& history)
{
    const c10::cuda::CUDAGuard guard(xIn.device());
    const Tensor x = xIn.contiguous(), kernels = kernelsIn.contiguous(), y = at::empty_like(x);
    if (convolve(x, kernels, history, y))
        return y;
    return cuda::slowPath("silu_convolution", x), siluConvolutionReference(x, kernels, history);
}

/// The product that makes the kernels runs near the matrix rate only when it is a large one; kernels of this many tokens are stored at a time.
constexpr std::int64_t kTokensAtATime = 1 << 15;

Tensor generatedConvolutionCuda(const Tensor& xIn, const Tensor& hiddenIn, const Tensor& weight, const OptionalTensor& bias,
                                const OptionalTensor& history)
{
    const c10::cuda::CUDAGuard guard(xIn.device());
    const Tensor x = xIn.contiguous(), hidden = hiddenIn.contiguous();
    TORCH_CHECK(x.dim() == 3 && hidden.dim() == 3 && weight.dim() == 2 && weight.size(0) % std::max<std::int64_t>(x.size(2), 1) == 0,
                "generated convolution: x has shape ", x.sizes(), ", hidden ", hidden.sizes(), ", weight ", weight.sizes());
    const std::int64_t batch = x.size(0), length = x.size(1), channels = x.size(2), taps = channels > 0 ? weight.size(0) / channels : 1;
    if (batch * length == 0 || channels == 0)
        return at::empty_like(x);
    // Some whole sequences, or a part of one, which continues from the inputs before it.
    const std::int64_t rows = std::clamp<std::int64_t>(kTokensAtATime / length, 1, batch), tokens = std::min(length, kTokensAtATime);
    const Tensor y = at::empty_like(x);
    for (std::int64_t row = 0; row < batch; row += rows)
        for (std::int64_t token = 0; token < length; token += tokens) {
            const auto rowsOf = [&](const Tensor& t) { return t.narrow(0, row, std::min(rows, batch - row)); };
            const auto piece = [&](const Tensor& t) { return rowsOf(t).narrow(1, token, std::min(tokens, length - token)); };
            const OptionalTensor earlier =
                token > 0 ? OptionalTensor(rowsOf(x).narrow(1, token - taps + 1, taps - 1)) : history ? OptionalTensor(rowsOf(*history)) : std::nullopt;
            const Tensor kernels = at::linear(piece(hidden), weight, bias).unflatten(-1, {channels, taps});
            if (!convolve(piece(x), kernels, earlier, piece(y)))
                piece(y).copy_(siluConvolutionReference(piece(x), kernels, earlier));
        }
    return y;
}

// Attention ---------------------------------------------------------------------------------------------------------------------

/// Norm and rotation of q and k; false for what the kernel cannot take. `p` has the destinations already.
bool rotateWithKernel(cuda::RopeAppendProblem& p, const Tensor& q, const Tensor& k, const OptionalTensor& v, const OptionalTensor& queryNorm,
                      const OptionalTensor& keyNorm, double epsilon, const Tensor& cosine, const Tensor& sine)
{
    const auto table = [&](const Tensor& t) { return t.scalar_type() == at::kFloat && t.is_contiguous() && t.size(0) >= q.size(1); };
    if (!alike({q, k, v, queryNorm, keyNorm}) || !inRows(q) || !inRows(k) || (v && !inRows(*v)) || !table(cosine) || !table(sine))
        return false;
    p.batch = q.size(0);
    p.length = q.size(1);
    p.heads = q.size(2);
    p.keyValueHeads = k.size(2);
    p.dim = q.size(3);
    p.element = cuda::elementOf(q.scalar_type());
    p.q = q.const_data_ptr();
    p.k = k.const_data_ptr();
    p.v = v ? v->const_data_ptr() : p.k; // read for nothing where no cache wants it
    p.queryStride = rowStride(q);
    p.keyStride = rowStride(k);
    p.valueStride = rowStride(v ? *v : k);
    p.queryNorm = pointer(queryNorm);
    p.keyNorm = pointer(keyNorm);
    p.epsilon = static_cast<float>(epsilon);
    p.cosine = cosine.const_data_ptr<float>();
    p.sine = sine.const_data_ptr<float>();
    if (!cuda::ropeAppendCanTake(p))
        return false;
    cuda::check(cuda::launchRopeAppend(p, currentStream()), "rotary positions");
    return true;
}

std::tuple<Tensor, Tensor> rotateCuda(const Tensor& q, const Tensor& k, const OptionalTensor& queryNorm, const OptionalTensor& keyNorm, double epsilon,
                                      const Tensor& cosine, const Tensor& sine)
{
    const c10::cuda::CUDAGuard guard(q.device());
    const Tensor query = at::empty(q.sizes(), q.options()), key = at::empty(k.sizes(), k.options());
    cuda::RopeAppendProblem p;
    p.queryOut = query.mutable_data_ptr();
    p.keyOut = key.mutable_data_ptr();
    if (!rotateWithKernel(p, q, k, std::nullopt, queryNorm, keyNorm, epsilon, cosine, sine))
        return cuda::slowPath("rotate", q), rotateReference(q, k, queryNorm, keyNorm, epsilon, cosine, sine);
    return {query, key};
}

Tensor rotateIntoCuda(const Tensor& q, const Tensor& k, const Tensor& v, const OptionalTensor& queryNorm, const OptionalTensor& keyNorm,
                      double epsilon, const Tensor& cosine, const Tensor& sine, std::int64_t first, Tensor& keys, Tensor& values)
{
    TORCH_CHECK(first >= 0 && first + q.size(1) <= keys.size(2), "rotate_into: slots ", first, " to ", first + q.size(1), " of a cache of ", keys.size(2));
    const c10::cuda::CUDAGuard guard(q.device());
    const Tensor query = at::empty(q.sizes(), q.options());
    const auto from = [&](Tensor& cache) { return static_cast<char*>(cache.mutable_data_ptr()) + first * cache.size(3) * cache.element_size(); };
    cuda::RopeAppendProblem p;
    p.capacity = keys.size(2);
    p.keys = from(keys);
    p.values = from(values);
    p.queryOut = query.mutable_data_ptr();
    const bool caches = keys.is_contiguous() && values.is_contiguous() && alike({q, keys, values});
    if (!caches || !rotateWithKernel(p, q, k, v, queryNorm, keyNorm, epsilon, cosine, sine))
        return cuda::slowPath("rotate_into", q), rotateIntoReference(q, k, v, queryNorm, keyNorm, epsilon, cosine, sine, first, keys, values);
    return query;
}

Tensor mergeAttentionCuda(at::TensorList parts, at::TensorList logSums)
{
    TORCH_CHECK(!parts.empty() && parts.size() == logSums.size(), "merge_attention: ", parts.size(), " parts and ", logSums.size(), " sums");
    const Tensor& first = parts[0];
    const c10::cuda::CUDAGuard guard(first.device());
    cuda::MergeProblem p{first.size(0), first.size(1), first.size(2), first.size(3), cuda::Element::Float32, static_cast<int>(parts.size()), {}};
    if (parts.size() > cuda::kMaxMergedParts || !alike({first}) || p.width % 8 != 0)
        return cuda::slowPath("merge_attention", parts[0]), mergeAttentionReference(parts, logSums);
    p.element = cuda::elementOf(first.scalar_type());
    for (std::size_t i = 0; i < parts.size(); ++i) {
        const Tensor &t = parts[i], &sums = logSums[i];
        const bool strides = t.stride(3) == 1 && t.stride(0) % 8 == 0 && t.stride(1) % 8 == 0 && t.stride(2) % 8 == 0;
        if (!alike({first, t}) || !strides || t.sizes() != first.sizes() || sums.scalar_type() != at::kFloat || !sums.is_contiguous())
            return cuda::slowPath("merge_attention", parts[0]), mergeAttentionReference(parts, logSums);
        p.parts[i] = {t.const_data_ptr(), t.stride(0), t.stride(1), t.stride(2), sums.const_data_ptr<float>()};
    }
    const Tensor out = at::empty({p.batch, p.length, p.heads, p.width}, first.options());
    cuda::check(cuda::launchMerge(p, out.mutable_data_ptr(), currentStream()), "merged attention");
    return out;
}

std::tuple<Tensor, Tensor> deltaGatesCuda(const Tensor& abIn, const Tensor& aLog, const Tensor& dtBias)
{
    const c10::cuda::CUDAGuard guard(abIn.device());
    const Tensor ab = abIn.contiguous();
    if (!alike({ab, aLog, dtBias}) || !aLog.is_contiguous() || !dtBias.is_contiguous())
        return cuda::slowPath("delta_gates", ab), deltaGatesReference(ab, aLog, dtBias);
    const std::int64_t heads = ab.size(-1) / 2;
    std::vector<std::int64_t> shape = ab.sizes().vec();
    shape.back() = heads;
    const Tensor g = at::empty(shape, ab.options().dtype(at::kFloat)), beta = at::empty_like(g);
    const cuda::DeltaGatesProblem p{heads > 0 ? ab.numel() / (2 * heads) : 0, heads, cuda::elementOf(ab.scalar_type()), ab.const_data_ptr(), aLog.const_data_ptr(),
                                    dtBias.const_data_ptr()};
    cuda::check(cuda::launchDeltaGates(p, g.mutable_data_ptr<float>(), beta.mutable_data_ptr<float>(), currentStream()), "delta gates");
    return {g, beta};
}

} // namespace

TORCH_LIBRARY_IMPL(postnas, CUDA, m)
{
    m.impl("gated_norm", &gatedNormCuda);
    m.impl("unit_length", &unitLengthCuda);
    m.impl("silu_convolution", &siluConvolutionCuda);
    m.impl("generated_convolution", &generatedConvolutionCuda);
    m.impl("rotate", &rotateCuda);
    m.impl("rotate_into", &rotateIntoCuda);
    m.impl("merge_attention", &mergeAttentionCuda);
    m.impl("delta_gates", &deltaGatesCuda);
}

} // namespace postnas::ops
