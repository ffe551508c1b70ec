// Sampling, run on the CPU by kernels/emulation: token by token against a double-precision reference that is given the same random
// numbers, and against the CPU sampler of the engine.
#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/engine/generation/sampler.h"
#include "kernels/include/sampling_launch.h"
#include "kernels/include/sampling_operators.h"

namespace {

using at::Tensor;
using Options = postnas::ops::SequenceSampling;
namespace cuda = postnas::ops::cuda;

/// Philox 4x32-10, written from its definition.
std::uint64_t philox(std::uint64_t seed, std::uint32_t step, std::uint32_t sequence)
{
    std::array<std::uint32_t, 4> x = {step, sequence, 0, 0};
    std::array<std::uint32_t, 2> key = {std::uint32_t(seed), std::uint32_t(seed >> 32)};
    for (int round = 0; round < 10; ++round) {
        const std::uint64_t a = 0xD2511F53ull * x[0], b = 0xCD9E8D57ull * x[2];
        x = {std::uint32_t(b >> 32) ^ x[1] ^ key[0], std::uint32_t(b), std::uint32_t(a >> 32) ^ x[3] ^ key[1], std::uint32_t(a)};
        key = {key[0] + 0x9E3779B9u, key[1] + 0xBB67AE85u};
    }
    return std::uint64_t(x[1]) << 32 | x[0];
}

enum class Draw { SortedList, WholeRow };

std::vector<float> penalised(const Tensor& row, const Options& o, const std::set<std::int64_t>& seen)
{
    const Tensor numbers = row.to(at::kFloat).contiguous();
    std::vector<float> logits(numbers.const_data_ptr<float>(), numbers.const_data_ptr<float>() + numbers.numel());
    for (const std::int64_t id : seen) {
        float& x = logits[std::size_t(id)];
        x = x > 0 ? x / o.repetitionPenalty : x * o.repetitionPenalty;
    }
    return logits;
}

/// The tokens that the filters leave, the likeliest first, with their probabilities relative to the likeliest one's.
std::vector<std::pair<int, double>> keptTokens(const std::vector<float>& logits, const Options& o)
{
    std::vector<int> order(logits.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return logits[std::size_t(a)] > logits[std::size_t(b)]; });
    if (o.topK > 0 && std::size_t(o.topK) < order.size())
        order.resize(std::size_t(o.topK));
    std::vector<std::pair<int, double>> kept;
    double sum = 0;
    for (const int id : order) {
        kept.emplace_back(id, std::exp((double(logits[std::size_t(id)]) - logits[std::size_t(order[0])]) / o.temperature));
        sum += kept.back().second;
    }
    double running = 0;
    std::size_t count = 0;
    while (count < kept.size() && (count == 0 || (o.topP < 1 && running < o.topP * sum) || o.topP >= 1))
        running += kept[count++].second;
    while (count > 1 && kept[count - 1].second < o.minP)
        --count;
    kept.resize(count);
    return kept;
}

int expectedToken(const std::vector<float>& logits, const Options& o, std::uint64_t bits, Draw draw)
{
    if (o.temperature == 0)
        return int(std::max_element(logits.begin(), logits.end()) - logits.begin());
    auto kept = keptTokens(logits, o);
    if (draw == Draw::WholeRow) {
        const int threads = std::clamp((int(logits.size()) / 8 + 31) / 32 * 32, 32, 1024);
        std::sort(kept.begin(), kept.end(), [&](const auto& a, const auto& b) {
            return std::pair(a.first / 8 % threads, a.first) < std::pair(b.first / 8 % threads, b.first);
        });
    }
    double total = 0;
    for (const auto& token : kept)
        total += token.second;
    double rest = double(bits) * 0x1.0p-64 * total;
    for (const auto& [id, probability] : kept) {
        rest -= probability;
        if (rest < 0)
            return id;
    }
    return kept.back().first;
}

/// Everything that lies on the device, one row a sequence.
struct Batch {
    explicit Batch(const Tensor& logitRows, std::vector<Options> each)
        : logits(logitRows)
        , sequences(std::move(each))
        , size(logitRows.size(0))
        , next(std::size_t(size), -7)
        , lengths(std::size_t(size), 10)
        , finished(std::size_t(size), 0)
        , seen(std::size_t(size * postnas::ops::seenWords(logitRows.size(1))), 0)
    {
    }

    cuda::SampleProblem problem()
    {
        cuda::SampleProblem p;
        p.batch = size;
        p.vocabulary = logits.size(1);
        p.logitStride = logits.stride(0);
        p.element = logits.scalar_type() == at::kFloat ? cuda::Element::Float32 : cuda::Element::BFloat16;
        p.logits = logits.const_data_ptr();
        p.sequences = sequences.data();
        p.seen = seen.data();
        p.next = next.data();
        p.lengths = lengths.data();
        p.finished = finished.data();
        return p;
    }
    void sample() { ASSERT_EQ(cuda::launchSample(problem(), nullptr), cudaSuccess); }

    Tensor logits;
    std::vector<Options> sequences;
    std::int64_t size;
    std::vector<std::int32_t> next, lengths;
    std::vector<std::uint8_t> finished;
    std::vector<std::uint32_t> seen;
};

Options options(float temperature, int topK = 0, float topP = 1, float minP = 0, float penalty = 1)
{
    Options o;
    o.temperature = temperature;
    o.topK = topK;
    o.topP = topP;
    o.minP = minP;
    o.repetitionPenalty = penalty;
    return o;
}

struct Case {
    std::int64_t batch, vocabulary;
    Options o;
    Draw draw = Draw::SortedList;
    double spread = 3; ///< standard deviation of the logits
    at::ScalarType type = at::kBFloat16;
    int extraStride = 0;
};

std::ostream& operator<<(std::ostream& out, const Case& c)
{
    return out << "V" << c.vocabulary << "_K" << c.o.topK << "_P" << int(c.o.topP * 1000) << "_M" << int(c.o.minP * 1000) << "_T"
               << int(c.o.temperature * 100);
}

class Sampling : public testing::TestWithParam<Case> {};

TEST_P(Sampling, DrawsTheTokenOfTheReference)
{
    const Case& c = GetParam();
    at::manual_seed(31);
    const Tensor logits = (at::randn({c.batch, c.vocabulary + c.extraStride}) * c.spread).to(c.type).narrow(1, 0, c.vocabulary);
    std::vector<Options> each(std::size_t(c.batch), c.o);
    for (std::size_t b = 0; b < each.size(); ++b) {
        each[b].seed = 0x1234567890abcdefull * (b / 2 + 1);
        each[b].sequence = std::uint32_t(b);
    }
    Batch batch(logits, each);
    std::set<std::int64_t> seen;
    if (c.o.repetitionPenalty != 1) {
        std::vector<std::int32_t> ids;
        for (std::int64_t i = 0; i < c.vocabulary; i += 3)
            ids.push_back(int(i));
        seen.insert(ids.begin(), ids.end());
        std::vector<std::int32_t> all;
        for (std::int64_t b = 0; b < c.batch; ++b)
            all.insert(all.end(), ids.begin(), ids.end());
        ASSERT_EQ(cuda::launchMarkSeen(all.data(), c.batch, std::int64_t(ids.size()), nullptr, c.vocabulary, batch.seen.data(), nullptr), cudaSuccess);
    }
    batch.sample();
    for (std::size_t b = 0; b < each.size(); ++b) {
        const auto row = penalised(logits[std::int64_t(b)], each[b], seen);
        EXPECT_EQ(batch.next[b], expectedToken(row, each[b], philox(each[b].seed, 10, each[b].sequence), c.draw)) << "row " << b;
        EXPECT_EQ(batch.lengths[b], 11);
        EXPECT_EQ(batch.finished[b], 0);
    }
    if (c.draw == Draw::WholeRow)
        return; // there the kernel draws in another order of the tokens
    // The CPU's operator, from the same state before the step.
    const Tensor bytes = at::from_blob(each.data(), {c.batch, std::int64_t(sizeof(Options))}, at::kByte);
    postnas::ops::SamplingState state {bytes, at::empty({0}, at::kInt), 0, std::nullopt, at::zeros({c.batch}, at::kInt), at::full({c.batch}, 10, at::kInt),
                                       at::zeros({c.batch}, at::kByte)};
    if (!seen.empty()) {
        state.seen = at::zeros({c.batch, postnas::ops::seenWords(c.vocabulary)}, at::kInt);
        postnas::ops::markSeen(at::arange(0, c.vocabulary, 3, at::kInt).expand({c.batch, -1}), c.vocabulary, *state.seen);
    }
    postnas::ops::sampleNext(logits, state);
    for (std::size_t b = 0; b < each.size(); ++b)
        EXPECT_EQ(state.next[std::int64_t(b)].item<int>(), batch.next[b]) << "row " << b;
    if (!seen.empty()) {
        const Tensor marks = at::from_blob(batch.seen.data(), state.seen->sizes(), at::kInt);
        EXPECT_TRUE(at::equal(*state.seen, marks));
    }
}

INSTANTIATE_TEST_SUITE_P(
    Options, Sampling,
    testing::Values(
        // Greedy, over odd sizes and rows that are not on 16 bytes.
        Case{3, 1, options(0)}, Case{4, 37, options(0), {}, 3, at::kFloat}, Case{3, 1001, options(0)}, Case{3, 1000, options(0), {}, 3, at::kFloat, 3},
        Case{2, 5000, options(0, 0, 1, 0, 3.f)}, Case{1, 151936, options(0)},
        // The whole distribution.
        Case{40, 50, options(1), Draw::WholeRow}, Case{3, 20001, options(0.7f), Draw::WholeRow, 2}, Case{20, 1, options(1), Draw::WholeRow},
        // One filter at a time, then together; small rows are in the list as a whole.
        Case{40, 100, options(1, 5)}, Case{40, 100, options(1, 0, 0.8f)}, Case{40, 100, options(1, 0, 1, 0.1f), {}, 1}, Case{20, 100, options(2, 1)},
        Case{20, 100, options(1, 0, 0.001f)}, Case{20, 100, options(1, 0, 1, 1.f)}, Case{40, 130, options(1.5f, 40, 0.9f, 0.02f), {}, 1},
        Case{40, 130, options(1.5f, 40, 0.9f, 0.02f, 1.3f), {}, 2, at::kFloat}, Case{20, 77, options(1, 100, 0.9f), {}, 1, at::kFloat, 2},
        // Larger rows than the list; ties in bfloat16.
        Case{3, 20000, options(0.7f, 20, 0.8f)}, Case{2, 20003, options(1, 300), {}, 1}, Case{2, 20000, options(1, 0, 1, 0.05f), {}, 2},
        Case{2, 20000, options(0.8f, 0, 0.7f), {}, 2}, Case{1, 151936, options(0.7f, 50, 0.95f, 0, 1.1f)}, Case{2, 30000, options(1, 0, 0.6f), {}, 1.5},
        // More is kept than the list can hold.
        Case{2, 12000, options(1, 9000), Draw::WholeRow, 1}, Case{2, 12000, options(1, 0, 0.95f), Draw::WholeRow, 0.5},
        Case{1, 12000, options(1, 10000, 0.97f, 0.3f), Draw::WholeRow, 0.5, at::kFloat}, Case{1, 12000, options(1, 0, 1, 0.01f), Draw::WholeRow, 0.5},
        // Logits so far apart that the histogram does not reach the last one that top-k keeps.
        Case{2, 9000, options(500, 2000), Draw::WholeRow, 1000}),
    [](const auto& info) { return testing::PrintToString(info.param) + "_" + std::to_string(info.index); });

TEST(SamplingTies, GoToTheSmallerIds)
{
    Tensor logits = at::zeros({3, 10000}, at::kBFloat16);
    logits[2].narrow(0, 0, 5000).fill_(-1);
    Batch batch(logits, {options(0), options(1, 20), options(1, 20)});
    batch.sample();
    EXPECT_EQ(batch.next[0], 0);
    for (std::size_t b : {1, 2}) {
        const int first = b == 1 ? 0 : 5000;
        EXPECT_EQ(batch.next[b], expectedToken(penalised(logits[std::int64_t(b)], batch.sequences[b], {}), batch.sequences[b], philox(0, 10, 0), Draw::WholeRow));
        EXPECT_GE(batch.next[b], first);
        EXPECT_LT(batch.next[b], first + 20);
    }
}

TEST(SamplingSigns, ZeroAndMinusZeroAreATie)
{
    Batch batch(at::tensor({-1.f, -0.f, 0.f}).reshape({1, 3}), {options(1, 1)});
    batch.sample();
    EXPECT_EQ(batch.next[0], 1);
}

TEST(SamplingNumbers, NotANumberIsNeverDrawn)
{
    const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
    Batch batch(at::tensor({nan, -infinity, -5.f, nan}).reshape({1, 4}).repeat({3, 1}), {options(0), options(1), options(1, 3, 0.9f)});
    batch.sample();
    EXPECT_THAT(batch.next, testing::Each(2));
}

/// 256 equal tokens: the draw is the top byte of the random bits. The generator's published answer for zeros has the words
/// 6627e8d5 e169c58d bc57ac4c 9b00dbd8.
TEST(SamplingRandom, FollowsThePublishedGenerator)
{
    Batch batch(at::zeros({1, 256}), {options(1)});
    batch.lengths[0] = 0;
    batch.sample();
    EXPECT_EQ(batch.next[0], 0xe1);
    EXPECT_EQ(philox(0, 0, 0), 0xe169c58d6627e8d5ull);
}

TEST(SamplingRandom, FrequenciesFollowTheProbabilities)
{
    const Tensor row = at::tensor({0.3f, 2.f, -1.f, 1.2f, 0.f, 1.9f, -3.f});
    constexpr std::int64_t kDraws = 1500;
    std::vector<Options> each(kDraws, options(0.9f, 5, 0.97f));
    for (std::size_t b = 0; b < each.size(); ++b)
        each[b].sequence = std::uint32_t(b);
    Batch batch(row.repeat({kDraws, 1}), each);
    batch.sample();
    std::map<int, int> counts;
    for (const int token : batch.next)
        ++counts[token];
    const auto kept = keptTokens(penalised(row, each[0], {}), each[0]);
    ASSERT_EQ(counts.size(), kept.size());
    double total = 0, chiSquare = 0;
    for (const auto& token : kept)
        total += token.second;
    for (const auto& [id, probability] : kept) {
        const double expected = probability / total * kDraws;
        chiSquare += (counts[id] - expected) * (counts[id] - expected) / expected;
    }
    EXPECT_LT(chiSquare, 18.5); // four degrees of freedom, one in a thousand
}

TEST(SamplingAndTheCpuSampler, KeepTheSameTokens)
{
    at::manual_seed(8);
    constexpr int kDraws = 250;
    for (const Options& o : {options(1, 6), options(1.2f, 0, 0.7f), options(0.8f, 20, 0.9f, 0.1f), options(1, 0, 1, 0.2f, 1.4f)}) {
        const Tensor row = at::randn({48}) * 1.5;
        const std::vector<std::int64_t> seen = {1, 5, 17, 17, 40};
        postnas::engine::SamplingOptions cpu;
        cpu.temperature = o.temperature;
        cpu.topK = o.topK;
        cpu.topP = o.topP;
        cpu.minP = o.minP;
        cpu.repetitionPenalty = o.repetitionPenalty;
        postnas::engine::Sampler sampler(cpu);
        std::set<int> expected, actual;
        for (int i = 0; i < 20 * kDraws; ++i) {
            std::vector<float> logits(row.const_data_ptr<float>(), row.const_data_ptr<float>() + 48);
            expected.insert(int(sampler.next(logits, seen)));
        }
        std::vector<Options> each(kDraws, o);
        for (std::size_t b = 0; b < each.size(); ++b)
            each[b].sequence = std::uint32_t(b);
        Batch batch(row.repeat({kDraws, 1}), each);
        const std::vector<std::int32_t> ids = {1, 5, 17, 17, 40};
        for (std::int64_t b = 0; b < kDraws; ++b)
            ASSERT_EQ(cuda::launchMarkSeen(ids.data(), 1, 5, nullptr, 48, batch.seen.data() + b * postnas::ops::seenWords(48), nullptr), cudaSuccess);
        batch.sample();
        actual.insert(batch.next.begin(), batch.next.end());
        EXPECT_GT(actual.size(), 2u);
        EXPECT_EQ(actual, expected);
    }
}

TEST(SamplingEnds, AtStopIdsAndLengthLimits)
{
    Tensor logits = at::zeros({5, 40});
    for (std::int64_t b = 0; b < 5; ++b)
        logits[b][b * 7 + 3] = 9; // 3, 10, 17, 24, 31
    std::vector<Options> each(5);
    each[2].lengthLimit = 11;
    each[3].lengthLimit = 12;
    Batch batch(logits, each);
    batch.finished[4] = 1;
    const std::vector<std::int32_t> stops = {2, 10};
    std::vector<std::int32_t> history(5 * 12, -1);
    cuda::SampleProblem p = batch.problem();
    p.stopIds = stops.data();
    p.stopCount = 2;
    p.padId = 39;
    p.history = history.data();
    p.historyCapacity = 12;
    ASSERT_EQ(cuda::launchSample(p, nullptr), cudaSuccess);
    EXPECT_THAT(batch.next, testing::ElementsAre(3, 10, 17, 24, 39));
    EXPECT_THAT(batch.lengths, testing::ElementsAre(11, 11, 11, 11, 10));
    EXPECT_THAT(batch.finished, testing::ElementsAre(0, 1, 1, 0, 1));
    ASSERT_EQ(cuda::launchSample(p, nullptr), cudaSuccess);
    ASSERT_EQ(cuda::launchSample(p, nullptr), cudaSuccess);
    EXPECT_THAT(batch.next, testing::ElementsAre(3, 39, 39, 39, 39));
    EXPECT_THAT(batch.lengths, testing::ElementsAre(13, 11, 11, 12, 10));
    EXPECT_THAT(batch.finished, testing::ElementsAre(0, 1, 1, 1, 1));
    // The first sequence's third token has no place left; nothing is written behind its row.
    std::vector<std::int32_t> expected(60, -1);
    expected[10] = expected[11] = 3;
    expected[22] = 10;
    expected[34] = 17;
    expected[46] = expected[47] = 24;
    EXPECT_EQ(history, expected);
    EXPECT_EQ(batch.seen, (std::vector<std::uint32_t>{1u << 3, 0, 1u << 10, 0, 1u << 17, 0, 1u << 24, 0, 0, 0}));
}

TEST(SamplingSeen, LeavesOutPaddingAndForeignIds)
{
    const std::vector<std::int32_t> ids = {0, 35, 39, -1, 40, 7, 5, 5, 6, 1, 1, 1}, counts = {6, 2};
    std::vector<std::uint32_t> seen(4, 0);
    ASSERT_EQ(cuda::launchMarkSeen(ids.data(), 2, 6, counts.data(), 40, seen.data(), nullptr), cudaSuccess);
    EXPECT_EQ(seen, (std::vector<std::uint32_t>{1u | 1u << 7, 1u << 3 | 1u << 7, 1u << 5, 0}));
}

TEST(SamplingEmptyBatch, IsNoError)
{
    cuda::SampleProblem p;
    p.vocabulary = 10;
    EXPECT_EQ(cuda::launchSample(p, nullptr), cudaSuccess);
    p.vocabulary = 0;
    EXPECT_EQ(cuda::launchSample(p, nullptr), cudaErrorInvalidValue);
}

} // namespace
