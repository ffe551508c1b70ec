// How far tensors are from their references. Internal: torch.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <torch/torch.h>

namespace postnas::engine {

/// The largest absolute difference of each pair over the reference's largest absolute value; the worst of all pairs.
inline double largestRelativeDifference(const std::vector<torch::Tensor>& actual, const std::vector<torch::Tensor>& expected)
{
    double worst = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        if (expected[i].numel() == 0)
            continue;
        const torch::Tensor e = expected[i].detach(), a = actual[i].detach().to(torch::kCPU, torch::kFloat64);
        const double size = std::max(e.abs().max().item<double>(), 1e-12);
        const double here = (a - e).abs().max().item<double>() / size;
        // A NaN must not hide behind a comparison that is false.
        worst = std::isnan(here) ? std::numeric_limits<double>::infinity() : std::max(worst, here);
    }
    return worst;
}

} // namespace postnas::engine
