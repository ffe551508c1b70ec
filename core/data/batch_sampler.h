// Batches of training tokens as a pure function of (seed, step), so that a resumed run sees exactly what it would have seen.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/data/token_dataset.h"
#include "core/jobs/job_spec.h"

namespace postnas {

/// Row-major [batchSize, length].
struct Batch {
    std::int64_t batchSize = 0;
    std::int64_t length = 0;
    std::vector<std::int32_t> tokens;
    /// Weight of each token as a target: what predicting tokens[b, t] from tokens[b, 0..t-1] counts. 0 for padding.
    std::vector<float> weights;
};

/// Datasets that are mixed: row by row, in proportion to their weights.
struct DataPhase {
    struct Part {
        std::shared_ptr<const TokenDataset> dataset;
        double weight = 1;
    };
    std::int64_t steps = 0; ///< how long the phase lasts; 0 for the last one: until the end
    std::vector<Part> parts;
};

struct SamplerOptions {
    std::uint64_t seed = 0;
    std::int64_t sequenceLength = 256;
    std::int64_t batchSize = 16;
    /// false: each document is one row, cut off or padded. true: documents joined by `separator` and cut into rows.
    bool packing = false;
    bool shuffle = true; ///< a new order of rows in each epoch
    std::int32_t padding = 0;
    std::int32_t separator = 0; ///< the end-of-text id
};

/// Immutable after construction; `batch` may be called from several threads.
class BatchSampler {
public:
    /// Throws Error(Usage) for an empty or impossible list of phases, Error(Input) for a dataset without documents or with
    /// another tokenizer than the first one.
    BatchSampler(std::vector<DataPhase> phases, SamplerOptions options);

    /// The batch of `step` (from 0). Behind the end of the last phase that phase goes on. Every row of a dataset comes
    /// exactly once in each epoch of it.
    Batch batch(std::int64_t step) const;

    /// Rows of one epoch of a dataset under the given options.
    static std::int64_t rowCount(const TokenDataset& dataset, const SamplerOptions& options);
    const SamplerOptions& options() const { return m_options; }

private:
    struct Part {
        std::shared_ptr<const TokenDataset> dataset;
        std::int64_t rows = 0;
        std::int64_t firstSlot = 0; ///< of the mixing block
        std::int64_t slots = 0;
    };
    struct Phase {
        std::int64_t firstStep = 0;
        std::uint64_t key = 0;
        std::int64_t blockSlots = 0;
        std::vector<Part> parts;
    };
    const Phase& phaseOf(std::int64_t step) const;
    void fillRow(const TokenDataset& dataset, std::int64_t row, std::span<std::int32_t> tokens, std::span<float> weights) const;

    SamplerOptions m_options;
    std::vector<Phase> m_phases;
};

/// Opens the datasets of a spec's `data`: phases when entries have steps, else one mixed phase.
std::vector<DataPhase> openDataPhases(std::span<const DataSource> sources);

} // namespace postnas
