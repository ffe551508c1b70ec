// Decodes a batch of sequences of different lengths, one token each a step. Internal: torch.
#pragma once

#include <memory>
#include <vector>

#include "core/engine/model/hybrid_model.h"
#include "kernels/include/step_graph.h"

namespace postnas::engine {

/// Holds the states of `batch` sequences of at most `capacity` tokens. On a GPU the third step is recorded and later ones replay it: no
/// allocation, one launch, nothing waits for the host.
class DecodeBatch {
public:
    /// `model` must outlive it. Throws Error(Usage) for dynamic RoPE, whose frequencies depend on the length.
    DecodeBatch(const HybridModel& model, std::int64_t batch, std::int64_t capacity);

    /// Takes over a prompt that was read by `extend` into a state for one sequence, as sequence `row`.
    void assign(std::int64_t row, const ModelState& prompt);
    /// As if every sequence had seen `position` random tokens; for measurements.
    void fillRandomly(std::int64_t position);

    /// The next token of each sequence, int64 [batch], -> logits of the one after it, [batch, vocabulary]; valid until the next step. A sequence
    /// that is at its capacity must not be stepped on.
    const torch::Tensor& step(const torch::Tensor& ids);

    /// Tokens of each sequence so far: int32 [batch] on the model's device.
    const torch::Tensor& lengths() const { return m_lengths; }
    std::int64_t stateBytes() const { return m_state.bytes(); }

private:
    void compute();

    const HybridModel& m_model;
    ModelState m_state;
    torch::Tensor m_lengths;
    torch::Tensor m_ids;    ///< int64 [batch]: where a recorded step reads
    torch::Tensor m_logits; ///< where it writes
    std::unique_ptr<StepGraph> m_graph;
    int m_steps = 0;
};

} // namespace postnas::engine
