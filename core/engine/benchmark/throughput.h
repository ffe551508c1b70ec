// How fast a model reads a prompt and decodes on this machine, beside what the machine can do. No torch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/architecture/architecture.h"
#include "core/base/cancellation.h"
#include "core/engine/benchmark/trace.h"
#include "core/engine/language_model.h"

namespace postnas::engine {

/// Rates that nothing on the device exceeds for long: a large copy (bytes read plus bytes written) and a large product of square matrices.
struct MachineRates {
    double copyBytesPerSecond = 0;
    double matrixFlopsPerSecond = 0; ///< in the type that was asked for
};
/// The best of several runs of each; `device` and `dtype` as resolveDevice and resolveDtype give them.
MachineRates measureMachineRates(const std::string& device, const std::string& dtype);

struct ThroughputRequest {
    std::filesystem::path model;          ///< a checkpoint; unused with `random`
    std::optional<Architecture> random;   ///< random weights of this architecture instead
    LoadOptions load;
    std::vector<std::int64_t> contexts;   ///< tokens in the state when decoding starts, and of the prompt
    std::int64_t batch = 1;               ///< 0: the largest that fits the free memory, a multiple of 8 where that is more than 8, of 256 from 1536 on
    std::int64_t chunk = 0;               ///< prompt tokens of each sequence in one pass; 0: as generation reads them on the device
    int steps = 32;                       ///< timed decoding steps
    bool prefill = true;
    bool decode = true;
    std::string trace; ///< not empty: one prompt and one step more go through the profiler, into NAME.prefill-CONTEXT.json and NAME.decode-CONTEXT.json
};

/// One context length. The time of a step is a median; that of a prompt is, on a GPU, of its second reading where the first took less than
/// 20 s, since libraries make plans for shapes that are new to them. What was not asked for stays 0.
struct ThroughputRow {
    std::int64_t context = 0, batch = 0;
    std::int64_t chunk = 0;       ///< prompt tokens of each sequence in one pass
    double stateBytes = 0;        ///< held for the whole batch, as allocated
    double stateFormulaBytes = 0; ///< by the architecture's formula, for the whole batch
    double prefillSeconds = 0, prefillTokensPerSecond = 0, prefillFlops = 0;
    double decodeSeconds = 0;     ///< of one step
    double decodeTokensPerSecond = 0, decodeBytes = 0, decodeFlops = 0; ///< bytes and operations of one step of the whole batch
    std::vector<TraceEntry> prefillTrace, decodeTrace; ///< empty without `trace`
};

struct ThroughputReport {
    std::string device, dtype, stateDtype;
    MachineRates rates;
    std::vector<ThroughputRow> rows;
};

/// `onRow` sees each row as it is ready. Decoding starts from a state of random numbers, so that a long context costs no long wait. Throws Error(Resource) when a batch does not fit, Error(Interrupted) on a stop.
ThroughputReport measureThroughput(const ThroughputRequest& request, const std::function<void(const ThroughputReport&, const ThroughputRow&)>& onRow,
                                   const CancellationToken& cancellation);

} // namespace postnas::engine
