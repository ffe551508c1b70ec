// Sampling: the set of tokens that each setting leaves, and the probabilities among them.
#include "core/engine/generation/sampler.h"

#include <cmath>
#include <map>
#include <numeric>

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/engine/generation/stop_strings.h"

namespace postnas::engine {
namespace {

/// How often each token is drawn from fixed logits.
std::map<std::int64_t, double> frequencies(SamplingOptions options, const std::vector<float>& logits, int draws = 20000,
                                           const std::vector<std::int64_t>& seen = {})
{
    Sampler sampler(options);
    std::map<std::int64_t, double> out;
    for (int i = 0; i < draws; ++i) {
        std::vector<float> copy = logits;
        out[sampler.next(copy, seen)] += 1.0 / draws;
    }
    return out;
}

const std::vector<float> kLogits = {1.0f, 3.0f, 2.0f, 0.0f, -1.0f};

std::vector<double> softmax(double temperature)
{
    std::vector<double> p;
    for (const float l : kLogits)
        p.push_back(std::exp(l / temperature));
    const double sum = std::accumulate(p.begin(), p.end(), 0.0);
    for (double& x : p)
        x /= sum;
    return p;
}

TEST(Sampler, IsGreedyAtTemperatureZero)
{
    const auto drawn = frequencies({}, kLogits, 10);
    ASSERT_EQ(drawn.size(), 1u);
    EXPECT_EQ(drawn.begin()->first, 1);
}

TEST(Sampler, DrawsFromTheSoftmaxAtItsTemperature)
{
    for (const double temperature : {0.7, 1.0, 2.0}) {
        const auto seen = frequencies({.temperature = temperature, .seed = 5}, kLogits);
        const auto expected = softmax(temperature);
        for (std::size_t i = 0; i < expected.size(); ++i)
            EXPECT_NEAR(seen.count(std::int64_t(i)) ? seen.at(std::int64_t(i)) : 0.0, expected[i], 0.015) << "token " << i << " at " << temperature;
    }
}

TEST(Sampler, TopKTopPAndMinPKeepTheLikelyTokens)
{
    const auto ids = [](const std::map<std::int64_t, double>& f) {
        std::vector<std::int64_t> out;
        for (const auto& [id, share] : f)
            out.push_back(id);
        return out;
    };
    EXPECT_EQ(ids(frequencies({.temperature = 1, .topK = 2}, kLogits)), (std::vector<std::int64_t> {1, 2}));
    // Probabilities at temperature 1: .636 .234 .086 .032 .012.
    EXPECT_EQ(ids(frequencies({.temperature = 1, .topP = 0.6}, kLogits)), (std::vector<std::int64_t> {1}));
    EXPECT_EQ(ids(frequencies({.temperature = 1, .topP = 0.7}, kLogits)), (std::vector<std::int64_t> {1, 2}));
    EXPECT_EQ(ids(frequencies({.temperature = 1, .minP = 0.1}, kLogits)), (std::vector<std::int64_t> {0, 1, 2}));
    EXPECT_EQ(ids(frequencies({.temperature = 1, .topK = 3, .topP = 0.7}, kLogits)), (std::vector<std::int64_t> {1, 2}));
}

TEST(Sampler, PenalisesRepetitionOfPositiveAndNegativeLogits)
{
    SamplingOptions options;
    options.repetitionPenalty = 2.0;
    Sampler sampler(options);
    std::vector<float> logits = {1.0f, 3.0f, 2.0f, 0.0f, -1.0f};
    EXPECT_EQ(sampler.next(logits, std::vector<std::int64_t> {1, 1, 4}), 2);
    EXPECT_FLOAT_EQ(logits[1], 1.5f);
    EXPECT_FLOAT_EQ(logits[4], -2.0f);
    EXPECT_FLOAT_EQ(logits[0], 1.0f);
}

TEST(Sampler, RepeatsItselfFromASeed)
{
    const SamplingOptions options {.temperature = 1.5, .seed = 42};
    Sampler a(options), b(options), c({.temperature = 1.5, .seed = 43});
    int different = 0;
    for (int i = 0; i < 200; ++i) {
        std::vector<float> la = kLogits, lb = kLogits, lc = kLogits;
        const auto id = a.next(la, {});
        EXPECT_EQ(id, b.next(lb, {}));
        different += id != c.next(lc, {});
    }
    EXPECT_GT(different, 20);
}

TEST(Sampler, RefusesSettingsThatMakeNoSense)
{
    EXPECT_THROW(Sampler({.temperature = -1}), Error);
    EXPECT_THROW(Sampler({.temperature = 1, .topP = 0}), Error);
    EXPECT_THROW(Sampler({.temperature = 1, .minP = 1.5}), Error);
    EXPECT_THROW(Sampler({.temperature = 1, .repetitionPenalty = 0}), Error);
}

TEST(StopStrings, EndTheTextBeforeThemHoweverItIsCut)
{
    const std::string text = "one two STOP three";
    for (std::size_t cut = 1; cut < 6; ++cut) {
        StopStringFilter filter({"STOP", "never"});
        std::string out;
        for (std::size_t i = 0; i < text.size() && !filter.stopped(); i += cut)
            out += filter.push(text.substr(i, cut));
        EXPECT_EQ(out, "one two ") << cut;
        EXPECT_TRUE(filter.stopped());
        EXPECT_EQ(filter.finish(), "");
    }
}

TEST(StopStrings, GiveBackWhatOnlyLookedLikeOne)
{
    StopStringFilter filter({"\n\n###"});
    EXPECT_EQ(filter.push("text\n\n#"), "text");
    EXPECT_EQ(filter.push("# no"), "\n\n## no");
    EXPECT_EQ(filter.push("\n\n"), "");
    EXPECT_EQ(filter.finish(), "\n\n");
}

} // namespace
} // namespace postnas::engine
