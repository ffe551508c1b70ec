// Chooses the next token from logits as transformers' generate does, repeatably from a seed. No torch.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <vector>

namespace postnas::engine {

/// Defaults are greedy decoding.
struct SamplingOptions {
    double temperature = 0.0;       ///< 0: always the most likely token
    std::int64_t topK = 0;          ///< 0: no limit
    double topP = 1.0;              ///< keep the smallest set of tokens whose probability reaches this
    double minP = 0.0;              ///< drop tokens less likely than this share of the most likely one
    double repetitionPenalty = 1.0; ///< > 1 makes tokens that already occurred less likely (arXiv 1909.05858)
    std::uint64_t seed = 0;

    /// Throws Error(Usage) for values out of range.
    void check() const;
};

class Sampler {
public:
    explicit Sampler(const SamplingOptions& options);

    /// `logits` [vocabulary] is changed in place. `seen` are the tokens so far, prompt included. The order is that of
    /// transformers: repetition penalty, temperature, top-k, top-p, min-p, then the draw.
    std::int64_t next(std::span<float> logits, std::span<const std::int64_t> seen);

private:
    SamplingOptions m_options;
    std::mt19937_64 m_random;
};

} // namespace postnas::engine
