// Launch functions of the operators that serve single tokens on CUDA: raw pointers, sizes and a stream; no torch header is seen by nvcc.
#pragma once

#include <cstddef>
#include <cstdint>

#include <cuda_runtime_api.h>

#include "kernels/include/recurrence_launch.h"

namespace postnas::ops::cuda {

/// One row a sequence, contiguous itself, `stride` elements after the row before it: a part of a larger product's output will do.
struct TokenRows {
    const void* data = nullptr;
    std::int64_t stride = 0;
};

/// A depthwise causal convolution of the step's projection; the last tap is the current token.
struct StepConvolution {
    const void* kernels = nullptr; ///< [channels, taps], of each sequence or shared; null: no convolution
    std::int64_t kernelStride = 0; ///< elements between the kernels of two sequences; 0: shared by all
    std::int64_t taps = 0;
    void* history = nullptr;       ///< [batch, taps - 1, channels], the oldest token first; moved on by this token in place
};

/// How the log decay g of a token is given.
enum class StepDecay {
    None,           ///< nothing decays
    PerHead,        ///< g itself, [batch, heads]
    PerHeadFromRaw, ///< [batch, heads]: g = -exp(aLog) softplus(raw + dtBias)
    PerChannel,     ///< g itself, [batch, groups * key]
    PerChannelFromLogits, ///< [batch, groups * key]: g = logsigmoid(logits) / gateNormalizer
};

/// One token of a recurrent block between its input projections and its output projection, for each sequence and head:
///   q, k, v = silu(convolution(projection)), q and k divided by sqrt(sum of squares + 1e-6), each step where it is asked for
///   S = exp(g) S;   S += k (beta (v - S^T k))^T, or S += k v^T without beta;   o = scale S^T q
///   y = o / sqrt(mean(o^2) + epsilon) * normWeight * silu(gate)
/// Sums, gates and norms are in float32; the convolution, silu and o are rounded to `element`, as the whole-sequence operators round them.
struct RecurrentStep {
    std::int64_t batch = 0, heads = 0, keyDim = 0, valueDim = 0;
    std::int64_t groups = 0; ///< of k, v and a decay per channel; each serves heads / groups neighbouring heads. q has all heads
    Element element = Element::Float32;   ///< of q, k, v, b, gate, convolutions, histories and y
    Element gateElement = Element::Float32; ///< of the decay
    Element parameters = Element::Float32;  ///< of aLog, dtBias and normWeight
    Element stateElement = Element::Float32;

    TokenRows q, k, v; ///< [batch, heads * key], [batch, groups * key], [batch, groups * value]
    StepConvolution convolutionQ, convolutionK, convolutionV; ///< where there is one, groups == heads
    bool siluKeys = false, siluValues = false; ///< on q and k; on v
    bool unitLength = false;                   ///< of q and k
    float scale = 1;

    StepDecay decay = StepDecay::None;
    TokenRows g;
    const void* aLog = nullptr;   ///< [heads]
    const void* dtBias = nullptr; ///< [heads]
    float gateNormalizer = 1;
    TokenRows b;                  ///< [batch, heads]: beta = sigmoid(b); null: no delta correction

    void* state = nullptr; ///< [batch, heads, key, value], updated in place

    const void* normWeight = nullptr; ///< [value]; null: y is o
    float epsilon = 0;
    TokenRows gate; ///< [batch, heads * value]; null: no gate. Only with a norm

    void* y = nullptr; ///< [batch, heads * value]
};

/// Whether the kernel can take it: float32 or bfloat16, key width up to 256, value width a multiple of 16 bytes of state, arrays aligned for that.
bool recurrentStepCanTake(const RecurrentStep& step);
/// Bytes of scratch memory, on 4 bytes. The caller fills it with zeros once; each call leaves zeros, so that one serves many calls in turn.
std::size_t recurrentStepWorkspace(const RecurrentStep& step);
/// One launch, or a second one for the norm. cudaErrorInvalidValue for what it cannot take.
cudaError_t launchRecurrentStep(const RecurrentStep& step, void* workspace, cudaStream_t stream);

} // namespace postnas::ops::cuda
