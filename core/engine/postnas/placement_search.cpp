// Beam search and the baselines it is compared with.
#include "core/engine/postnas/placement_search.h"

#include <algorithm>
#include <limits>
#include <set>

namespace postnas::engine {

std::string layerSetText(const LayerSet& layers)
{
    std::string out;
    for (const int layer : layers)
        out += (out.empty() ? "" : ",") + std::to_string(layer);
    return out.empty() ? "none" : out;
}

BeamResult beamSearch(const std::vector<int>& candidates, int budget, int beamWidth, const std::function<double(const LayerSet&)>& objective)
{
    BeamResult result;
    std::vector<ScoredSet> beam = {{{}, 0.0}};
    for (int size = 1; size <= budget; ++size) {
        std::set<LayerSet> grown;
        for (const ScoredSet& parent : beam) {
            for (const int layer : candidates) {
                if (std::find(parent.layers.begin(), parent.layers.end(), layer) != parent.layers.end())
                    continue;
                LayerSet child = parent.layers;
                child.insert(std::upper_bound(child.begin(), child.end(), layer), layer);
                grown.insert(std::move(child));
            }
        }
        beam.clear();
        for (const LayerSet& layers : grown) {
            beam.push_back({layers, objective(layers)});
            ++result.evaluations;
        }
        std::stable_sort(beam.begin(), beam.end(), [](const ScoredSet& a, const ScoredSet& b) { return a.value > b.value; });
        if (static_cast<int>(beam.size()) > beamWidth)
            beam.resize(static_cast<std::size_t>(beamWidth));
    }
    result.best = std::move(beam);
    return result;
}

std::vector<LayerSet> uniformPlacements(int layers, int budget)
{
    std::set<LayerSet> out;
    if (budget <= 0 || budget > layers)
        return {};
    const int spacing = layers / budget;
    for (int offset = 0; offset < spacing; ++offset) {
        LayerSet set;
        // Positions offset + i * layers / budget keep the spacing even when budget does not divide layers.
        for (int i = 0; i < budget; ++i)
            set.push_back(offset + static_cast<int>(static_cast<std::int64_t>(i) * layers / budget));
        out.insert(set);
    }
    return {out.begin(), out.end()};
}

std::vector<LayerSet> allPlacements(int layers, int budget)
{
    std::vector<LayerSet> out;
    LayerSet current;
    const std::function<void(int)> grow = [&](int first) {
        if (static_cast<int>(current.size()) == budget) {
            out.push_back(current);
            return;
        }
        for (int layer = first; layer < layers; ++layer) {
            current.push_back(layer);
            grow(layer + 1);
            current.pop_back();
        }
    };
    grow(0);
    return out;
}

std::int64_t placementCount(int layers, int budget)
{
    if (budget < 0 || budget > layers)
        return 0;
    std::int64_t count = 1;
    for (int i = 1; i <= budget; ++i) {
        std::int64_t product = 0;
        // count * (layers - budget + i) is divisible by i at each step.
        if (__builtin_mul_overflow(count, static_cast<std::int64_t>(layers - budget + i), &product))
            return std::numeric_limits<std::int64_t>::max();
        count = product / i;
    }
    return count;
}

} // namespace postnas::engine
