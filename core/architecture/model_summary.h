// What a model is and costs, for people and for scripts.
#pragma once

#include <cstdint>
#include <string>

#include "core/architecture/architecture.h"

namespace postnas {

/// One object: model_type, sizes, `parameters`, `context`, `state_bytes` for one sequence of that many tokens with its parts
/// (`state`: cache_bytes, recurrent_bytes, and convolution_bytes, which the sum leaves out as the paper does),
/// `decode_flops` for one token at that position, and `layers`: index (from 0), block, parameters (the block's
/// hyperparameters), parameter_count (mixer, MLP and norms), state_bytes.
Json modelSummary(const Architecture& architecture, std::int64_t context, const StateTypes& types = {});

/// The same as lines of text with a table of layers.
std::string modelSummaryText(const Architecture& architecture, std::int64_t context, const StateTypes& types = {});

/// Parameters of one layer: mixer, MLP and both norms.
std::int64_t layerParameterCount(const Architecture& architecture, int layer);

} // namespace postnas
