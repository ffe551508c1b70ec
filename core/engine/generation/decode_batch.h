// Decodes a batch of sequences of different lengths, one token each a step. Internal: torch.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "core/engine/model/hybrid_model.h"
#include "kernels/include/sampling_operators.h"
#include "kernels/include/step_graph.h"

namespace postnas::engine {

/// Whether generation takes recorded batches: on a GPU, unless dynamic RoPE makes the frequencies depend on a sequence's length.
bool decodesInBatches(const HybridModel& model);

/// Holds the states of `batch` sequences of at most `capacity` tokens. On a GPU the third step is recorded and later ones replay it: no
/// allocation, one launch, nothing waits for the host.
class DecodeBatch {
public:
    /// `model` and `mixers`, which override its blocks, must outlive it. Throws Error(Usage) for dynamic RoPE, whose frequencies depend on the length.
    DecodeBatch(const HybridModel& model, std::int64_t batch, std::int64_t capacity, const std::vector<const Block*>* mixers = nullptr);

    /// Takes over a prompt that was read by `extend` into a state for one sequence, as sequence `row`.
    void assign(std::int64_t row, const ModelState& prompt);
    /// As if every sequence had seen `position` random tokens; for measurements.
    void fillRandomly(std::int64_t position);

    /// The next token of each sequence, int64 [batch], -> logits of the one after it, [batch, vocabulary]; valid until the next step. A sequence
    /// that is at its capacity must not be stepped on.
    const torch::Tensor& step(const torch::Tensor& ids);

    /// From here on the batch chooses its tokens itself, on the device: `start` and `advance` in place of `step`. No sequence runs yet.
    /// `penalties`: whether some sequence will have a repetition penalty, which takes a bit for each token of the vocabulary.
    void sampleOnDevice(const std::vector<std::int64_t>& stopIds, bool penalties);
    /// Sequence `row`, whose prompt was assigned, begins: its first token is chosen from the logits after the prompt, [1, vocabulary].
    /// `prompt` int64 [length] matters to the repetition penalty. The length limit counts the prompt and must not exceed the capacity.
    void start(std::int64_t row, const torch::Tensor& prompt, const torch::Tensor& logits, const ops::SequenceSampling& options);
    /// One token more for each sequence that runs.
    void advance();
    /// Sequence `row` gets no further tokens.
    void finish(std::int64_t row);
    /// int32 [batch]: what was chosen last (0 for sequences that had ended); uint8 [batch]: whether the sequence has ended, with that token or before.
    const torch::Tensor& chosen() const { return m_ids; }
    const torch::Tensor& finished() const { return m_sampling->finished; }

    /// Of a batch of one, so that a prompt can be read in place.
    ModelState& state() { return m_state; }

    /// Tokens of each sequence so far: int32 [batch] on the model's device.
    const torch::Tensor& lengths() const { return m_lengths; }
    std::int64_t stateBytes() const { return m_state.bytes(); }

private:
    void compute();
    void run();

    const HybridModel& m_model;
    const std::vector<const Block*>* m_mixers;
    ModelState m_state;
    torch::Tensor m_lengths;
    torch::Tensor m_ids;    ///< int32 [batch]: where a recorded step reads, and leaves what it chose
    torch::Tensor m_logits; ///< where it writes
    std::optional<ops::SamplingState> m_sampling;
    std::unique_ptr<StepGraph> m_graph;
    int m_steps = 0;
};

} // namespace postnas::engine
