// Steps of a batch, recorded as a graph where there is a GPU.
#include "core/engine/generation/decode_batch.h"

#include "core/base/error.h"

namespace postnas::engine {
namespace {

/// Steps before the recording: libraries choose their algorithms and make their scratch memory in them.
constexpr int kWarmUpSteps = 2;

} // namespace

bool decodesInBatches(const HybridModel& model)
{
    return model.device().is_cuda() && model.architecture().ropeScaling.kind != RopeScaling::Kind::Dynamic;
}

DecodeBatch::DecodeBatch(const HybridModel& model, std::int64_t batch, std::int64_t capacity, const std::vector<const Block*>* mixers)
    : m_model(model)
    , m_mixers(mixers)
    , m_state(model.makeState(batch, capacity, mixers))
    , m_lengths(torch::zeros({batch}, torch::TensorOptions().dtype(torch::kInt32).device(model.device())))
    , m_ids(torch::zeros({batch}, torch::TensorOptions().dtype(torch::kInt32).device(model.device())))
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
    // A sampled token has been counted when it was chosen; sequences that have ended stay as they are.
    if (!m_sampling)
        m_lengths.add_(1);
    m_logits.reset(); // before the next ones exist: of many sequences they take gigabytes
    m_logits = m_model.decode(m_ids, m_lengths, m_state, m_mixers);
    if (m_sampling)
        ops::sampleNext(m_logits, *m_sampling);
}

void DecodeBatch::run()
{
    if (m_model.device().is_cuda() && m_steps == kWarmUpSteps) {
        // What is recorded lies apart, and memory that torch holds unused cannot be given back meanwhile.
        m_logits.reset();
        at::getDeviceAllocator(at::kCUDA)->emptyCache();
        m_graph = StepGraph::record([this] { compute(); });
    }
    ++m_steps;
    if (m_graph)
        m_graph->replay();
    else
        compute();
}

const torch::Tensor& DecodeBatch::step(const torch::Tensor& ids)
{
    m_ids.copy_(ids);
    run();
    return m_logits;
}

void DecodeBatch::sampleOnDevice(const std::vector<std::int64_t>& stopIds, bool penalties)
{
    const std::int64_t batch = m_ids.size(0), words = ops::seenWords(m_model.architecture().vocabularySize);
    const torch::TensorOptions ints = m_ids.options(), bytes = ints.dtype(torch::kUInt8);
    m_sampling.emplace();
    m_sampling->options = torch::zeros({batch, static_cast<std::int64_t>(sizeof(ops::SequenceSampling))}, bytes);
    m_sampling->stopIds = torch::tensor(std::vector<std::int32_t>(stopIds.begin(), stopIds.end()), torch::kInt32).to(m_ids.device());
    if (penalties)
        m_sampling->seen = torch::zeros({batch, words}, ints);
    m_sampling->next = m_ids;
    m_sampling->lengths = m_lengths;
    m_sampling->finished = torch::ones({batch}, bytes);
    // Rows without a sequence are computed too, at a position that exists.
    m_lengths.fill_(1);
}

void DecodeBatch::start(std::int64_t row, const torch::Tensor& prompt, const torch::Tensor& logits, const ops::SequenceSampling& options)
{
    const auto bytes = torch::from_blob(const_cast<ops::SequenceSampling*>(&options), {1, static_cast<std::int64_t>(sizeof options)}, torch::kUInt8);
    ops::SamplingState one = *m_sampling;
    for (torch::Tensor* t : {&one.options, &one.next, &one.lengths, &one.finished})
        *t = t->narrow(0, row, 1);
    one.options.copy_(bytes);
    one.lengths.fill_(prompt.size(0));
    one.finished.zero_();
    if (one.seen) {
        one.seen = one.seen->narrow(0, row, 1);
        one.seen->zero_();
        ops::markSeen(prompt.to(torch::kInt32).unsqueeze(0), m_model.architecture().vocabularySize, *one.seen);
    }
    ops::sampleNext(logits, one);
}

void DecodeBatch::advance() { run(); }

void DecodeBatch::finish(std::int64_t row) { m_sampling->finished.select(0, row).fill_(1); }

} // namespace postnas::engine
