// How fast single operators run on this machine, with the bytes and operations that they cannot do without. No torch.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/base/cancellation.h"

namespace postnas::engine {

/// One operator on one shape. Bytes count every input read once and every output written once; operations those of the formula
/// itself, not of the way it is computed.
struct OperatorTiming {
    std::string name;  ///< "gated_delta_rule"
    std::string shape; ///< "batch 8, length 4096, heads 12, key 96, value 256"
    double forwardSeconds = 0;
    double backwardSeconds = 0; ///< of the gradients alone; 0 where none is measured
    double bytes = 0;           ///< of the forward pass
    double flops = 0;           ///< of the forward pass
};

struct OperatorSpeedRequest {
    std::string device = "cpu";    ///< as resolveDevice gives it
    std::string dtype = "float32"; ///< as resolveDtype gives it
    std::string only;              ///< part of the names wanted; empty: all
    bool small = true;             ///< shapes for a CPU instead of those of the published comparisons
    int repeats = 5;               ///< the median counts
};

std::vector<OperatorTiming> measureOperatorSpeed(const OperatorSpeedRequest& request, const std::function<void(const OperatorTiming&)>& onTiming,
                                                 const CancellationToken& cancellation);

} // namespace postnas::engine
