// Shape, type and device checks of the operators' tensors; compiled into the CPU and the CUDA library.
#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include "kernels/include/implementations.h"

namespace postnas::ops {

RecurrenceSizes checkRecurrence(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const std::optional<at::Tensor>& g,
                                const std::optional<at::Tensor>& beta, const std::optional<at::Tensor>& initialState,
                                const std::optional<at::Tensor>& removalKey)
{
    TORCH_CHECK(q.dim() == 4, "linear recurrence: q must be [batch, length, heads, key], it has shape ", q.sizes());
    TORCH_CHECK(v.dim() == 4, "linear recurrence: v must be [batch, length, heads, value], it has shape ", v.sizes());
    RecurrenceSizes s{q.size(0), q.size(1), q.size(2), q.size(3), v.size(3), false, beta.has_value(), removalKey.has_value()};
    TORCH_CHECK(k.sizes() == q.sizes(), "linear recurrence: k has shape ", k.sizes(), ", q has ", q.sizes());
    TORCH_CHECK(v.size(0) == s.batch && v.size(1) == s.length && v.size(2) == s.heads, "linear recurrence: v has shape ", v.sizes(),
                ", q has ", q.sizes());
    const auto perHead = [&](const at::Tensor& t) {
        return t.dim() == 3 && t.size(0) == s.batch && t.size(1) == s.length && t.size(2) == s.heads;
    };
    if (g) {
        s.decayPerChannel = g->dim() == 4;
        TORCH_CHECK(s.decayPerChannel ? g->sizes() == q.sizes() : perHead(*g),
                    "linear recurrence: g must be [batch, length, heads] or shaped as q ", q.sizes(), ", it has shape ", g->sizes());
    }
    if (beta) {
        TORCH_CHECK(perHead(*beta), "linear recurrence: beta must be [batch, length, heads] of q ", q.sizes(), ", it has shape ",
                    beta->sizes());
    }
    if (removalKey) {
        TORCH_CHECK(beta, "linear recurrence: a removal key is part of the delta rule, and there is no beta");
        TORCH_CHECK(removalKey->sizes() == q.sizes(), "linear recurrence: the removal key has shape ", removalKey->sizes(), ", q has ", q.sizes());
    }
    if (initialState) {
        TORCH_CHECK(initialState->dim() == 4 && initialState->size(0) == s.batch && initialState->size(1) == s.heads &&
                        initialState->size(2) == s.keyDim && initialState->size(3) == s.valueDim,
                    "linear recurrence: the initial state must be [batch, heads, key, value], it has shape ", initialState->sizes(),
                    " for q ", q.sizes(), " and v ", v.sizes());
    }
    for (const at::Tensor* t : {&k, &v, g ? &*g : &q, beta ? &*beta : &q, initialState ? &*initialState : &q, removalKey ? &*removalKey : &q}) {
        TORCH_CHECK(t->is_floating_point(), "linear recurrence: a tensor is ", t->scalar_type(), "; all must be floating point");
        TORCH_CHECK(t->device() == q.device(), "linear recurrence: tensors lie on ", q.device(), " and on ", t->device());
    }
    return s;
}

RecurrenceSizes checkPackedRecurrence(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const std::optional<at::Tensor>& g,
                                      const std::optional<at::Tensor>& beta, const std::optional<at::Tensor>& initialState, const at::Tensor& starts,
                                      const std::optional<at::Tensor>& removalKey)
{
    const auto one = [](const std::optional<at::Tensor>& t) { return t ? std::optional(t->unsqueeze(0)) : std::nullopt; };
    TORCH_CHECK(q.dim() == 3 && k.dim() == 3 && v.dim() == 3, "packed linear recurrence: q, k and v must be [tokens, heads, width], q has shape ", q.sizes());
    const RecurrenceSizes s = checkRecurrence(q.unsqueeze(0), k.unsqueeze(0), v.unsqueeze(0), one(g), one(beta), std::nullopt, one(removalKey));
    TORCH_CHECK(starts.dim() == 1 && starts.numel() >= 1 && starts.scalar_type() == at::kLong && starts.is_cpu() && starts.is_contiguous(),
                "packed linear recurrence: starts must be int64 [sequences + 1] on the CPU");
    const std::int64_t* first = starts.const_data_ptr<std::int64_t>();
    const std::int64_t sequences = starts.numel() - 1;
    TORCH_CHECK(first[0] == 0 && first[sequences] == s.length, "packed linear recurrence: starts go from ", first[0], " to ", first[sequences], ", the tokens from 0 to ",
                s.length);
    for (std::int64_t i = 0; i < sequences; ++i)
        TORCH_CHECK(first[i] <= first[i + 1], "packed linear recurrence: starts fall after sequence ", i);
    if (initialState)
        TORCH_CHECK(initialState->dim() == 4 && initialState->size(0) == sequences && initialState->size(1) == s.heads && initialState->size(2) == s.keyDim
                        && initialState->size(3) == s.valueDim && initialState->is_floating_point() && initialState->device() == q.device(),
                    "packed linear recurrence: the initial state must be [sequences, heads, key, value] on the device of q, it has shape ", initialState->sizes());
    return s;
}

RecurrenceSizes checkRwkv7(const at::Tensor& r, const at::Tensor& w, const at::Tensor& k, const at::Tensor& v, const at::Tensor& kappa,
                           const at::Tensor& a, const std::optional<at::Tensor>& initialState)
{
    TORCH_CHECK(r.dim() == 4, "rwkv7: r must be [batch, length, heads, key], it has shape ", r.sizes());
    for (const auto& [name, t] : {std::pair("w", &w), {"k", &k}, {"kappa", &kappa}, {"a", &a}}) {
        TORCH_CHECK(t->sizes() == r.sizes(), "rwkv7: ", name, " has shape ", t->sizes(), ", r has ", r.sizes());
        TORCH_CHECK(t->is_floating_point() && t->device() == r.device(), "rwkv7: ", name, " is ", t->scalar_type(), " on ", t->device(), ", r is ",
                    r.scalar_type(), " on ", r.device());
    }
    RecurrenceSizes s = checkRecurrence(r, k, v, w, std::nullopt, initialState, std::nullopt);
    s.length *= 2;
    s.delta = s.removalKey = true;
    return s;
}

ConvolutionSizes checkConvolution(const at::Tensor& x, const at::Tensor& kernels, const std::optional<at::Tensor>& history)
{
    TORCH_CHECK(x.dim() == 3, "causal convolution: x must be [batch, length, channels], it has shape ", x.sizes());
    ConvolutionSizes s{x.size(0), x.size(1), x.size(2), 0, kernels.dim() == 4};
    if (s.perToken) {
        TORCH_CHECK(kernels.size(0) == s.batch && kernels.size(1) == s.length && kernels.size(2) == s.channels,
                    "causal convolution: kernels have shape ", kernels.sizes(), " for x ", x.sizes());
    } else {
        TORCH_CHECK(kernels.dim() == 2 && kernels.size(0) == s.channels,
                    "causal convolution: kernels must be [channels, taps] or [batch, length, channels, taps], they have shape ",
                    kernels.sizes(), " for x ", x.sizes());
    }
    s.taps = kernels.size(-1);
    TORCH_CHECK(s.taps >= 1, "causal convolution: kernels have no tap");
    if (history)
        TORCH_CHECK(history->dim() == 3 && history->size(0) == s.batch && history->size(1) == s.taps - 1 && history->size(2) == s.channels,
                    "causal convolution: history must be [batch, taps - 1, channels], it has shape ", history->sizes(), " for x ",
                    x.sizes(), " and ", s.taps, " taps");
    for (const at::Tensor* t : {&x, &kernels, history ? &*history : &x}) {
        TORCH_CHECK(t->is_floating_point(), "causal convolution: a tensor is ", t->scalar_type(), "; all must be floating point");
        TORCH_CHECK(t->device() == x.device(), "causal convolution: tensors lie on ", x.device(), " and on ", t->device());
    }
    return s;
}

RecurrencePath cudaRecurrencePath(const RecurrenceSizes& s, at::ScalarType type)
{
    constexpr std::int64_t kWidestKey = 256, kShortestChunked = 8;
    if (type == at::kDouble || s.keyDim > kWidestKey)
        return RecurrencePath::Cpu;
    // Below that length a whole chunk's work costs more than going token by token.
    // The tiles of a delta rule with a decay per channel do not fit the shared memory for the widest keys; a removal key is made for RWKV-7,
    // whose decay is of each channel and whose keys are 64 wide.
    const bool tilesFit = s.removalKey ? s.decayPerChannel && s.keyDim <= 128 : !s.delta || !s.decayPerChannel || s.keyDim <= 192;
    const bool fits = tilesFit && s.length >= kShortestChunked && s.keyDim > 0 && s.keyDim % 8 == 0 && s.valueDim > 0 && s.valueDim % 8 == 0;
    return type == at::kBFloat16 && fits ? RecurrencePath::Chunks : RecurrencePath::Tokens;
}

} // namespace postnas::ops
