// Causal convolutions on the CPU over raw pointers, with kernels per token (JetBlock) or shared by all tokens. No torch here.
//
//   y[b,t,c] = sum_w kernel[w] * x[b, t - taps + 1 + w, c]     (the last tap is the current token)
#pragma once

#include <cstdint>

#include "kernels/include/cpu_vector.h"

namespace postnas::ops::cpu {

/// Every array is contiguous in the order given.
template <typename Scalar>
struct ConvolutionInputs {
    std::int64_t batch = 0, length = 0, channels = 0, taps = 0;
    bool perToken = false;
    const Scalar* x = nullptr;       ///< [batch, length, channels]
    const Scalar* kernels = nullptr; ///< per token [batch, length, channels, taps]; shared [taps, channels]
    const Scalar* history = nullptr; ///< the taps-1 inputs before the first token, [batch, taps - 1, channels]; null: zeros
};

/// Gradients are added to, so the caller clears them.
template <typename Scalar>
struct ConvolutionGradients {
    const Scalar* gradY = nullptr;
    Scalar* x = nullptr;
    Scalar* kernels = nullptr; ///< shaped as the kernels; shared ones need a copy per thread
    Scalar* history = nullptr; ///< may be null
};

/// y for the tokens [begin, end) of batch * length.
template <typename Scalar>
void convolutionForward(const ConvolutionInputs<Scalar>& inputs, Scalar* y, std::int64_t begin, std::int64_t end, VectorLevel level);

/// Gradients of the sequences [begin, end) of the batch.
template <typename Scalar>
void convolutionBackward(const ConvolutionInputs<Scalar>& inputs, const ConvolutionGradients<Scalar>& gradients, std::int64_t begin,
                         std::int64_t end, VectorLevel level);

} // namespace postnas::ops::cpu
