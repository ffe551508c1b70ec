// The results of a run: what a person reads of an artifact, and what a resumed run replaces.
#include <gtest/gtest.h>

#include "widgets/jobs/result_tree.h"

namespace postnas {
namespace {

event::Result result(const std::string& artifact, const Json& values)
{
    event::Result out;
    out.artifact = artifact;
    out.path = "artifacts/" + artifact;
    out.values = values;
    return out;
}

TEST(ResultTree, LayersCountFromOneAndTheNewestOfAnArtifactStays)
{
    ResultTree tree;
    tree.addResult(result("heatmap", {{"layers", 8}}));
    tree.addResult(result("hybrid", {{"full", Json::array({0, 4, 7})}, {"sliding", Json::array()}}));
    tree.addResult(result("heatmap", {{"layers", 9}})); // of the process that resumed
    ASSERT_EQ(tree.topLevelItemCount(), 2);
    EXPECT_EQ(tree.topLevelItem(0)->child(0)->text(1), QStringLiteral("1, 5, 8"));
    EXPECT_EQ(tree.topLevelItem(0)->child(1)->text(1), QStringLiteral("none"));
    EXPECT_EQ(tree.topLevelItem(1)->text(0), QStringLiteral("heatmap"));
    EXPECT_EQ(tree.topLevelItem(1)->child(0)->text(1), QStringLiteral("9"));
}

} // namespace
} // namespace postnas
