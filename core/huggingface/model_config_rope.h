// The rotary part of a config.json: `rope_theta`, `rope_scaling` and its newer form `rope_parameters`.
#pragma once

#include "core/architecture/architecture.h"
#include "core/base/json.h"

namespace postnas {

/// Sets ropeTheta and ropeScaling from the top level of a config. Throws Error(Input) for types other than default, linear,
/// dynamic, yarn and llama3 and for values out of range.
void readRope(const JsonReader& config, Architecture& architecture);

/// Adds `rope_theta` and `rope_scaling` in the form that every transformers release since 4.37 reads.
void writeRope(const Architecture& architecture, Json& config);

} // namespace postnas
