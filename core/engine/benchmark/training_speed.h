// How fast the supernet of an architecture trains on this machine, beside what the machine can do. No torch.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/architecture/architecture.h"
#include "core/base/cancellation.h"
#include "core/engine/benchmark/throughput.h"
#include "core/engine/benchmark/trace.h"
#include "core/jobs/job_spec.h"

namespace postnas::engine {

struct TrainingSpeedRequest {
    Architecture architecture;      ///< of the teacher; its weights are random
    std::string block = "gla";      ///< of the linear paths, with its default hyperparameters
    std::string device = "cpu";     ///< as resolveDevice gives it
    std::string dtype = "float32";  ///< of the products, as resolveDtype gives it
    std::int64_t batch = 1, length = 4096;
    int steps = 8;                  ///< timed ones
    double fullProbability = 0.25;  ///< as in the spec of a placement
    RecomputeChoice recompute = RecomputeChoice::Auto;
    std::string trace;              ///< where the profiler's trace of one more step goes; empty: none
};

/// One step, with the teacher's pass, the student's through a random path, the gradients and the optimizer.
struct TrainingStepTiming {
    double seconds = 0;
    double loss = 0;
    std::int64_t fullLayers = 0; ///< of the path
    std::int64_t recomputedLayers = 0; ///< those that ran twice
    double flops = 0;            ///< of the model: both passes forward and the gradients; nothing that is computed twice
};

struct TrainingSpeedReport {
    MachineRates rates;
    std::int64_t parameters = 0, trainable = 0;
    std::vector<TrainingStepTiming> steps;
    double tokensPerSecond = 0;         ///< of the mean step
    double flopsPerStep = 0;            ///< of the mean step
    double peakBytes = 0;               ///< on a GPU: what tensors took at most; 0 on a CPU
    std::vector<TraceEntry> kernels;    ///< with `trace`
};

/// Throws Error(Resource) when something does not fit the memory, Error(Interrupted) on a stop.
TrainingSpeedReport measureTrainingSpeed(const TrainingSpeedRequest& request, const CancellationToken& cancellation);

} // namespace postnas::engine
