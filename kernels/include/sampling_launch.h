// Launch functions of token sampling on CUDA: raw pointers, sizes and a stream; no torch header is seen by nvcc.
#pragma once

#include <cstdint>

#include <cuda_runtime_api.h>

#include "kernels/include/recurrence_launch.h"
#include "kernels/include/sequence_sampling.h"

namespace postnas::ops::cuda {

/// The next token of each sequence, and whether the sequence ends with it. All pointers lie on the device.
struct SampleProblem {
    std::int64_t batch = 0, vocabulary = 0;
    std::int64_t logitStride = 0; ///< elements from one row to the next; 0: the vocabulary
    Element element = Element::BFloat16;
    const void* logits = nullptr;                ///< [batch, vocabulary]
    const SequenceSampling* sequences = nullptr; ///< [batch]
    std::uint32_t* seen = nullptr; ///< [batch, seenWords(vocabulary)]: a bit for each token that the sequence has; null: no penalty
    const std::int32_t* stopIds = nullptr; ///< [stopCount]
    int stopCount = 0;
    std::int32_t padId = 0;

    std::int32_t* next = nullptr;     ///< [batch]: the token; the pad id where the sequence had ended before
    std::int32_t* lengths = nullptr;  ///< [batch]: tokens of the sequence; grows by one unless it had ended before
    std::uint8_t* finished = nullptr; ///< [batch]: becomes 1 with a stop id or at the length limit
    std::int32_t* history = nullptr;  ///< [batch, historyCapacity]: the new token goes to the place lengths[b] had before; may be null
    std::int64_t historyCapacity = 0;
};

/// Any vocabulary up to 2^24; rows on 16 bytes are read faster.
cudaError_t launchSample(const SampleProblem& problem, cudaStream_t stream);

/// Marks a prompt's tokens as seen: ids [batch, length], of which the first counts[b] are real (null: all). Ids outside the vocabulary
/// are left out.
cudaError_t launchMarkSeen(const std::int32_t* ids, std::int64_t batch, std::int64_t length, const std::int32_t* counts, std::int64_t vocabulary,
                           std::uint32_t* seen, cudaStream_t stream);

} // namespace postnas::ops::cuda
