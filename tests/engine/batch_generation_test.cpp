// Generating for many prompts together gives each what it gets alone, whatever runs beside it.
#include "core/engine/generation/batch_generation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/architecture/block_description.h"
#include "core/base/error.h"
#include "core/huggingface/tokenizer.h"
#include "tests/engine/small_architecture.h"
#include "tests/support/support.h"

namespace postnas::engine {
namespace {

using Ids = std::vector<std::int64_t>;

std::unique_ptr<HybridModel> hybrid()
{
    Architecture a = smallSizes();
    a.initializerRange = 0.3; // far from uniform logits
    LayerSpec window = blockNamed("sliding_window").defaultLayer(a);
    window.parameters["window_size"] = 5;
    a.layers = {blockNamed("jet").defaultLayer(a), blockNamed("attention").defaultLayer(a), window};
    return HybridModel::random(a, 5, torch::kCPU, torch::kFloat32);
}

Ids prompt(std::int64_t length, std::int64_t seed)
{
    Ids out;
    for (std::int64_t i = 0; i < length; ++i)
        out.push_back((i * i * 7 + seed * 13 + i) % 61);
    return out;
}

/// The most likely tokens by the plain loop: no batch, no recorded step, no sampling on the device.
Ids greedy(const HybridModel& model, const Ids& ids, std::int64_t count)
{
    const torch::InferenceMode guard;
    ModelState state = model.makeState(1, static_cast<std::int64_t>(ids.size()) + count);
    torch::Tensor hidden = model.extend(torch::tensor(ids).unsqueeze(0), state);
    Ids out;
    while (static_cast<std::int64_t>(out.size()) < count) {
        out.push_back(model.logits(hidden.select(1, hidden.size(1) - 1)).argmax(-1).item<std::int64_t>());
        hidden = model.extend(torch::tensor(Ids {out.back()}).unsqueeze(0), state);
    }
    return out;
}

std::vector<GenerationResult> together(const HybridModel& model, const std::vector<PromptRequest>& prompts, std::int64_t batch, const GenerateOptions& options = {},
                                       const std::function<bool(std::size_t, const StreamPiece&)>& onPiece = {}, const CancellationToken& cancellation = {})
{
    return generateTogether(model, nullptr, nullptr, prompts, options, batch, onPiece, cancellation);
}

TEST(GenerateTogether, EachPromptGetsTheTokensOfThePlainLoop)
{
    const auto model = hybrid();
    std::vector<PromptRequest> prompts;
    for (const auto& [length, count] : std::vector<std::pair<int, int>> {{4, 9}, {1, 1}, {23, 4}, {7, 0}, {2, 15}, {11, 2}, {5, 6}})
        prompts.push_back({prompt(length, length), count, {}});
    GenerateOptions options;
    options.prefillChunk = 3;
    for (const std::int64_t batch : {1, 3, 50}) {
        const auto results = together(*model, prompts, batch, options);
        ASSERT_EQ(results.size(), prompts.size());
        for (std::size_t i = 0; i < prompts.size(); ++i) {
            EXPECT_EQ(results[i].tokens, greedy(*model, prompts[i].ids, prompts[i].maxNewTokens)) << "prompt " << i << ", batch " << batch;
            EXPECT_EQ(results[i].finishReason, "length");
            EXPECT_EQ(results[i].promptTokens, static_cast<std::int64_t>(prompts[i].ids.size()));
        }
    }
}

TEST(GenerateTogether, AStopIdEndsItsSequenceAlone)
{
    const auto model = hybrid();
    const std::vector<PromptRequest> prompts = {{prompt(4, 1), 20, {}}, {prompt(6, 2), 20, {}}, {prompt(9, 3), 20, {}}};
    GenerateOptions options;
    options.stopIds = {greedy(*model, prompts[1].ids, 20)[7]};
    const auto results = together(*model, prompts, 3, options);
    for (std::size_t i = 0; i < prompts.size(); ++i) {
        Ids expected = greedy(*model, prompts[i].ids, 20);
        const auto stop = std::find(expected.begin(), expected.end(), options.stopIds[0]);
        EXPECT_EQ(results[i].finishReason, stop == expected.end() ? "length" : "stop");
        expected.erase(stop, expected.end());
        EXPECT_EQ(results[i].tokens, expected) << "prompt " << i;
    }
    EXPECT_LE(results[1].tokens.size(), 7u);
}

TEST(GenerateTogether, ASeedGivesTheSameTokensWhateverRunsBeside)
{
    const auto model = hybrid();
    SamplingOptions sampling;
    sampling.temperature = 1.5;
    sampling.topK = 40;
    sampling.topP = 0.95;
    sampling.repetitionPenalty = 1.3;
    std::vector<PromptRequest> prompts;
    for (std::uint64_t seed = 0; seed < 6; ++seed) {
        sampling.seed = seed;
        prompts.push_back({prompt(5, 1), 12, sampling});
    }
    prompts.push_back({prompt(8, 4), 20, {}});
    const auto all = together(*model, prompts, 4);
    std::set<Ids> different;
    for (std::size_t i = 0; i < prompts.size(); ++i) {
        EXPECT_EQ(all[i].tokens, together(*model, {prompts[i]}, 1)[0].tokens) << "prompt " << i;
        different.insert(all[i].tokens);
    }
    EXPECT_GT(different.size(), 4u);
    // A strong penalty forbids repetitions, those of the prompt too.
    sampling.repetitionPenalty = 1e6;
    sampling.temperature = 0;
    const auto unique = together(*model, {{prompt(5, 1), 30, sampling}}, 1)[0].tokens;
    const Ids start = prompt(5, 1);
    std::set<std::int64_t> seen(start.begin(), start.end());
    for (const std::int64_t id : unique)
        EXPECT_TRUE(seen.insert(id).second) << id;
}

TEST(GenerateTogether, StreamsInOrderAndStopsWhereTheListenerSays)
{
    const auto model = hybrid();
    const std::vector<PromptRequest> prompts = {{prompt(4, 1), 10, {}}, {prompt(6, 2), 10, {}}, {prompt(3, 3), 10, {}}};
    std::vector<Ids> streamed(3);
    const auto results = together(*model, prompts, 2, {}, [&](std::size_t index, const StreamPiece& piece) {
        streamed[index].push_back(piece.tokenId);
        return !(index == 0 && streamed[0].size() == 3);
    });
    for (std::size_t i = 0; i < 3; ++i)
        EXPECT_EQ(streamed[i], results[i].tokens);
    EXPECT_EQ(results[0].finishReason, "cancelled");
    EXPECT_EQ(results[0].tokens.size(), 3u);
    EXPECT_EQ(results[2].tokens, greedy(*model, prompts[2].ids, 10));
}

TEST(GenerateTogether, CancellingKeepsWhatWasMade)
{
    const auto model = hybrid();
    CancellationToken cancellation;
    const std::vector<PromptRequest> prompts = {{prompt(4, 1), 30, {}}, {prompt(6, 2), 30, {}}, {prompt(3, 3), 30, {}}};
    const auto results = together(*model, prompts, 2, {}, [&](std::size_t index, const StreamPiece&) {
        static int pieces = 0;
        if (index == 1 && ++pieces == 5)
            cancellation.cancel();
        return true;
    }, cancellation);
    EXPECT_EQ(results[1].finishReason, "cancelled");
    EXPECT_GE(results[1].tokens.size(), 5u);
    EXPECT_LT(results[1].tokens.size(), 30u);
    EXPECT_EQ(results[2].finishReason, "cancelled");
    EXPECT_TRUE(results[2].tokens.empty());
}

TEST(GenerateTogether, BadRequestsAreNamed)
{
    const auto model = hybrid();
    EXPECT_THROW(together(*model, {{{}, 3, {}}}, 1), Error);
    EXPECT_THROW(together(*model, {{{61}, 3, {}}}, 1), Error);
    EXPECT_THROW(together(*model, {{{1}, -1, {}}}, 1), Error);
    EXPECT_THROW(together(*model, {{{1}, 1, {}}}, 0), Error);
    SamplingOptions sampling;
    sampling.topP = 0;
    EXPECT_THROW(together(*model, {{{1}, 1, sampling}}, 1), Error);
    EXPECT_TRUE(together(*model, {}, 4).empty());
}

TEST(GenerateTogether, TextAndStopStringsAreThoseOfASingleGeneration)
{
    const auto model = LanguageModel::open(test::sourceFolder() / "projects" / "quickstart" / "model");
    GenerateOptions options = model->defaultGenerateOptions();
    options.maxNewTokens = 24;
    const std::vector<std::string> texts = {"1+2=", "the ", "a b c", "7"};
    std::vector<PromptRequest> prompts;
    for (const std::string& text : texts) {
        const auto ids = model->tokenizer()->encode(text);
        prompts.push_back({Ids(ids.begin(), ids.end()), options.maxNewTokens, {}});
    }
    const std::string whole = model->generate(prompts[1].ids, options).text;
    ASSERT_GT(whole.size(), 6u);
    options.stopStrings = {whole.substr(3, 3)};
    const auto results = model->generateTogether(prompts, options, 3);
    for (std::size_t i = 0; i < prompts.size(); ++i) {
        const GenerationResult alone = model->generate(prompts[i].ids, options);
        EXPECT_EQ(results[i].text, alone.text) << texts[i];
        EXPECT_EQ(results[i].tokens, alone.tokens) << texts[i];
        EXPECT_EQ(results[i].finishReason, alone.finishReason) << texts[i];
    }
    EXPECT_EQ(results[1].finishReason, "stop");
}

} // namespace
} // namespace postnas::engine
