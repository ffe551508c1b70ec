// What the bindings of the linear recurrence share: checked sizes and types of its tensors, and the functions behind the
// dispatcher. Internal: torch.
#pragma once

#include <optional>
#include <tuple>

#include <ATen/core/Tensor.h>

namespace postnas::ops {

struct RecurrenceSizes {
    std::int64_t batch = 0, length = 0, heads = 0, keyDim = 0, valueDim = 0;
    bool decayPerChannel = false;
    bool delta = false;
    bool removalKey = false; ///< a key of its own for what the delta rule removes
};

/// Throws c10::Error naming the tensor whose shape, type or device does not fit.
RecurrenceSizes checkRecurrence(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const std::optional<at::Tensor>& g,
                                const std::optional<at::Tensor>& beta, const std::optional<at::Tensor>& initialState,
                                const std::optional<at::Tensor>& removalKey);

/// How CUDA computes a recurrence.
enum class RecurrencePath {
    Chunks, ///< on the tensor cores, 64 tokens at a time: bfloat16, 8 tokens or more, widths that are multiples of 8; with delta and a decay per
            ///< channel keys of at most 192; with a removal key a decay per channel and keys of at most 128
    Tokens, ///< token by token in float32
    Cpu     ///< on the CPU, with copies: float64, and keys wider than 256
};
RecurrencePath cudaRecurrencePath(const RecurrenceSizes& sizes, at::ScalarType type);

/// (o, final state)
using RecurrenceResult = std::tuple<at::Tensor, at::Tensor>;
/// Gradients of q, k, v, g, beta, the initial state and the removal key; undefined where there was no input.
using RecurrenceBackwardResult = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

RecurrenceResult linearRecurrenceCpu(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const std::optional<at::Tensor>& g,
                                     const std::optional<at::Tensor>& beta, const std::optional<at::Tensor>& initialState, double scale,
                                     const std::optional<at::Tensor>& removalKey);
RecurrenceBackwardResult linearRecurrenceBackwardCpu(const std::optional<at::Tensor>& gradO, const std::optional<at::Tensor>& gradFinalState,
                                                     const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                                     const std::optional<at::Tensor>& g, const std::optional<at::Tensor>& beta,
                                                     const std::optional<at::Tensor>& initialState, double scale,
                                                     const std::optional<at::Tensor>& removalKey);

/// The recurrence of packed sequences, one after the other through the operators above; any device. `starts` as in operators.h.
RecurrenceResult packedRecurrenceOneByOne(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const std::optional<at::Tensor>& g,
                                          const std::optional<at::Tensor>& beta, const std::optional<at::Tensor>& initialState, const at::Tensor& starts,
                                          double scale, const std::optional<at::Tensor>& removalKey);
RecurrenceBackwardResult packedRecurrenceBackwardOneByOne(const std::optional<at::Tensor>& gradO, const std::optional<at::Tensor>& gradFinalState,
                                                          const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                                          const std::optional<at::Tensor>& g, const std::optional<at::Tensor>& beta,
                                                          const std::optional<at::Tensor>& initialState, const at::Tensor& starts, double scale,
                                                          const std::optional<at::Tensor>& removalKey);
/// Throws c10::Error where the shapes, or the starts, do not fit.
RecurrenceSizes checkPackedRecurrence(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const std::optional<at::Tensor>& g,
                                      const std::optional<at::Tensor>& beta, const std::optional<at::Tensor>& initialState, const at::Tensor& starts,
                                      const std::optional<at::Tensor>& removalKey);

/// RWKV-7 (operators.h) as the linear recurrence of twice as many tokens; any device.
RecurrenceResult rwkv7AsRecurrence(const at::Tensor& r, const at::Tensor& w, const at::Tensor& k, const at::Tensor& v, const at::Tensor& kappa,
                                   const at::Tensor& a, const std::optional<at::Tensor>& initialState, double scale);
/// Gradients of r, w, k, v, kappa, a and the initial state.
using Rwkv7BackwardResult = RecurrenceBackwardResult;
Rwkv7BackwardResult rwkv7BackwardAsRecurrence(const std::optional<at::Tensor>& gradO, const std::optional<at::Tensor>& gradFinalState,
                                              const at::Tensor& r, const at::Tensor& w, const at::Tensor& k, const at::Tensor& v,
                                              const at::Tensor& kappa, const at::Tensor& a, const std::optional<at::Tensor>& initialState,
                                              double scale);
/// Throws c10::Error naming the tensor whose shape, type or device does not fit; the sizes are of the recurrence.
RecurrenceSizes checkRwkv7(const at::Tensor& r, const at::Tensor& w, const at::Tensor& k, const at::Tensor& v, const at::Tensor& kappa,
                           const at::Tensor& a, const std::optional<at::Tensor>& initialState);
/// Two tokens from each, [batch, length, ...] to [batch, 2 length, ...], and the second of each two.
at::Tensor bothTokens(const at::Tensor& first, const at::Tensor& second);
at::Tensor secondTokens(const at::Tensor& both);

/// y = causal convolution of x; kernels per token [batch, length, channels, taps] or shared [channels, taps].
at::Tensor causalConvolutionCpu(const at::Tensor& x, const at::Tensor& kernels, const std::optional<at::Tensor>& history);
/// Gradients of x, kernels and history (undefined without history).
std::tuple<at::Tensor, at::Tensor, at::Tensor> causalConvolutionBackwardCpu(const at::Tensor& gradY, const at::Tensor& x,
                                                                            const at::Tensor& kernels,
                                                                            const std::optional<at::Tensor>& history);

struct ConvolutionSizes {
    std::int64_t batch = 0, length = 0, channels = 0, taps = 0;
    bool perToken = false;
};
ConvolutionSizes checkConvolution(const at::Tensor& x, const at::Tensor& kernels, const std::optional<at::Tensor>& history);

} // namespace postnas::ops
