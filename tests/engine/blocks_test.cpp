// The recurrent blocks: stored reference numbers in one pass, in chunks and token by token; initial values; taking over a
// teacher's projections; gradients through a whole block.
#include "core/engine/blocks/block.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/architecture/block_description.h"
#include "core/engine/benchmark/operator_checks.h"
#include "tests/support/support.h"

namespace postnas::engine {
namespace {

using torch::Tensor;

Architecture tinyArchitecture(const std::string& block)
{
    Architecture a;
    a.vocabularySize = 32;
    a.hiddenSize = 24;
    a.intermediateSize = 32;
    a.attentionHeads = 4;
    a.keyValueHeads = 2;
    a.headDim = 6;
    a.layers = {LayerSpec {}};
    a.layers = {blockNamed(block).defaultLayer(a)};
    return a;
}

std::unique_ptr<Block> initialised(const Architecture& a, std::uint64_t seed, torch::ScalarType type = torch::kFloat32)
{
    auto block = makeBlock(a, 0);
    torch::Generator generator = at::detail::createCPUGenerator(seed);
    block->initialise(generator, torch::TensorOptions().dtype(type));
    return block;
}

TEST(BlockCases, AgreeWithReferenceNumbersHoweverTheyAreFed)
{
    std::vector<std::string> checked;
    for (const BlockCheck& c : checkBlockCases(test::testData("blocks"), "cpu")) {
        if (!c.known)
            continue;
        checked.push_back(c.name);
        EXPECT_LT(c.onePass, 1e-4) << c.name;
        EXPECT_LT(c.chunks, 1e-4) << c.name;
        EXPECT_LT(c.tokenByToken, 1e-4) << c.name;
        EXPECT_TRUE(c.passed) << c.name;
    }
    EXPECT_THAT(checked, testing::IsSupersetOf({"gla", "gated_delta_net", "gated_delta_net_96x256"}));
}

class RecurrentBlocks : public testing::TestWithParam<std::string> {};

TEST_P(RecurrentBlocks, AnyCutGivesTheSameOutput)
{
    const Architecture a = tinyArchitecture(GetParam());
    const auto block = initialised(a, 3);
    const torch::NoGradGuard guard;
    torch::manual_seed(1);
    const Tensor x = torch::randn({2, 23, a.hiddenSize});
    const Tensor whole = block->forward(x, {}, nullptr);
    ASSERT_EQ(whole.sizes(), x.sizes());
    ASSERT_GT(whole.abs().max().item<double>(), 1e-6);
    const auto state = block->makeState(2, 23, x.options());
    const std::int64_t held = state->bytes();
    EXPECT_GT(held, 0);
    // Twice, so that `reset` is seen to forget everything.
    for (int round = 0; round < 2; ++round) {
        state->reset();
        std::vector<Tensor> parts;
        std::int64_t at = 0;
        for (const std::int64_t length : {1, 2, 5, 1, 14})
            parts.push_back(block->forward(x.narrow(1, std::exchange(at, at + length), length), {}, state.get()));
        EXPECT_LT((torch::cat(parts, 1) - whole).abs().max().item<double>(), 1e-5);
        EXPECT_EQ(state->bytes(), held);
    }
    // An empty piece changes nothing.
    const auto other = block->makeState(2, 23, x.options());
    EXPECT_EQ(block->forward(x.narrow(1, 0, 0), {}, other.get()).size(1), 0);
    EXPECT_LT((block->forward(x, {}, other.get()) - whole).abs().max().item<double>(), 1e-5);
}

TEST_P(RecurrentBlocks, StateBytesAreTheDescriptions)
{
    const Architecture a = tinyArchitecture(GetParam());
    const auto block = initialised(a, 3);
    const auto state = block->makeState(3, 64, torch::TensorOptions().dtype(torch::kBFloat16));
    const StateSize size = layerStateSize(a, 0, 64);
    EXPECT_EQ(state->bytes(), std::int64_t(3 * (size.recurrentBytes + size.convolutionBytes)));
}

TEST_P(RecurrentBlocks, EveryWeightGetsAGradient)
{
    const Architecture a = tinyArchitecture(GetParam());
    const auto block = initialised(a, 5);
    std::vector<Tensor> weights;
    std::vector<std::string> names;
    for (const auto& [name, value] : block->weights()) {
        const Tensor leaf = value.detach().clone().requires_grad_();
        names.push_back(name);
        weights.push_back(leaf);
    }
    for (std::size_t i = 0; i < names.size(); ++i)
        block->setWeight(names[i], weights[i]);
    torch::manual_seed(2);
    const Tensor x = torch::randn({2, 11, a.hiddenSize}).requires_grad_();
    const Tensor y = block->forward(x, {}, nullptr);
    weights.push_back(x);
    names.emplace_back("input");
    const auto gradients = torch::autograd::grad({(y * torch::randn_like(y)).sum()}, weights);
    for (std::size_t i = 0; i < names.size(); ++i) {
        EXPECT_TRUE(gradients[i].isfinite().all().item<bool>()) << names[i];
        EXPECT_GT(gradients[i].abs().max().item<double>(), 0.0) << names[i];
    }
}

TEST_P(RecurrentBlocks, SeedsRepeatAndDiffer)
{
    const Architecture a = tinyArchitecture(GetParam());
    const auto one = initialised(a, 7), same = initialised(a, 7), other = initialised(a, 8);
    for (const WeightSpec& w : blockNamed(GetParam()).weights(a, a.layers[0])) {
        EXPECT_EQ(one->weight(w.name).sizes(), at::IntArrayRef(w.shape)) << w.name;
        EXPECT_TRUE(torch::equal(one->weight(w.name), same->weight(w.name))) << w.name;
    }
    EXPECT_FALSE(torch::equal(one->weight("q_proj.weight"), other->weight("q_proj.weight")));
    if (one->hasWeight("A_log")) {
        EXPECT_FALSE(torch::equal(one->weight("A_log"), other->weight("A_log")));
        // A in [1, 16]; the step size softplus(dt_bias) in [0.001, 0.1].
        const Tensor rate = one->weight("A_log").exp(), step = at::softplus(one->weight("dt_bias"));
        EXPECT_GE(rate.min().item<double>(), 1.0 - 1e-5);
        EXPECT_LE(rate.max().item<double>(), 16.0 + 1e-4);
        EXPECT_GE(step.min().item<double>(), 0.001 - 1e-6);
        EXPECT_LE(step.max().item<double>(), 0.1 + 1e-5);
    }
}

TEST_P(RecurrentBlocks, Bfloat16StaysClose)
{
    const Architecture a = tinyArchitecture(GetParam());
    const auto exact = initialised(a, 9), rounded = initialised(a, 9, torch::kBFloat16);
    const torch::NoGradGuard guard;
    torch::manual_seed(4);
    const Tensor x = torch::randn({1, 20, a.hiddenSize});
    const Tensor y = exact->forward(x, {}, nullptr), z = rounded->forward(x.to(torch::kBFloat16), {}, nullptr);
    EXPECT_EQ(z.scalar_type(), torch::kBFloat16);
    EXPECT_LT((z.to(torch::kFloat32) - y).norm().item<double>(), 0.05 * y.norm().item<double>());
}

INSTANTIATE_TEST_SUITE_P(Blocks, RecurrentBlocks, testing::Values("gla", "gated_delta_net", "jet"),
                         [](const auto& info) { return info.param; });

TEST(BlockInitialisation, GlaTakesAllFourProjectionsOfItsTeacher)
{
    Architecture a = tinyArchitecture("attention");
    a.layers.push_back(blockNamed("gla").defaultLayer(a));
    const auto teacher = initialised(a, 11);
    const auto student = makeBlock(a, 1);
    torch::Generator generator = at::detail::createCPUGenerator(12);
    student->initialise(generator, torch::TensorOptions().dtype(torch::kFloat32));
    EXPECT_THAT(student->initialiseFrom(*teacher),
                testing::UnorderedElementsAre("q_proj.weight", "k_proj.weight", "v_proj.weight", "o_proj.weight"));
    EXPECT_TRUE(torch::equal(student->weight("k_proj.weight"), teacher->weight("k_proj.weight")));
    // A copy: training the student must not change the teacher.
    EXPECT_NE(student->weight("k_proj.weight").data_ptr(), teacher->weight("k_proj.weight").data_ptr());
}

TEST(BlockInitialisation, JetTakesOnlyWhatFits)
{
    Architecture a = tinyArchitecture("attention");
    a.layers.push_back(blockNamed("jet").defaultLayer(a)); // values twice as wide; keys for all four heads
    const auto teacher = initialised(a, 11);
    const auto student = makeBlock(a, 1);
    torch::Generator generator = at::detail::createCPUGenerator(12);
    student->initialise(generator, torch::TensorOptions().dtype(torch::kFloat32));
    EXPECT_THAT(student->initialiseFrom(*teacher), testing::ElementsAre("q_proj.weight"));
}

} // namespace
} // namespace postnas::engine
