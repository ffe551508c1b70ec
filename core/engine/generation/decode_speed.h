// Times single-token steps of a model with any mixers. Internal: torch.
#pragma once

#include <optional>
#include <vector>

#include "core/base/cancellation.h"
#include "core/engine/generation/decode_batch.h"

namespace postnas::engine {

/// Steps of `batch` sequences as generation takes them on the model's device, recorded where it records them, from states of random numbers, so that
/// a long context costs no long wait.
class DecodingSteps {
public:
    /// `context`: tokens that each state holds at first; `most`: how often it may be called. `model` and `mixers` must outlive it.
    DecodingSteps(const HybridModel& model, const std::vector<const Block*>* mixers, std::int64_t context, std::int64_t batch, std::int64_t most);

    /// One token more for each sequence: the most likely one.
    void operator()();
    std::int64_t stateBytes() const { return m_batch ? m_batch->stateBytes() : m_state->bytes(); }

    static constexpr int kWarmUp = 4; ///< steps before a step takes its usual time: a recorded batch replays from its third one on

private:
    const HybridModel& m_model;
    const std::vector<const Block*>* m_mixers;
    std::optional<DecodeBatch> m_batch; ///< or a state
    std::optional<ModelState> m_state;
    torch::Tensor m_next; ///< int64 [batch]
};

/// The median of `count` steps after those that warm up, in seconds; takes kWarmUp + count of them.
double secondsOfStep(DecodingSteps& steps, const torch::Device& device, int count, const CancellationToken& cancellation = {});

/// Tokens a second of all sequences together.
double measureDecodeSpeed(const HybridModel& model, const std::vector<const Block*>* mixers, std::int64_t context, std::int64_t batch, int steps,
                          const CancellationToken& cancellation = {});

} // namespace postnas::engine
