// Pareto fronts and rank statistics against small cases worked by hand and against the definitions.
#include <cmath>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/tasks/pareto.h"

namespace postnas {
namespace {

using testing::ElementsAre;
using Values = std::vector<double>;

TEST(Pareto, KeepsWhatNothingBeats)
{
    const Values accuracy = {0.9, 0.8, 0.95, 0.7, 0.9, NAN};
    const Values bytes = {100, 50, 200, 60, 100, 1};
    EXPECT_THAT(paretoFront(accuracy, Better::Higher, bytes, Better::Lower), ElementsAre(2, 0, 4, 1));
    EXPECT_THAT(paretoFront(accuracy, Better::Higher, bytes, Better::Higher), ElementsAre(2));
    EXPECT_TRUE(paretoFront({}, Better::Higher, {}, Better::Lower).empty());
}

TEST(Pareto, AgreesWithTheDefinitionOnRandomPoints)
{
    std::mt19937 random(7);
    for (int round = 0; round < 50; ++round) {
        Values a;
        Values b;
        for (int i = 0; i < 40; ++i) {
            a.push_back(random() % 8);
            b.push_back(random() % 8);
        }
        std::vector<std::size_t> expected;
        for (std::size_t i = 0; i < a.size(); ++i) {
            bool beaten = false;
            for (std::size_t j = 0; j < a.size(); ++j)
                beaten = beaten || (a[j] >= a[i] && b[j] <= b[i] && (a[j] > a[i] || b[j] < b[i]));
            if (!beaten)
                expected.push_back(i);
        }
        EXPECT_THAT(paretoFront(a, Better::Higher, b, Better::Lower), testing::UnorderedElementsAreArray(expected));
    }
}

TEST(Correlation, RanksShareTies) { EXPECT_THAT(ranksOf(Values{10, 30, 20, 20}), ElementsAre(1, 4, 2.5, 2.5)); }

TEST(Correlation, KnownValues)
{
    const Values up = {1, 2, 3, 4, 5};
    const Values down = {5, 4, 3, 2, 1};
    EXPECT_DOUBLE_EQ(*spearmanCorrelation(up, up), 1.0);
    EXPECT_DOUBLE_EQ(*spearmanCorrelation(up, down), -1.0);
    EXPECT_DOUBLE_EQ(*kendallCorrelation(up, down), -1.0);
    // from scipy.stats.spearmanr and kendalltau
    const Values a = {12, 2, 1, 12, 2, 8};
    const Values b = {1, 4, 7, 1, 0, 5};
    const Values c = {3, 1, 2, 4, 1, 2};
    EXPECT_NEAR(*spearmanCorrelation(a, c), 0.7272727272727272, 1e-12);
    EXPECT_NEAR(*kendallCorrelation(a, c), 0.6153846153846154, 1e-12);
    EXPECT_NEAR(*spearmanCorrelation(a, b), -0.44781107551989907, 1e-12);
    EXPECT_NEAR(*kendallCorrelation(a, b), -0.37062465833055064, 1e-12);
    EXPECT_FALSE(spearmanCorrelation(up, Values{1, 1, 1, 1, 1}));
    EXPECT_FALSE(kendallCorrelation(up, Values{1, 1, 1, 1, 1}));
    EXPECT_FALSE(kendallCorrelation(Values{1}, Values{2}));
    EXPECT_FALSE(spearmanCorrelation(up, Values{1, 2, 3, 4, NAN}));
}

TEST(Correlation, KendallAgreesWithCountingPairs)
{
    std::mt19937 random(3);
    for (int round = 0; round < 30; ++round) {
        Values a;
        Values b;
        for (int i = 0; i < 30; ++i) {
            a.push_back(random() % 10);
            b.push_back(random() % 10);
        }
        double sum = 0;
        double untiedA = 0;
        double untiedB = 0;
        for (std::size_t i = 0; i < a.size(); ++i)
            for (std::size_t j = 0; j < i; ++j) {
                const double x = (a[i] > a[j]) - (a[i] < a[j]);
                const double y = (b[i] > b[j]) - (b[i] < b[j]);
                sum += x * y;
                untiedA += x * x;
                untiedB += y * y;
            }
        EXPECT_NEAR(*kendallCorrelation(a, b), sum / std::sqrt(untiedA * untiedB), 1e-12);
    }
}

TEST(Spread, DescribesNumbers)
{
    const Spread spread = spreadOf(Values{4, 1, 3, 2});
    EXPECT_EQ(spread.count, 4u);
    EXPECT_DOUBLE_EQ(spread.mean, 2.5);
    EXPECT_NEAR(spread.deviation, 1.2909944487358056, 1e-12);
    EXPECT_NEAR(spread.standardError, 0.6454972243679028, 1e-12);
    EXPECT_DOUBLE_EQ(spread.median, 2.5);
    EXPECT_DOUBLE_EQ(spread.minimum, 1);
    EXPECT_DOUBLE_EQ(spread.maximum, 4);
    EXPECT_DOUBLE_EQ(spreadOf(Values{5}).deviation, 0.0);
    EXPECT_TRUE(std::isnan(spreadOf({}).mean));
    EXPECT_TRUE(std::isnan(spreadOf(Values{1, NAN}).median));
}

} // namespace
} // namespace postnas
