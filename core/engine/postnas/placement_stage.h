// The placement stage of PostNAS: which layers need full attention. No torch.
#pragma once

#include "core/engine/training/run_context.h"

namespace postnas::engine {

/// Trains the supernet, scores each layer alone (heatmap), searches by beam for each task's objective, scores the uniform
/// baselines and, where their number allows, all placements; chooses sliding-window layers if asked, and exports the found
/// hybrid. Artifacts: heatmap.json, search.json, results.json, hybrid/ (docs/run-artifacts.md).
/// Throws Error(Interrupted) when cancelled; what was trained and scored until then is kept.
void runPlacement(const PlacementSpec& spec, const RunContext& run);

} // namespace postnas::engine
