// The search over placements, apart from any model: beam search, uniform baselines, and what is remembered. No torch.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace postnas::engine {

/// Layers (from 0, ascending) that keep full attention.
using LayerSet = std::vector<int>;

/// "3,7"; "none" for the empty set.
std::string layerSetText(const LayerSet& layers);

struct ScoredSet {
    LayerSet layers;
    double value = 0;
};

struct BeamResult {
    std::vector<ScoredSet> best; ///< of exactly `budget` layers, best first; at most beamWidth
    std::int64_t evaluations = 0; ///< calls of the objective
};

/// Grows sets one layer at a time and keeps the `beamWidth` best of each size (PostNAS, arXiv 2508.15884, section 2.2).
/// Each set is asked for once per call. Equal values are ordered by their layers, so that a search is repeatable.
/// `candidates` are the layers that may be chosen.
BeamResult beamSearch(const std::vector<int>& candidates, int budget, int beamWidth, const std::function<double(const LayerSet&)>& objective);

/// Evenly spaced placements of `budget` layers among `layers`: one for each offset of the spacing layers / budget.
std::vector<LayerSet> uniformPlacements(int layers, int budget);

/// All sets of `budget` layers in lexicographic order; n over k of them.
std::vector<LayerSet> allPlacements(int layers, int budget);
/// n over k, saturating at INT64_MAX.
std::int64_t placementCount(int layers, int budget);

} // namespace postnas::engine
