// Choosing the next tokens of a batch on the model's device, with the stop logic around it, so that decoding never waits for the host.
// Goes through the torch dispatcher (library "postnas"): the CPU reference in double precision, or a CUDA kernel.
#pragma once

#include <optional>

#include <ATen/core/Tensor.h>

#include "kernels/include/sequence_sampling.h"

namespace postnas::ops {

/// What sampling keeps of each sequence of a batch.
struct SamplingState {
    at::Tensor options;  ///< uint8 [batch, sizeof(SequenceSampling)]
    at::Tensor stopIds;  ///< int32 [count]: tokens that end a sequence
    std::int64_t padId = 0; ///< what a sequence that has ended gets
    std::optional<at::Tensor> seen; ///< int32 [batch, seenWords(vocabulary)]; none: no repetition penalty
    at::Tensor next;     ///< int32 [batch]: the token that was chosen last
    at::Tensor lengths;  ///< int32 [batch]: tokens of the sequence
    at::Tensor finished; ///< uint8 [batch]
};

/// logits [batch, vocabulary] (float32, or bfloat16 on CUDA): writes `next`; grows `lengths` and marks the token in `seen` for sequences that have not ended;
/// sets `finished` at a stop id or at the length limit. Same meaning and order of the filters as core/engine/generation/sampler.h; the draw takes
/// its random number from (seed, sequence, length) alone.
void sampleNext(const at::Tensor& logits, SamplingState& state);

/// Marks tokens as seen: ids int32 [batch, length]; ids outside the vocabulary are left out.
void markSeen(const at::Tensor& ids, std::int64_t vocabulary, at::Tensor& seen);

} // namespace postnas::ops
