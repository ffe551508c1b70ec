// Sampling of a batch on the CPU, in double precision: the reference of the CUDA kernel.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include <ATen/ATen.h>
#include <torch/library.h>

#include "kernels/include/sampling_operators.h"
#include "kernels/sampling/philox.h"

namespace postnas::ops {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

/// The tokens that top-k leaves, the likeliest first.
std::vector<std::int32_t> likeliest(const std::vector<float>& logits, std::int64_t count)
{
    std::vector<std::int32_t> order(logits.size());
    std::iota(order.begin(), order.end(), 0);
    const auto likelier = [&](std::int32_t a, std::int32_t b) {
        const float la = logits[static_cast<std::size_t>(a)], lb = logits[static_cast<std::size_t>(b)];
        return la > lb || (la == lb && a < b);
    };
    const auto kept = static_cast<std::ptrdiff_t>(count > 0 ? std::min<std::int64_t>(count, static_cast<std::int64_t>(order.size())) : order.size());
    std::partial_sort(order.begin(), order.begin() + kept, order.end(), likelier);
    order.resize(static_cast<std::size_t>(kept));
    return order;
}

std::int32_t chooseToken(const std::vector<float>& logits, const SequenceSampling& o, std::int32_t length)
{
    if (o.temperature == 0)
        return static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
    const std::vector<std::int32_t> order = likeliest(logits, o.topK);
    const auto logit = [&](std::size_t i) { return static_cast<double>(logits[static_cast<std::size_t>(order[i])]); };
    std::vector<double> probability(order.size());
    for (std::size_t i = 0; i < order.size(); ++i)
        probability[i] = std::exp((logit(i) - logit(0)) / o.temperature);
    std::size_t kept = order.size();
    if (o.topP < 1) {
        const double wanted = o.topP * std::accumulate(probability.begin(), probability.end(), 0.0);
        double sum = 0;
        for (kept = 0; kept < order.size() && sum < wanted;)
            sum += probability[kept++];
        kept = std::max<std::size_t>(kept, 1);
    }
    while (kept > 1 && probability[kept - 1] < o.minP)
        --kept;
    const double total = std::accumulate(probability.begin(), probability.begin() + static_cast<std::ptrdiff_t>(kept), 0.0);
    double rest = static_cast<double>(sampling::randomBits(o.seed, static_cast<std::uint32_t>(length), o.sequence)) * 0x1.0p-64 * total;
    for (std::size_t i = 0; i < kept; ++i) {
        rest -= probability[i];
        if (rest < 0)
            return order[i];
    }
    return order[kept - 1];
}

void mark(std::int32_t* row, std::int64_t id) { row[id / 32] = static_cast<std::int32_t>(static_cast<std::uint32_t>(row[id / 32]) | 1u << id % 32); }
bool marked(const std::int32_t* row, std::int64_t id) { return (static_cast<std::uint32_t>(row[id / 32]) >> id % 32 & 1) != 0; }

void sampleCpu(const Tensor& logits, const Tensor& options, const Tensor& stopIds, std::int64_t padId, const OptionalTensor& seen, const Tensor& next,
               const Tensor& lengths, const Tensor& finished)
{
    const std::int64_t batch = logits.size(0), vocabulary = logits.size(1), words = seenWords(vocabulary);
    TORCH_CHECK(options.size(0) == batch && options.size(1) == static_cast<std::int64_t>(sizeof(SequenceSampling)) && options.is_contiguous(),
                "sampling options must be [batch, ", sizeof(SequenceSampling), "] bytes");
    const Tensor rows = logits.to(at::kFloat).contiguous(), stops = stopIds.to(at::kInt).contiguous();
    auto* length = lengths.mutable_data_ptr<std::int32_t>();
    auto* token = next.mutable_data_ptr<std::int32_t>();
    auto* end = finished.mutable_data_ptr<std::uint8_t>();
    for (std::int64_t b = 0; b < batch; ++b) {
        if (end[b] != 0) {
            token[b] = static_cast<std::int32_t>(padId);
            continue;
        }
        SequenceSampling o;
        std::memcpy(&o, options.const_data_ptr<std::uint8_t>() + b * options.size(1), sizeof o);
        std::vector<float> row(rows.const_data_ptr<float>() + b * vocabulary, rows.const_data_ptr<float>() + (b + 1) * vocabulary);
        std::int32_t* marks = seen ? seen->mutable_data_ptr<std::int32_t>() + b * words : nullptr;
        if (marks && o.repetitionPenalty != 1)
            for (std::int64_t id = 0; id < vocabulary; ++id)
                if (marked(marks, id)) {
                    float& x = row[static_cast<std::size_t>(id)];
                    x = x > 0 ? x / o.repetitionPenalty : x * o.repetitionPenalty;
                }
        token[b] = chooseToken(row, o, length[b]);
        if (marks)
            mark(marks, token[b]);
        ++length[b];
        const auto* stop = stops.const_data_ptr<std::int32_t>();
        if (length[b] >= o.lengthLimit || std::find(stop, stop + stops.numel(), token[b]) != stop + stops.numel())
            end[b] = 1;
    }
}

void markSeenCpu(const Tensor& ids, std::int64_t vocabulary, const Tensor& seen)
{
    const Tensor rows = ids.to(at::kInt).contiguous();
    for (std::int64_t b = 0; b < rows.size(0); ++b)
        for (std::int64_t i = 0; i < rows.size(1); ++i) {
            const std::int64_t id = rows.const_data_ptr<std::int32_t>()[b * rows.size(1) + i];
            if (id >= 0 && id < vocabulary)
                mark(seen.mutable_data_ptr<std::int32_t>() + b * seenWords(vocabulary), id);
        }
}

} // namespace

TORCH_LIBRARY_FRAGMENT(postnas, m)
{
    m.def("sample_next(Tensor logits, Tensor options, Tensor stop_ids, int pad_id, Tensor(a!)? seen, Tensor(b!) next, Tensor(c!) lengths, "
          "Tensor(d!) finished) -> ()");
    m.def("mark_seen(Tensor ids, int vocabulary, Tensor(a!) seen) -> ()");
}

TORCH_LIBRARY_IMPL(postnas, CPU, m)
{
    m.impl("sample_next", &sampleCpu);
    m.impl("mark_seen", &markSeenCpu);
}

void sampleNext(const Tensor& logits, SamplingState& s)
{
    static const auto op = c10::Dispatcher::singleton().findSchemaOrThrow("postnas::sample_next", "").typed<decltype(sampleCpu)>();
    op.call(logits, s.options, s.stopIds, s.padId, s.seen, s.next, s.lengths, s.finished);
}

void markSeen(const Tensor& ids, std::int64_t vocabulary, Tensor& seen)
{
    static const auto op = c10::Dispatcher::singleton().findSchemaOrThrow("postnas::mark_seen", "").typed<decltype(markSeenCpu)>();
    op.call(ids, vocabulary, seen);
}

} // namespace postnas::ops
