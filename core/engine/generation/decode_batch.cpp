// Steps of a batch, recorded as a graph where there is a GPU.
#include "core/engine/generation/decode_batch.h"

#include "core/base/error.h"

namespace postnas::engine {
namespace {

/// Steps before the recording: libraries choose their algorithms and make their scratch memory in them.
constexpr int kWarmUpSteps = 2;

} // namespace

DecodeBatch::DecodeBatch(const HybridModel& model, std::int64_t batch, std::int64_t capacity)
    : m_model(model)
    , m_state(model.makeState(batch, capacity))
    , m_lengths(torch::zeros({batch}, torch::TensorOptions().dtype(torch::kInt32).device(model.device())))
    , m_ids(torch::zeros({batch}, torch::TensorOptions().dtype(torch::kInt64).device(model.device())))
{
    if (model.architecture().ropeScaling.kind == RopeScaling::Kind::Dynamic)
        throw usageError("dynamic rope_scaling cannot be decoded in a batch: its frequencies depend on each sequence's length");
}

void DecodeBatch::assign(std::int64_t row, const ModelState& prompt)
{
    if (prompt.position() > m_state.capacity())
        throw resourceError("a prompt of " + std::to_string(prompt.position()) + " tokens does not fit a state for " + std::to_string(m_state.capacity()));
    m_state.assignRow(row, prompt);
    m_lengths.select(0, row).fill_(prompt.position());
}

void DecodeBatch::fillRandomly(std::int64_t position)
{
    m_state.fillRandomly(position);
    m_lengths.fill_(position);
}

void DecodeBatch::compute()
{
    m_lengths.add_(1);
    m_logits = m_model.decode(m_ids, m_lengths, m_state);
}

const torch::Tensor& DecodeBatch::step(const torch::Tensor& ids)
{
    m_ids.copy_(ids);
    if (m_model.device().is_cuda() && m_steps == kWarmUpSteps)
        m_graph = StepGraph::record([this] { compute(); });
    ++m_steps;
    if (m_graph)
        m_graph->replay();
    else
        compute();
    return m_logits;
}

} // namespace postnas::engine
