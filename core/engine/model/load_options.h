// What load options ask of a model beyond its device and type. Internal: torch.
#pragma once

#include "core/engine/language_model.h"
#include "core/engine/model/hybrid_model.h"

namespace postnas::engine {

/// Types of the rotary frequencies and of recurrent states. Throws Error(Usage) for unknown words.
void applyLoadOptions(const LoadOptions& options, HybridModel& model);

} // namespace postnas::engine
