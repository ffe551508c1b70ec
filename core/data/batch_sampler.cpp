// Which row of which dataset lies where in a step, without any state.
#include "core/data/batch_sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "core/base/checked.h"
#include "core/base/error.h"
#include "core/data/permutation.h"

namespace postnas {
namespace {

/// Rows of one mixing block: in each block every dataset has a fixed number of rows, in a shuffled order, so that which
/// row comes next in a dataset follows from the position alone.
constexpr std::int64_t kBlockSlots = 4096;

/// Shares of kBlockSlots by largest remainder; every dataset gets at least one.
std::vector<std::int64_t> shareSlots(const std::vector<DataPhase::Part>& parts)
{
    double total = 0;
    for (const auto& part : parts) {
        if (!(part.weight > 0) || !std::isfinite(part.weight))
            throw usageError("a dataset's weight must be above 0");
        total += part.weight;
    }
    if (parts.size() == 1)
        return {1};
    if (parts.size() > static_cast<std::size_t>(kBlockSlots / 4))
        throw usageError("more than " + std::to_string(kBlockSlots / 4) + " datasets cannot be mixed");
    std::vector<std::int64_t> slots(parts.size());
    std::vector<double> remainders(parts.size());
    for (std::size_t i = 0; i < parts.size(); ++i) {
        const double exact = parts[i].weight / total * static_cast<double>(kBlockSlots);
        slots[i] = std::max<std::int64_t>(1, static_cast<std::int64_t>(exact));
        remainders[i] = exact - static_cast<double>(slots[i]);
    }
    for (std::int64_t left = kBlockSlots - std::accumulate(slots.begin(), slots.end(), std::int64_t {0}); left != 0;) {
        const std::int64_t change = left > 0 ? 1 : -1;
        std::size_t best = parts.size();
        for (std::size_t i = 0; i < parts.size(); ++i)
            if ((change > 0 || slots[i] > 1)
                && (best == parts.size() || static_cast<double>(change) * remainders[i] > static_cast<double>(change) * remainders[best]))
                best = i;
        slots[best] += change;
        remainders[best] -= static_cast<double>(change);
        left -= change;
    }
    return slots;
}

} // namespace

std::int64_t BatchSampler::rowCount(const TokenDataset& dataset, const SamplerOptions& options)
{
    if (!options.packing)
        return dataset.documentCount();
    // Every document is followed by a separator.
    const std::int64_t stream = dataset.tokenCount() + dataset.documentCount();
    return (stream + options.sequenceLength - 1) / options.sequenceLength;
}

BatchSampler::BatchSampler(std::vector<DataPhase> phases, SamplerOptions options)
    : m_options(options)
{
    if (options.sequenceLength < 1 || options.batchSize < 1)
        throw usageError("sequence_length and batch_size must be at least 1");
    const auto elements = checkedMultiply(static_cast<std::uint64_t>(options.sequenceLength), static_cast<std::uint64_t>(options.batchSize));
    if (!elements || *elements > (std::uint64_t {1} << 31))
        throw usageError("sequence_length times batch_size must be at most 2^31");
    if (phases.empty())
        throw usageError("there is no data to train on");
    std::int64_t firstStep = 0;
    const TokenDataset* first = nullptr;
    for (std::size_t p = 0; p < phases.size(); ++p) {
        DataPhase& in = phases[p];
        if (in.parts.empty() || in.steps < 0 || (in.steps == 0 && p + 1 < phases.size()))
            throw usageError("phase " + std::to_string(p) + " of the data has no datasets or no steps");
        Phase phase;
        phase.firstStep = firstStep;
        phase.key = mixBits(options.seed ^ mixBits(p + 1));
        const std::vector<std::int64_t> slots = shareSlots(in.parts);
        for (std::size_t i = 0; i < in.parts.size(); ++i) {
            if (!in.parts[i].dataset)
                throw internalError("a phase of the data names no dataset");
            const TokenDataset& dataset = *in.parts[i].dataset;
            if (dataset.documentCount() == 0)
                throw inputError(dataset.path().string() + ": holds no documents");
            if (first == nullptr)
                first = &dataset;
            else if (dataset.info().tokenizerHash != first->info().tokenizerHash
                     || dataset.info().vocabularySize != first->info().vocabularySize)
                throw inputError(dataset.path().string() + ": was made with another tokenizer than " + first->path().string(),
                                 "Build all shards with the same tokenizer.");
            phase.parts.push_back({in.parts[i].dataset, rowCount(dataset, options), phase.blockSlots, slots[i]});
            phase.blockSlots += slots[i];
        }
        firstStep += in.steps;
        m_phases.push_back(std::move(phase));
    }
}

const BatchSampler::Phase& BatchSampler::phaseOf(std::int64_t step) const
{
    const auto after = std::upper_bound(m_phases.begin(), m_phases.end(), step,
                                        [](std::int64_t s, const Phase& phase) { return s < phase.firstStep; });
    return *(after - 1);
}

Batch BatchSampler::batch(std::int64_t step) const
{
    if (step < 0)
        throw internalError("a batch was asked for before step 0");
    const Phase& phase = phaseOf(step);
    Batch out;
    out.batchSize = m_options.batchSize;
    out.length = m_options.sequenceLength;
    const auto length = static_cast<std::size_t>(out.length);
    out.tokens.resize(static_cast<std::size_t>(out.batchSize) * length);
    out.weights.resize(out.tokens.size());
    for (std::int64_t b = 0; b < out.batchSize; ++b) {
        const std::int64_t position = (step - phase.firstStep) * m_options.batchSize + b;
        // Which dataset, and the how-manieth of its rows.
        const std::int64_t block = position / phase.blockSlots;
        const auto blockKey = mixBits(phase.key ^ mixBits(static_cast<std::uint64_t>(block)));
        const auto slot = static_cast<std::int64_t>(
            Permutation(static_cast<std::uint64_t>(phase.blockSlots), blockKey)(static_cast<std::uint64_t>(position % phase.blockSlots)));
        std::size_t index = 0;
        while (slot >= phase.parts[index].firstSlot + phase.parts[index].slots)
            ++index;
        const Part& part = phase.parts[index];
        const std::int64_t ordinal = block * part.slots + (slot - part.firstSlot);
        // Which row that is in this epoch's order.
        const std::int64_t epoch = ordinal / part.rows;
        auto row = static_cast<std::uint64_t>(ordinal % part.rows);
        if (m_options.shuffle)
            row = Permutation(static_cast<std::uint64_t>(part.rows),
                              mixBits(phase.key + index + 1) ^ mixBits(static_cast<std::uint64_t>(epoch)))(row);
        const std::size_t at = static_cast<std::size_t>(b) * length;
        fillRow(*part.dataset, static_cast<std::int64_t>(row), std::span(out.tokens).subspan(at, length),
                std::span(out.weights).subspan(at, length));
    }
    return out;
}

void BatchSampler::fillRow(const TokenDataset& dataset, std::int64_t row, std::span<std::int32_t> tokens, std::span<float> weights) const
{
    const auto length = static_cast<std::int64_t>(tokens.size());
    if (!m_options.packing) {
        const std::int64_t count = std::min(length, dataset.documentLength(row));
        dataset.read(row, 0, tokens.first(static_cast<std::size_t>(count)), weights.first(static_cast<std::size_t>(count)));
        std::fill(tokens.begin() + count, tokens.end(), m_options.padding);
        std::fill(weights.begin() + count, weights.end(), 0.0f);
        return;
    }
    // In the joined stream document d begins at documentStart(d) + d.
    const std::int64_t begin = row * length;
    std::int64_t low = 0;
    std::int64_t high = dataset.documentCount();
    while (high - low > 1) {
        const std::int64_t middle = low + (high - low) / 2;
        (dataset.documentStart(middle) + middle <= begin ? low : high) = middle;
    }
    std::int64_t document = low;
    std::int64_t inside = begin - (dataset.documentStart(document) + document);
    std::int64_t done = 0;
    for (; done < length && document < dataset.documentCount(); ++document, inside = 0) {
        const std::int64_t left = dataset.documentLength(document) - inside;
        const std::int64_t count = std::min(length - done, left);
        if (count > 0)
            dataset.read(document, inside, tokens.subspan(static_cast<std::size_t>(done), static_cast<std::size_t>(count)),
                         weights.subspan(static_cast<std::size_t>(done), static_cast<std::size_t>(count)));
        done += count;
        if (done == length)
            break;
        tokens[static_cast<std::size_t>(done)] = m_options.separator;
        weights[static_cast<std::size_t>(done)] = 1.0f;
        ++done;
    }
    std::fill(tokens.begin() + done, tokens.end(), m_options.padding);
    std::fill(weights.begin() + done, weights.end(), 0.0f);
}

std::vector<DataPhase> openDataPhases(std::span<const DataSource> sources)
{
    std::vector<DataPhase> out;
    for (const DataSource& source : sources) {
        DataPhase::Part part {TokenDataset::open(source.path), source.weight};
        if (source.steps || out.empty())
            out.push_back({source.steps.value_or(0), {}});
        out.back().parts.push_back(std::move(part));
    }
    return out;
}

} // namespace postnas
