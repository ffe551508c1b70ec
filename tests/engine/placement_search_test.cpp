// The search over placements, on objectives whose best answer is known.
#include "core/engine/postnas/placement_search.h"

#include <set>

#include <gtest/gtest.h>

namespace postnas::engine {
namespace {

TEST(BeamSearch, FindsTheBestPairWhenLayersAddUp)
{
    const std::vector<double> worth = {0.1, 0.9, 0.3, 0.2, 0.8, 0.0};
    std::set<LayerSet> asked;
    const BeamResult result = beamSearch({0, 1, 2, 3, 4, 5}, 2, 3, [&](const LayerSet& layers) {
        EXPECT_TRUE(asked.insert(layers).second) << "asked twice for " << layerSetText(layers);
        double sum = 0;
        for (const int layer : layers)
            sum += worth[static_cast<std::size_t>(layer)];
        return sum;
    });
    ASSERT_EQ(result.best.size(), 3u);
    EXPECT_EQ(result.best[0].layers, (LayerSet {1, 4}));
    EXPECT_DOUBLE_EQ(result.best[0].value, 1.7);
    EXPECT_EQ(result.best[1].layers, (LayerSet {1, 2}));
    // 6 singles, then 5 + 4 + 3 distinct pairs that hold one of the 3 best singles.
    EXPECT_EQ(result.evaluations, 6 + 12);
}

TEST(BeamSearch, AWiderBeamFindsWhatAGreedyOneMisses)
{
    // Layers 2 and 3 are poor alone and good together.
    const auto objective = [](const LayerSet& layers) {
        if (layers == LayerSet {2, 3})
            return 10.0;
        double sum = 0;
        for (const int layer : layers)
            sum += layer == 0 ? 3 : layer == 1 ? 2 : 1;
        return sum;
    };
    EXPECT_EQ(beamSearch({0, 1, 2, 3}, 2, 1, objective).best.front().layers, (LayerSet {0, 1}));
    EXPECT_EQ(beamSearch({0, 1, 2, 3}, 2, 4, objective).best.front().layers, (LayerSet {2, 3}));
}

TEST(BeamSearch, KeepsToItsCandidates)
{
    const BeamResult result = beamSearch({1, 3, 5}, 2, 2, [](const LayerSet& layers) { return double(layers.front()); });
    EXPECT_EQ(result.best.front().layers, (LayerSet {3, 5}));
}

TEST(UniformPlacements, AreEvenlySpacedForEachOffset)
{
    EXPECT_EQ(uniformPlacements(8, 2), (std::vector<LayerSet> {{0, 4}, {1, 5}, {2, 6}, {3, 7}}));
    EXPECT_EQ(uniformPlacements(8, 3), (std::vector<LayerSet> {{0, 2, 5}, {1, 3, 6}}));
    EXPECT_EQ(uniformPlacements(4, 4), (std::vector<LayerSet> {{0, 1, 2, 3}}));
    EXPECT_TRUE(uniformPlacements(4, 0).empty());
}

TEST(AllPlacements, AreAllOfThem)
{
    const auto all = allPlacements(8, 2);
    EXPECT_EQ(all.size(), 28u);
    EXPECT_EQ(placementCount(8, 2), 28);
    EXPECT_EQ(std::set<LayerSet>(all.begin(), all.end()).size(), 28u);
    EXPECT_EQ(placementCount(28, 2), 378);
    EXPECT_EQ(placementCount(36, 12), 1251677700);
    EXPECT_EQ(placementCount(200, 100), INT64_MAX);
    EXPECT_EQ(placementCount(3, 4), 0);
}

} // namespace
} // namespace postnas::engine
