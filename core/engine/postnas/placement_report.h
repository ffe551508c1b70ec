// The artifacts of the placement stage. Internal: torch.
#pragma once

#include <optional>

#include "core/engine/postnas/placement_ledger.h"

namespace postnas::engine {

struct FoundPlacements {
    std::vector<BeamResult> byTask;      ///< one for each task, guided by its objective
    std::optional<BeamResult> byMean;    ///< guided by the mean recovery
    std::optional<BeamResult> bySliding; ///< sliding-window layers beside `placement.full`
    std::vector<LayerSet> uniform;
    std::vector<LayerSet> all;           ///< every placement of K layers, when they were all scored
    Placement placement;                 ///< what is exported
};

/// artifacts/heatmap.json; see docs/run-artifacts.md.
void writeHeatmap(const RunContext& run, const PlacementSpec& spec, const Supernet& supernet, const TaskSuite& suite, PlacementLedger& ledger);

/// artifacts/search.json (what each search found, the baselines, all ranks), results.json (the summary: each task's found
/// placement against the uniform ones, on items that the search has not seen) and hybrid/ (the exported model).
void writePlacementArtifacts(const RunContext& run, const PlacementSpec& spec, const Supernet& supernet, const TaskSuite& suite,
                             PlacementLedger& ledger, const FoundPlacements& found);

} // namespace postnas::engine
