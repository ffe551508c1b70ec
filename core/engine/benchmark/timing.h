// Wall time of work on a device. Internal: torch.
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <vector>

#include <torch/torch.h>

namespace postnas::engine {

/// Seconds of `f`, with the device idle before and after.
inline double secondsOf(const torch::Device& device, const std::function<void()>& f)
{
    const auto synchronise = [&] {
        if (device.is_cuda())
            torch::cuda::synchronize();
    };
    synchronise();
    const auto start = std::chrono::steady_clock::now();
    f();
    synchronise();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

inline double median(std::vector<double> values)
{
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

} // namespace postnas::engine
