// How one sequence of a batch is sampled, on every device.
#pragma once

#include <cstdint>
#include <limits>

namespace postnas::ops {

/// How one sequence is sampled; in device memory, so that a captured graph serves other options too. The defaults are greedy decoding.
/// The meaning and the order of the filters are those of core/engine/generation/sampler.h.
struct SequenceSampling {
    float temperature = 0;       ///< 0: the most likely token, the one with the smallest id among equals
    float topP = 1;
    float minP = 0;
    float repetitionPenalty = 1; ///< needs the marks of seen tokens
    std::int32_t topK = 0;       ///< 0: no limit
    std::int32_t lengthLimit = std::numeric_limits<std::int32_t>::max(); ///< the sequence ends when it has that many tokens
    std::uint32_t sequence = 0;  ///< with the seed and the sequence's length it fixes the random number: batch and place do not matter
    std::uint64_t seed = 0;
};

/// 32-bit words of one sequence's row of marks: a bit for each token of the vocabulary that the sequence has.
constexpr std::int64_t seenWords(std::int64_t vocabulary) { return (vocabulary + 31) / 32; }

} // namespace postnas::ops
