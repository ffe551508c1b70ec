// The operators as C++ functions over tensors. Each call goes through the torch dispatcher (library "postnas"), which picks
// the CPU reference or the CUDA kernel, and is differentiable.
#pragma once

#include <optional>
#include <tuple>

#include <ATen/core/Tensor.h>

namespace postnas::ops {

/// The recurrence that the next three are instances of; without g nothing decays (DeltaNet), without beta the value itself is
/// written (RetNet, Mamba-2 and GLA). With a removal key r, shaped as k, the delta rule reads along r what it writes along k:
///   S_t = diag(exp(g_t)) S_{t-1},  S_t += beta_t k_t (v_t - S_t^T r_t)^T,   o_t = scale * S_t^T q_t
/// Without one r is k. Shapes as below.
std::tuple<at::Tensor, at::Tensor> linearRecurrence(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                                    const std::optional<at::Tensor>& g, const std::optional<at::Tensor>& beta,
                                                    const std::optional<at::Tensor>& initialState, double scale,
                                                    const std::optional<at::Tensor>& removalKey = std::nullopt);

/// The same for sequences of different lengths that lie one behind the other: q, k [tokens, heads, key], v [tokens, heads, value], g and beta as
/// above without the batch. Sequence s has the tokens starts[s] to starts[s + 1]; starts is int64 [sequences + 1] on the CPU, from 0 to
/// the number of tokens, never falling. States are [sequences, heads, key, value]. Differentiable.
std::tuple<at::Tensor, at::Tensor> packedLinearRecurrence(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const std::optional<at::Tensor>& g,
                                                          const std::optional<at::Tensor>& beta, const std::optional<at::Tensor>& initialState,
                                                          const at::Tensor& starts, double scale,
                                                          const std::optional<at::Tensor>& removalKey = std::nullopt);

/// Gated linear attention (arXiv 2312.06635), per head:
///   S_t = diag(exp(g_t)) S_{t-1} + k_t v_t^T,   o_t = scale * S_t^T q_t
/// q, k: [batch, length, heads, key]; v: [batch, length, heads, value]; g: log decay <= 0, [batch, length, heads, key] or
/// [batch, length, heads] for one decay a head; initialState: [batch, heads, key, value].
/// Returns o [batch, length, heads, value] in v's type and the final state in float32 (float64 for float64 inputs).
std::tuple<at::Tensor, at::Tensor> gatedLinearAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                                        const at::Tensor& g, const std::optional<at::Tensor>& initialState,
                                                        double scale);

/// Gated delta rule (arXiv 2412.06464), per head, with k of unit length:
///   S_t = exp(g_t) S_{t-1},  S_t += beta_t k_t (v_t - S_t^T k_t)^T,   o_t = scale * S_t^T q_t
/// Shapes as above; g is [batch, length, heads] (or with a key dimension, as KDA has it); beta: [batch, length, heads].
std::tuple<at::Tensor, at::Tensor> gatedDeltaRule(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                                  const at::Tensor& g, const at::Tensor& beta,
                                                  const std::optional<at::Tensor>& initialState, double scale);

/// The transition of RWKV-7 (arXiv 2503.14456), per head: a decay of each channel and a matrix of rank one,
///   S_t = diag(exp(w_t)) S_{t-1} - (a_t * kappa_t) (kappa_t^T S_{t-1}) + k_t v_t^T,   o_t = scale * S_t^T r_t
/// r, w, k, kappa, a: [batch, length, heads, key]; w: log decay <= 0, in RWKV-7 -0.607 or more (exp(-w) must be a float32 number); kappa: the
/// removal key, of unit length; a: how much is removed, 0 to 1. v, initialState and the result as above. Two tokens of the recurrence above for each:
/// one removes along kappa, with kappa exp(-w) as its removal key, and one writes.
std::tuple<at::Tensor, at::Tensor> rwkv7(const at::Tensor& r, const at::Tensor& w, const at::Tensor& k, const at::Tensor& v,
                                         const at::Tensor& kappa, const at::Tensor& a, const std::optional<at::Tensor>& initialState,
                                         double scale);

/// Causal convolution with kernels that change per token (JetBlock):
///   y[b,t,c] = sum_w kernels[b,t,c,w] * x[b,t-W+1+w,c]     (the last tap is the current token)
/// x: [batch, length, channels]; kernels: [batch, length, channels, taps]; history: the taps-1 inputs before the first token,
/// [batch, taps-1, channels], zeros when absent.
at::Tensor dynamicConvolution(const at::Tensor& x, const at::Tensor& kernels, const std::optional<at::Tensor>& history);

/// Depthwise causal convolution: the same with kernels [channels, taps] shared by all tokens.
at::Tensor shortConvolution(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& history);

} // namespace postnas::ops
