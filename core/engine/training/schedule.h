// Learning rate over the steps: linear warm-up, then half a cosine.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>

namespace postnas::engine {

struct Schedule {
    double peak = 1e-3;
    double floor = 0;
    std::int64_t warmupSteps = 0;
    std::int64_t steps = 0;

    /// Rate of `step`, counted from 0: (step + 1) / warmup of the peak at first, `floor` after the last step.
    double rate(std::int64_t step) const
    {
        if (step < warmupSteps)
            return peak * double(step + 1) / double(warmupSteps);
        const double length = double(std::max<std::int64_t>(1, steps - warmupSteps));
        const double progress = std::min(1.0, double(step - warmupSteps) / length);
        return floor + 0.5 * (peak - floor) * (1 + std::cos(std::numbers::pi * progress));
    }
};

} // namespace postnas::engine
