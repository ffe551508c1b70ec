// The flat argument list that recurrent_step has in the dispatcher, written once for the registrations of the CPU and of CUDA.
// Internal: torch.
#pragma once

#include "kernels/include/decode_operators.h"

#define POSTNAS_RECURRENT_STEP_PARAMETERS                                                                                                         \
    std::int64_t heads, std::int64_t groups, const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const std::optional<at::Tensor>&kernelsQ, \
        const std::optional<at::Tensor>&historyQ, const std::optional<at::Tensor>&kernelsK, const std::optional<at::Tensor>&historyK,             \
        const std::optional<at::Tensor>&kernelsV, const std::optional<at::Tensor>&historyV, bool siluKeys, bool siluValues, bool unitLength,      \
        double scale, std::int64_t decay, const std::optional<at::Tensor>&g, const std::optional<at::Tensor>&aLog,                                \
        const std::optional<at::Tensor>&dtBias, double gateNormalizer, const std::optional<at::Tensor>&b, const at::Tensor &state,                \
        const std::optional<at::Tensor>&normWeight, double epsilon, const std::optional<at::Tensor>&gate

/// Those arguments as the structure that they came from.
#define POSTNAS_RECURRENT_STEP_STRUCT                                                                                                             \
    RecurrentStep                                                                                                                                 \
    {                                                                                                                                             \
        heads, groups, q, k, v, {kernelsQ, historyQ}, {kernelsK, historyK}, {kernelsV, historyV}, siluKeys, siluValues, unitLength, scale,        \
            static_cast<StepDecay>(decay), g, aLog, dtBias, gateNormalizer, b, state, normWeight, epsilon, gate                                   \
    }
