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
    /// Rounds the frequencies to bfloat16, as a model has them whose buffers were cast with its weights (`model.to(bfloat16)`
    /// in PyTorch). Off: float32, as transformers' from_pretrained leaves them.
    void roundFrequencies(bool round) { m_round = round; m_cosine = torch::Tensor(); }

    /// cosine and sine of positions [first, first + length), float32 on `device`.
    ForwardContext context(const Architecture& architecture, std::int64_t first, std::int64_t length, const torch::Device& device);

private:
    void build(const Architecture& architecture, std::int64_t positions, std::int64_t sequenceLength, const torch::Device& device);
    torch::Tensor m_cosine;
    torch::Tensor m_sine;
    std::int64_t m_dynamicLength = 0;
    bool m_round = false;
};

} // namespace postnas::engine
