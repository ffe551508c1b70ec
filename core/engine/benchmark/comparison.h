// Operators beside their references: how far apart the numbers are, without and with gradients. Internal: torch.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "core/engine/benchmark/operator_checks.h"

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

/// Fresh inputs of a check, float64 on the CPU.
inline torch::Tensor normal(at::IntArrayRef shape, double size = 1) { return torch::randn(shape, torch::kFloat64) * size; }

/// Whether "name, shape" contains `only`.
inline bool isChosen(const std::string& name, const std::string& shape, const std::string& only) { return (name + ", " + shape).find(only) != std::string::npos; }

/// One operator without gradients at one shape. `call` may change its inputs, and returns them with its outputs where they count.
struct ReferenceSubject {
    std::string name, shape;
    std::vector<torch::Tensor> inputs; ///< float64, or integers, on the CPU
    std::function<std::vector<torch::Tensor>(std::vector<torch::Tensor>)> call;
};
/// Each that isChosen, on the device in float32 and bfloat16 against itself in float64 on the CPU, from the same rounded inputs.
std::vector<OperatorCheck> checkAgainstReferences(const std::vector<ReferenceSubject>& subjects, const std::string& device, const std::string& only);

/// One operator with gradients at one shape.
struct GradientSubject {
    using Function = std::function<std::vector<torch::Tensor>(const std::vector<torch::Tensor>&)>;
    std::string name, shape;
    std::vector<torch::Tensor> inputs; ///< float64 on the CPU; all get gradients
    Function formula, implementation;
};
/// Outputs, and gradients of a fixed weighted sum of them, on the device against the formula in float64. `path` goes into the result, unless a slow
/// one was taken.
OperatorCheck checkWithGradients(const GradientSubject& subject, const std::string& device, torch::ScalarType type, double tolerance,
                                 const std::string& path = "native");

} // namespace postnas::engine
