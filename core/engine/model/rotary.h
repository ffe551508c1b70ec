// Rotary position tables with the long-context variants of transformers. Internal: torch.
#pragma once

#include "core/architecture/architecture.h"
#include "core/engine/blocks/block.h"

namespace postnas::engine {

/// Frequencies [headDim / 2] (float64) and the factor on cosine and sine, for a call whose last token has position
/// `sequenceLength - 1`; only the dynamic variant depends on it.
struct RotaryFrequencies {
    std::vector<double> inverse;
    double attentionFactor = 1.0;
};
RotaryFrequencies rotaryFrequencies(const Architecture& architecture, std::int64_t sequenceLength);

/// Tables that grow with the longest position asked for.
class RotaryTable {
public:
    /// cosine and sine of positions [first, first + length), float32 on `device`.
    ForwardContext context(const Architecture& architecture, std::int64_t first, std::int64_t length, const torch::Device& device);

private:
    void build(const Architecture& architecture, std::int64_t positions, std::int64_t sequenceLength, const torch::Device& device);
    torch::Tensor m_cosine;
    torch::Tensor m_sine;
    std::int64_t m_dynamicLength = 0;
};

} // namespace postnas::engine
