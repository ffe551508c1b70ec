// Steps from states of random numbers, and their time.
#include "core/engine/generation/decode_speed.h"

#include "core/engine/benchmark/timing.h"

namespace postnas::engine {

DecodingSteps::DecodingSteps(const HybridModel& model, const std::vector<const Block*>* mixers, std::int64_t context, std::int64_t batch, std::int64_t most)
    : m_model(model)
    , m_mixers(mixers)
{
    const torch::InferenceMode guard;
    if (decodesInBatches(model)) {
        m_batch.emplace(model, batch, context + most, mixers);
        m_batch->fillRandomly(context);
    } else {
        m_state = model.makeState(batch, context + most, mixers);
        m_state->fillRandomly(context);
    }
    m_next = torch::randint(model.architecture().vocabularySize, {batch}, torch::TensorOptions().dtype(torch::kInt64).device(model.device()));
}

void DecodingSteps::operator()()
{
    const torch::InferenceMode guard;
    const torch::Tensor logits = m_batch ? m_batch->step(m_next) : m_model.logits(m_model.extend(m_next.unsqueeze(1), *m_state, m_mixers)).squeeze(1);
    m_next = logits.argmax(-1);
}

double secondsOfStep(DecodingSteps& steps, const torch::Device& device, int count, const CancellationToken& cancellation)
{
    std::vector<double> seconds;
    for (int i = 0; i < DecodingSteps::kWarmUp + count; ++i) {
        cancellation.throwIfCancelled();
        const double one = secondsOf(device, [&] { steps(); });
        if (i >= DecodingSteps::kWarmUp)
            seconds.push_back(one);
    }
    return median(seconds);
}

double measureDecodeSpeed(const HybridModel& model, const std::vector<const Block*>* mixers, std::int64_t context, std::int64_t batch, int steps,
                          const CancellationToken& cancellation)
{
    DecodingSteps step(model, mixers, context, batch, DecodingSteps::kWarmUp + steps);
    return double(batch) / secondsOfStep(step, model.device(), steps, cancellation);
}

} // namespace postnas::engine
