// Decoding a batch of sequences of different lengths gives each the logits that it gets alone.
#include "core/engine/generation/decode_batch.h"

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "tests/engine/small_architecture.h"

namespace postnas::engine {
namespace {

using torch::Tensor;

class DecodeBatches : public testing::TestWithParam<std::tuple<std::string, bool>> {};

TEST_P(DecodeBatches, EachSequenceGetsTheLogitsThatItGetsAlone)
{
    const auto& [block, queryKeyNorm] = GetParam();
    const auto model = HybridModel::random(architectureWith(block, queryKeyNorm), 11, torch::kCPU, torch::kFloat32);
    const torch::InferenceMode guard;
    constexpr std::int64_t kCapacity = 40, kSteps = 12;
    torch::manual_seed(3);
    // Prompts shorter and longer than the window of 5, one of a single token.
    const std::vector<std::int64_t> prompts = {9, 1, 17};
    DecodeBatch batch(*model, 3, kCapacity);
    std::vector<ModelState> alone;
    for (std::size_t row = 0; row < prompts.size(); ++row) {
        alone.push_back(model->makeState(1, kCapacity));
        model->extend(torch::randint(61, {1, prompts[row]}), alone.back());
        batch.assign(static_cast<std::int64_t>(row), alone.back());
    }
    const std::int64_t bytes = batch.stateBytes();
    for (std::int64_t step = 0; step < kSteps; ++step) {
        const Tensor ids = torch::randint(61, {3});
        const Tensor logits = batch.step(ids);
        ASSERT_EQ(logits.sizes(), (std::vector<std::int64_t>{3, 61}));
        for (std::int64_t row = 0; row < 3; ++row) {
            const Tensor expected = model->logits(model->extend(ids.narrow(0, row, 1).unsqueeze(0), alone[static_cast<std::size_t>(row)]));
            EXPECT_LT((logits[row] - expected[0][0]).abs().max().item<double>(), 1e-5) << "row " << row << ", step " << step;
            EXPECT_EQ(batch.lengths()[row].item<std::int64_t>(), prompts[static_cast<std::size_t>(row)] + step + 1);
        }
    }
    EXPECT_EQ(batch.stateBytes(), bytes);
}

INSTANTIATE_TEST_SUITE_P(All, DecodeBatches,
                         testing::Combine(testing::Values("attention", "sliding_window", "gla", "gated_delta_net", "jet"), testing::Bool()));

TEST_P(DecodeBatches, ProjectionsInOneStorageKeepTheirNamesAndGiveTheSameStep)
{
    const auto& [block, queryKeyNorm] = GetParam();
    const auto model = HybridModel::random(architectureWith(block, queryKeyNorm), 12, torch::kCPU, torch::kFloat32);
    const torch::InferenceMode guard;
    torch::manual_seed(4);
    const Tensor first = torch::randint(61, {2}), second = torch::randint(61, {2});
    const auto stepped = [&] {
        DecodeBatch batch(*model, 2, 4);
        batch.step(first);
        return batch.step(second).clone();
    };
    const Tensor expected = stepped();
    std::vector<std::pair<std::string, Tensor>> before = model->namedWeights();
    for (auto& [name, value] : before)
        value = value.clone();
    model->joinProjections();
    const auto after = model->namedWeights();
    ASSERT_EQ(after.size(), before.size());
    for (std::size_t i = 0; i < after.size(); ++i) {
        EXPECT_EQ(after[i].first, before[i].first);
        EXPECT_TRUE(torch::equal(after[i].second, before[i].second)) << after[i].first;
    }
    const LayerWeights& layer = model->layerWeights(0);
    EXPECT_TRUE(layer.gate.is_alias_of(layer.up));
    EXPECT_TRUE(model->block(0).weight("q_proj.weight").is_alias_of(model->block(0).weight("v_proj.weight")));
    EXPECT_LT((stepped() - expected).abs().max().item<double>(), 1e-5);

    // A weight that is set later stands apart and counts.
    const std::string name = "model.layers.1.self_attn.q_proj.weight";
    const Tensor other = model->block(1).weight("q_proj.weight") * -1;
    model->setWeight(name, other);
    const Tensor changed = stepped();
    EXPECT_GT((changed - expected).abs().max().item<double>(), 1e-4);
    for (const auto& [each, value] : before)
        model->setWeight(each, each == name ? other : value);
    EXPECT_LT((stepped() - changed).abs().max().item<double>(), 1e-5);
}

TEST(DecodeBatch, OtherMixersTakeThePlaceOfTheModels)
{
    const auto model = HybridModel::random(architectureWith("attention", true), 21, torch::kCPU, torch::kFloat32);
    for (const char* block : {"jet", "sliding_window", "gla"}) {
        const auto other = HybridModel::random(architectureWith(block, true), 22, torch::kCPU, torch::kFloat32);
        const std::vector<const Block*> mixers = {&other->block(0), &model->block(1), &other->block(2)};
        const torch::InferenceMode guard;
        torch::manual_seed(6);
        DecodeBatch batch(*model, 1, 20, &mixers), own(*model, 1, 20);
        ModelState state = model->makeState(1, 20, &mixers);
        const Tensor prompt = torch::randint(61, {1, 9});
        model->extend(prompt, state, &mixers);
        batch.assign(0, state);
        ModelState ownState = model->makeState(1, 20);
        model->extend(prompt, ownState);
        own.assign(0, ownState);
        for (int step = 0; step < 6; ++step) {
            const Tensor ids = torch::randint(61, {1});
            const Tensor expected = model->logits(model->extend(ids.unsqueeze(0), state, &mixers))[0][0];
            const Tensor logits = batch.step(ids)[0];
            EXPECT_LT((logits - expected).abs().max().item<double>(), 1e-5) << block << ", step " << step;
            EXPECT_GT((own.step(ids)[0] - expected).abs().max().item<double>(), 1e-3) << block << ", step " << step;
        }
    }
}

TEST(DecodeBatch, RecurrentStatesCanBeHeldInBFloat16)
{
    for (const std::string block : {"gla", "gated_delta_net", "jet"}) {
        const auto model = HybridModel::random(architectureWith(block, false), 11, torch::kCPU, torch::kFloat32);
        const auto narrow = HybridModel::random(architectureWith(block, false), 11, torch::kCPU, torch::kFloat32);
        narrow->holdRecurrentStatesIn(torch::kBFloat16);
        const torch::InferenceMode guard;
        torch::manual_seed(4);
        const Tensor prompt = torch::randint(61, {1, 20});
        std::vector<Tensor> logits;
        std::vector<std::int64_t> bytes;
        for (const HybridModel* m : {model.get(), narrow.get()}) {
            ModelState state = m->makeState(1, 40);
            m->extend(prompt.narrow(1, 0, 9), state);
            m->extend(prompt.narrow(1, 9, 11), state);
            bytes.push_back(state.bytes());
            DecodeBatch batch(*m, 1, 40);
            batch.assign(0, state);
            torch::Tensor last;
            for (std::int64_t step = 0; step < 5; ++step)
                last = batch.step(torch::full({1}, step, torch::kInt64)).clone();
            logits.push_back(last);
        }
        const StateSize size = stateSize(model->architecture(), 40, {4, 4}), half = stateSize(model->architecture(), 40, {4, 2});
        EXPECT_EQ(bytes[0] - bytes[1], static_cast<std::int64_t>(size.total() - half.total())) << block;
        const double difference = (logits[1] - logits[0]).abs().max().item<double>() / logits[0].abs().max().item<double>();
        EXPECT_GT(difference, 0) << block;
        EXPECT_LT(difference, 2e-2) << block;
    }
}

TEST(DecodeBatch, DynamicRopeAndPromptsThatAreTooLongAreRefused)
{
    Architecture a = architectureWith("gla", false);
    const auto model = HybridModel::random(a, 1, torch::kCPU, torch::kFloat32);
    const torch::InferenceMode guard;
    DecodeBatch batch(*model, 1, 4);
    ModelState prompt = model->makeState(1, 8);
    model->extend(torch::zeros({1, 6}, torch::kInt64), prompt);
    EXPECT_THROW(batch.assign(0, prompt), Error);
    a.ropeScaling.kind = RopeScaling::Kind::Dynamic;
    a.ropeScaling.factor = 2;
    const auto dynamic = HybridModel::random(a, 1, torch::kCPU, torch::kFloat32);
    EXPECT_THROW(DecodeBatch(*dynamic, 1, 4), Error);
}

} // namespace
} // namespace postnas::engine
