// The batch sampler: a pure function of seed and step in which every row comes exactly once an epoch.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "core/base/error.h"
#include "core/data/batch_sampler.h"
#include "core/data/permutation.h"
#include "core/data/shard_writer.h"
#include "tests/support/support.h"

namespace postnas {
namespace {

using test::TemporaryFolder;

TEST(Permutation, IsABijectionForEverySizeAndKey)
{
    for (std::uint64_t size : {1u, 2u, 3u, 4u, 5u, 16u, 17u, 63u, 64u, 65u, 1000u, 4096u, 65537u})
        for (std::uint64_t key : {0ull, 1ull, 0xFFFFFFFFFFFFFFFFull}) {
            const Permutation permutation(size, key);
            std::vector<bool> seen(size, false);
            for (std::uint64_t i = 0; i < size; ++i) {
                const std::uint64_t value = permutation(i);
                ASSERT_LT(value, size);
                ASSERT_FALSE(seen[value]) << size;
                seen[value] = true;
            }
        }
    const Permutation large(std::uint64_t {1} << 40, 3);
    std::set<std::uint64_t> values;
    for (std::uint64_t i = 0; i < 100'000; ++i)
        values.insert(large(i));
    EXPECT_EQ(values.size(), 100'000u);
    EXPECT_LT(*values.rbegin(), std::uint64_t {1} << 40);
}

TEST(Permutation, LooksLikeAShuffle)
{
    // Mean distance of neighbours in a random order of n is n/3; fixed points are about one.
    const std::uint64_t n = 10'000;
    for (std::uint64_t key = 0; key < 5; ++key) {
        const Permutation permutation(n, key);
        double distance = 0;
        int fixed = 0;
        for (std::uint64_t i = 0; i + 1 < n; ++i) {
            distance += std::abs(static_cast<double>(permutation(i)) - static_cast<double>(permutation(i + 1)));
            fixed += permutation(i) == i ? 1 : 0;
        }
        EXPECT_NEAR(distance / static_cast<double>(n), static_cast<double>(n) / 3, 100);
        EXPECT_LT(fixed, 10);
    }
}

/// `documents` documents; document d has d % 7 + 1 tokens of id d, the weight of the last one is 0.
std::shared_ptr<const TokenDataset> makeDataset(const std::filesystem::path& folder, int documents, int base = 0)
{
    DatasetInfo info;
    info.vocabularySize = 100'000;
    info.endOfText = 99'999;
    ShardWriter writer(folder, info, 50);
    for (int d = 0; d < documents; ++d) {
        EncodedDocument document;
        document.ids.assign(static_cast<std::size_t>(d % 7 + 1), base + d);
        document.weights.assign(document.ids.size(), 255);
        document.weights.back() = 0;
        writer.add(document);
    }
    writer.finish();
    return TokenDataset::open(folder);
}

SamplerOptions options(bool packing, std::int64_t length, std::int64_t batch)
{
    SamplerOptions out;
    out.seed = 5;
    out.sequenceLength = length;
    out.batchSize = batch;
    out.packing = packing;
    out.padding = 88'888;
    out.separator = 99'999;
    return out;
}

TEST(BatchSampler, EveryDocumentComesOnceAnEpochThenInAnotherOrder)
{
    const TemporaryFolder folder;
    const auto dataset = makeDataset(folder / "d", 101);
    const BatchSampler sampler({{0, {{dataset, 1}}}}, options(false, 8, 4));
    std::vector<int> first;
    for (std::int64_t position = 0; position < 303; ++position) {
        const Batch batch = sampler.batch(position / 4);
        ASSERT_EQ(batch.tokens.size(), 32u);
        const std::size_t row = static_cast<std::size_t>(position % 4) * 8;
        const int document = batch.tokens[row];
        first.push_back(document);
        for (int t = 0; t < 8; ++t) {
            const int length = document % 7 + 1;
            EXPECT_EQ(batch.tokens[row + static_cast<std::size_t>(t)], t < length ? document : 88'888);
            EXPECT_EQ(batch.weights[row + static_cast<std::size_t>(t)], t < length - 1 ? 1.0f : 0.0f);
        }
    }
    std::vector<std::vector<int>> epochs;
    for (int e = 0; e < 3; ++e) {
        std::vector<int> epoch(first.begin() + e * 101, first.begin() + (e + 1) * 101);
        std::vector<int> sorted = epoch;
        std::sort(sorted.begin(), sorted.end());
        for (int d = 0; d < 101; ++d)
            ASSERT_EQ(sorted[static_cast<std::size_t>(d)], d);
        EXPECT_FALSE(std::is_sorted(epoch.begin(), epoch.end()));
        epochs.push_back(epoch);
    }
    EXPECT_NE(epochs[0], epochs[1]);
    EXPECT_NE(epochs[1], epochs[2]);
}

TEST(BatchSampler, IsAPureFunctionOfSeedAndStep)
{
    const TemporaryFolder folder;
    const auto a = makeDataset(folder / "a", 50);
    const auto b = makeDataset(folder / "b", 33, 1000);
    for (const bool packing : {false, true}) {
        const BatchSampler one({{0, {{a, 2}, {b, 1}}}}, options(packing, 6, 5));
        std::vector<Batch> forward;
        for (int step = 0; step < 60; ++step)
            forward.push_back(one.batch(step));
        const BatchSampler two({{0, {{a, 2}, {b, 1}}}}, options(packing, 6, 5));
        for (int step = 59; step >= 0; --step) {
            const Batch again = two.batch(step);
            EXPECT_EQ(again.tokens, forward[static_cast<std::size_t>(step)].tokens);
            EXPECT_EQ(again.weights, forward[static_cast<std::size_t>(step)].weights);
        }
        SamplerOptions other = options(packing, 6, 5);
        other.seed = 6;
        EXPECT_NE(BatchSampler({{0, {{a, 2}, {b, 1}}}}, other).batch(0).tokens, forward[0].tokens);
    }
}

TEST(BatchSampler, PackingCoversTheStreamExactly)
{
    const TemporaryFolder folder;
    const auto dataset = makeDataset(folder / "d", 40);
    SamplerOptions ordered = options(true, 16, 1);
    ordered.shuffle = false;
    const std::int64_t count = BatchSampler::rowCount(*dataset, ordered);
    std::vector<std::int32_t> expected;
    std::vector<float> weights;
    for (int d = 0; d < 40; ++d) {
        for (int t = 0; t < d % 7 + 1; ++t) {
            expected.push_back(d);
            weights.push_back(t == d % 7 ? 0.0f : 1.0f);
        }
        expected.push_back(99'999);
        weights.push_back(1.0f);
    }
    expected.resize(static_cast<std::size_t>(count) * 16, 88'888);
    weights.resize(expected.size(), 0.0f);
    const BatchSampler sampler({{0, {{dataset, 1}}}}, ordered);
    std::vector<std::int32_t> stream;
    std::vector<float> streamWeights;
    std::multiset<std::vector<std::int32_t>> orderedRows, shuffledRows;
    const BatchSampler shuffled({{0, {{dataset, 1}}}}, options(true, 16, 1));
    for (std::int64_t step = 0; step < count; ++step) {
        const Batch batch = sampler.batch(step);
        stream.insert(stream.end(), batch.tokens.begin(), batch.tokens.end());
        streamWeights.insert(streamWeights.end(), batch.weights.begin(), batch.weights.end());
        orderedRows.insert(batch.tokens);
        shuffledRows.insert(shuffled.batch(step).tokens);
    }
    EXPECT_EQ(stream, expected);
    EXPECT_EQ(streamWeights, weights);
    EXPECT_EQ(orderedRows, shuffledRows);
}

TEST(BatchSampler, MixesInProportionAndCoversEachDataset)
{
    const TemporaryFolder folder;
    const auto a = makeDataset(folder / "a", 100);
    const auto b = makeDataset(folder / "b", 10, 1000);
    const BatchSampler sampler({{0, {{a, 3}, {b, 1}}}}, options(false, 8, 64));
    std::map<int, int> seen;
    int fromB = 0;
    const int steps = 128; // two mixing blocks
    for (int step = 0; step < steps; ++step) {
        const Batch batch = sampler.batch(step);
        int here = 0;
        for (std::size_t row = 0; row < 64; ++row) {
            ++seen[batch.tokens[row * 8]];
            here += batch.tokens[row * 8] >= 1000 ? 1 : 0;
        }
        EXPECT_LT(here, 40) << "spread over the steps";
        fromB += here;
    }
    EXPECT_EQ(fromB, steps * 64 / 4);
    for (const auto& [document, count] : seen) {
        const int total = document >= 1000 ? fromB : steps * 64 - fromB;
        const int documents = document >= 1000 ? 10 : 100;
        EXPECT_GE(count, total / documents) << document;
        EXPECT_LE(count, total / documents + 1) << document;
    }
    EXPECT_EQ(seen.size(), 110u);
}

TEST(BatchSampler, PhasesFollowEachOther)
{
    const TemporaryFolder folder;
    makeDataset(folder / "a", 20);
    makeDataset(folder / "b", 20, 1000);
    std::vector<DataSource> sources {{folder / "a", 3, 1}, {folder / "b", 2, 1}};
    const BatchSampler sampler(openDataPhases(sources), options(false, 8, 4));
    for (int step = 0; step < 8; ++step)
        EXPECT_EQ(sampler.batch(step).tokens[0] >= 1000, step >= 3) << step;
    sources = {{folder / "a", std::nullopt, 1}, {folder / "b", std::nullopt, 1}};
    EXPECT_EQ(openDataPhases(sources).size(), 1u);
}

TEST(BatchSampler, ImpossibleRequestsAreErrors)
{
    const TemporaryFolder folder;
    const auto a = makeDataset(folder / "a", 20);
    EXPECT_THROW(BatchSampler({}, options(false, 8, 4)), Error);
    EXPECT_THROW(BatchSampler({{0, {}}}, options(false, 8, 4)), Error);
    EXPECT_THROW(BatchSampler({{0, {{a, 0}}}}, options(false, 8, 4)), Error);
    EXPECT_THROW(BatchSampler({{0, {{a, 1}}}, {5, {{a, 1}}}}, options(false, 8, 4)), Error);
    EXPECT_THROW(BatchSampler({{0, {{a, 1}}}}, options(false, 0, 4)), Error);
    EXPECT_THROW(BatchSampler({{0, {{a, 1}}}}, options(false, std::int64_t {1} << 40, std::int64_t {1} << 40)), Error);
    DatasetInfo info;
    info.vocabularySize = 5;
    info.tokenizerHash = "other";
    ShardWriter writer(folder / "other", info, 10);
    writer.add({{1}, {}});
    writer.finish();
    EXPECT_THROW(BatchSampler({{0, {{a, 1}, {TokenDataset::open(folder / "other"), 1}}}}, options(false, 8, 4)), Error);
}

} // namespace
} // namespace postnas
