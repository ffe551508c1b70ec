// What training stands on: the head's losses by slices, layers that run twice, masters and copies, and the optimizer's steps.
#include <filesystem>
#include <set>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "core/architecture/block_description.h"
#include "core/base/json.h"
#include "core/engine/model/tensor_io.h"
#include "core/engine/postnas/supernet_training.h"
#include "core/engine/training/head_loss.h"
#include "core/engine/training/recomputation.h"
#include "core/huggingface/model_config.h"
#include "tests/support/support.h"

namespace postnas::engine {
namespace {

/// Sees every allocation of the CPU.
struct LargestAllocation : c10::MemoryReportingInfoBase {
    void reportMemoryUsage(void*, std::int64_t size, std::size_t, std::size_t, c10::Device) override { largest = std::max(largest, size); }
    bool memoryProfilingEnabled() const override { return true; }
    std::int64_t largest = 0;
};

struct HeadCase {
    torch::Tensor hidden, head;
    HeadTargets targets;

    explicit HeadCase(std::int64_t tokens, std::int64_t width, std::int64_t vocabulary, torch::ScalarType type = torch::kFloat64)
    {
        torch::manual_seed(5);
        hidden = torch::randn({tokens, width}, type).requires_grad_();
        head = torch::randn({vocabulary, width}, type).requires_grad_();
        targets.weights = torch::rand({tokens}, type);
        targets.weights[0] = 0;
        targets.ids = torch::randint(vocabulary, {tokens});
        targets.teacherHidden = torch::randn({tokens, width + 3}, type);
        targets.teacherHead = torch::randn({vocabulary, width + 3}, type);
        targets.scale = 0.7;
        targets.crossEntropy = 0.4;
        targets.divergence = 1.3;
        targets.temperature = 2.5;
    }

    /// The formula over all tokens at once.
    torch::Tensor plain() const
    {
        const torch::Tensor logits = at::linear(hidden, head), t = targets.temperature * torch::ones({}, hidden.options());
        const torch::Tensor ce = -at::log_softmax(logits, -1).gather(1, targets.ids.unsqueeze(1)).squeeze(1);
        const torch::Tensor p = at::log_softmax(at::linear(targets.teacherHidden, targets.teacherHead) / t, -1);
        const torch::Tensor kl = (p.exp() * (p - at::log_softmax(logits / t, -1))).sum(-1) * t * t;
        return ((ce * targets.crossEntropy + kl * targets.divergence) * targets.weights).sum() * targets.scale;
    }
};

TEST(HeadLoss, SlicesGiveTheWholeFormulaAndItsGradients)
{
    for (const std::int64_t tokens : {1, 7, 12}) {
        const HeadCase c(tokens, 5, 11);
        const torch::Tensor expected = c.plain();
        const auto gradients = torch::autograd::grad({expected * 3}, {c.hidden, c.head});
        for (const std::int64_t slice : {1, 11, 33, 1000}) {
            const torch::Tensor loss = headLoss(c.hidden, c.head, c.targets, slice);
            EXPECT_NEAR(loss.item<double>(), expected.item<double>(), 1e-12) << tokens << " tokens, slices of " << slice;
            const auto found = torch::autograd::grad({loss * 3}, {c.hidden, c.head});
            EXPECT_LT((found[0] - gradients[0]).abs().max().item<double>(), 1e-12);
            EXPECT_LT((found[1] - gradients[1]).abs().max().item<double>(), 1e-12);
        }
    }
}

TEST(HeadLoss, GradientsAreThoseOfFiniteDifferences)
{
    HeadCase c(4, 3, 6);
    headLoss(c.hidden, c.head, c.targets, 12).backward();
    const torch::NoGradGuard guard;
    constexpr double kStep = 1e-6;
    for (torch::Tensor* input : {&c.hidden, &c.head}) {
        const torch::Tensor flat = input->view(-1), gradient = input->grad().view(-1);
        for (std::int64_t i = 0; i < flat.numel(); ++i) {
            flat[i] += kStep;
            const double above = headLoss(c.hidden, c.head, c.targets, 12).item<double>();
            flat[i] -= 2 * kStep;
            const double below = headLoss(c.hidden, c.head, c.targets, 12).item<double>();
            flat[i] += kStep;
            EXPECT_NEAR(gradient[i].item<double>(), (above - below) / (2 * kStep), 1e-7);
        }
    }
}

TEST(HeadLoss, AFrozenHeadGetsNoGradientAndNoMemory)
{
    const HeadCase c(64, 4, 500, torch::kFloat32);
    c.head.requires_grad_(false);
    const auto seen = std::make_shared<LargestAllocation>();
    {
        const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, seen);
        headLoss(c.hidden, c.head, c.targets, 8 * 500).backward();
    }
    EXPECT_FALSE(c.head.grad().defined());
    EXPECT_TRUE(c.hidden.grad().defined());
    EXPECT_GE(seen->largest, 8 * 500 * 4);
    EXPECT_LE(seen->largest, 8 * 500 * 4 + 64) << "logits of more than a slice were stored";
}

TEST(HeadLoss, BFloat16StaysCloseToFloat32)
{
    const HeadCase c(24, 16, 40, torch::kFloat32);
    const torch::Tensor expected = c.plain();
    const auto gradients = torch::autograd::grad({expected}, {c.hidden, c.head});
    HeadTargets targets = c.targets;
    targets.teacherHidden = targets.teacherHidden.to(torch::kBFloat16);
    targets.teacherHead = targets.teacherHead.to(torch::kBFloat16);
    const torch::Tensor hidden = c.hidden.detach().to(torch::kBFloat16).requires_grad_(), head = c.head.detach().to(torch::kBFloat16).requires_grad_();
    const torch::Tensor loss = headLoss(hidden, head, targets, 5 * 40);
    EXPECT_EQ(loss.scalar_type(), torch::kFloat32);
    EXPECT_NEAR(loss.item<double>() / expected.item<double>(), 1, 0.02);
    const auto found = torch::autograd::grad({loss}, {hidden, head});
    for (int i = 0; i < 2; ++i) {
        EXPECT_EQ(found[i].scalar_type(), torch::kBFloat16);
        EXPECT_LT(((found[i] - gradients[i]).norm() / gradients[i].norm()).item<double>(), 0.05);
    }
}

Architecture tiny()
{
    return parseModelConfig(parseJson(R"({"model_type": "qwen2", "vocab_size": 40, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64, "hidden_act": "silu", "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0, "tie_word_embeddings": true})", "test"), "test");
}

struct Net {
    std::shared_ptr<const HybridModel> teacher;
    std::unique_ptr<Supernet> supernet;
    torch::Tensor ids = torch::randint(40, {2, 13}), valid = torch::ones({2, 13}, torch::kBool);

    explicit Net(const std::string& block, torch::ScalarType type = torch::kFloat32)
    {
        torch::manual_seed(3);
        ids = torch::randint(40, {2, 13});
        teacher = HybridModel::random(tiny(), 1, torch::kCPU, type);
        supernet = std::make_unique<Supernet>(teacher, blockNamed(block).defaultLayer(teacher->architecture()), true, 2);
    }
};

TEST(Recomputation, LayersThatRunTwiceGiveTheSameGradients)
{
    for (const std::string block : {"gla", "gated_delta_net", "jet"}) {
        Net net(block, torch::kFloat64);
        std::vector<std::vector<torch::Tensor>> gradients;
        std::vector<double> losses;
        for (const RecomputeChoice choice : {RecomputeChoice::Never, RecomputeChoice::Always, RecomputeChoice::Auto}) {
            SupernetTrainerOptions options;
            options.recompute = choice;
            options.seed = 4;
            SupernetTrainer trainer(*net.supernet, options);
            ASSERT_FALSE(trainer.path(0).empty());
            losses.push_back(trainer.backward(net.ids, net.valid, 0));
            EXPECT_EQ(trainer.recomputedLayers(), choice == RecomputeChoice::Always ? 4 : 0); // on its own only on a GPU
            gradients.emplace_back();
            for (const TrainedWeight& weight : net.supernet->weights()) {
                gradients.back().push_back(weight.compute.grad());
                weight.compute.mutable_grad().reset();
            }
        }
        int found = 0;
        for (std::size_t i = 0; i < gradients[0].size(); ++i) {
            ASSERT_EQ(gradients[0][i].defined(), gradients[1][i].defined()) << net.supernet->weights()[i].name;
            if (!gradients[0][i].defined())
                continue;
            ++found;
            // Terms of a sum come in another order.
            EXPECT_LT(((gradients[0][i] - gradients[1][i]).norm() / gradients[0][i].norm()).item<double>(), 1e-12) << block << " " << net.supernet->weights()[i].name;
        }
        EXPECT_GT(found, 8);
        EXPECT_EQ(losses[0], losses[1]);
    }
}

TEST(Recomputation, WhatWasMeasuredComesBack)
{
    TrainingPass pass(RecomputeChoice::Auto, torch::kCPU);
    EXPECT_EQ(pass.state(), Json::object()) << "a CPU measures nothing";
    const Json measured = {{"kept_layers", 3}, {"measured_tokens", 512}, {"step", 7}};
    pass.restore(measured);
    EXPECT_EQ(pass.state(), (Json{{"kept_layers", 3}, {"measured_tokens", 512}}));
    pass.restore(Json::object());
    EXPECT_EQ(pass.state()["kept_layers"], 3);
}

TEST(Recomputation, KeepsNothingButTheInput)
{
    const torch::Tensor x = torch::randn({4}).requires_grad_(), w = torch::randn({4}).requires_grad_();
    int runs = 0;
    const auto f = [&](const torch::Tensor& in) {
        ++runs;
        return (in * w).exp();
    };
    const torch::Tensor y = recomputed(f, x, {w});
    EXPECT_EQ(runs, 1);
    EXPECT_EQ(y.grad_fn()->next_edges().size(), 2u) << "one edge for the input and one for the weight, none into the computation";
    y.sum().backward();
    EXPECT_EQ(runs, 2);
    EXPECT_TRUE(torch::equal(x.grad(), w * (x * w).exp()));
    EXPECT_TRUE(torch::equal(w.grad(), x * (x * w).exp()));
}

TEST(Supernet, SharesTheTeacherAndCopiesNoFrozenWeight)
{
    Net net("gla", torch::kBFloat16);
    net.supernet->addSlidingWindows(8);
    std::map<std::string, torch::Tensor> teachers;
    std::set<const void*> storages;
    for (const auto& [name, tensor] : net.teacher->namedWeights()) {
        teachers[name] = tensor;
        storages.insert(tensor.storage().unsafeGetStorageImpl());
    }
    const std::size_t frozen = storages.size();
    int shared = 0;
    for (const auto& [name, tensor] : net.supernet->weightsOf({1}, {2})) {
        const bool path = name.find("layers.0.self_attn") != std::string::npos || name.find("layers.3.self_attn") != std::string::npos;
        if (path) {
            EXPECT_EQ(tensor.scalar_type(), torch::kFloat32) << name << ": masters are exported";
            continue;
        }
        ++shared;
        EXPECT_EQ(tensor.data_ptr(), teachers.at(name).data_ptr()) << name;
    }
    EXPECT_GT(shared, 20);
    // Everything that the paths compute with is the teacher's or a weight's own rounded copy.
    for (const LayerSet& full : {LayerSet{}, LayerSet{0, 1, 2, 3}})
        for (const Block* block : net.supernet->mixers(full, full.empty() ? LayerSet{2} : LayerSet{}))
            for (const auto& [name, tensor] : block->weights()) {
                EXPECT_EQ(tensor.scalar_type(), torch::kBFloat16);
                storages.insert(tensor.storage().unsafeGetStorageImpl());
            }
    std::size_t inUse = 0; // layer 2's linear path was not asked for
    for (const TrainedWeight& weight : net.supernet->weights()) {
        EXPECT_EQ(weight.master.scalar_type(), torch::kFloat32);
        EXPECT_TRUE(torch::equal(weight.master.to(torch::kBFloat16), weight.compute));
        inUse += weight.name.rfind("layers.2.", 0) != 0;
    }
    EXPECT_EQ(storages.size(), frozen + inUse);
}

TEST(Supernet, BFloat16TrainingMovesMastersAndCopiesTogether)
{
    Net net("gla", torch::kBFloat16);
    SupernetTrainerOptions options;
    options.fullProbability = 0;
    SupernetTrainer trainer(*net.supernet, options);
    const double first = trainer.backward(net.ids, net.valid, 0);
    std::vector<torch::Tensor> before;
    for (const TrainedWeight& weight : net.supernet->weights())
        before.push_back(weight.master.clone());
    EXPECT_GT(trainer.optimizer().step(1e-2), 0);
    for (std::size_t i = 0; i < before.size(); ++i) {
        const TrainedWeight& weight = net.supernet->weights()[i];
        EXPECT_FALSE(torch::equal(before[i], weight.master)) << weight.name;
        EXPECT_TRUE(torch::equal(weight.master.to(torch::kBFloat16), weight.compute)) << weight.name;
        EXPECT_FALSE(weight.compute.grad().defined());
    }
    double last = first;
    for (int step = 1; step < 20; ++step) {
        last = trainer.backward(net.ids, net.valid, step);
        trainer.optimizer().step(1e-2);
    }
    EXPECT_LT(last, 0.7 * first);
}

/// A few weights with gradients that are a function of the step; the vector's are missing in odd steps.
struct Toy {
    TrainedWeights weights;

    explicit Toy(torch::ScalarType compute)
    {
        torch::manual_seed(9);
        for (const auto& [name, shape] : std::vector<std::pair<std::string, std::vector<std::int64_t>>>{{"a", {3, 4}}, {"b", {5}}, {"c", {2, 2}}}) {
            weights.push_back(trainedWeight(name, torch::randn(shape), compute));
            weights.back().compute.requires_grad_();
        }
    }
    void gradients(int step)
    {
        for (std::size_t i = 0; i < weights.size(); ++i)
            if (i != 1 || step % 2 == 0)
                weights[i].compute.mutable_grad() = torch::sin(torch::arange(weights[i].master.numel()) * 1.7 + step + double(i)).view(weights[i].master.sizes()).to(weights[i].compute.scalar_type()).clone();
    }
};

TEST(Optimizer, TakesTheStepsOfTorchsAdamW)
{
    Toy toy(torch::kFloat32), peer(torch::kFloat32);
    Optimizer optimizer(toy.weights, {0.1, 0.9, 0.95, 1e-8, 1.0});
    const auto options = [](double decay) { return std::make_unique<torch::optim::AdamWOptions>(torch::optim::AdamWOptions(1e-2).betas({0.9, 0.95}).weight_decay(decay)); };
    std::vector<torch::optim::OptimizerParamGroup> groups;
    groups.emplace_back(std::vector<torch::Tensor>{peer.weights[0].compute, peer.weights[2].compute}, options(0.1));
    groups.emplace_back(std::vector<torch::Tensor>{peer.weights[1].compute}, options(0));
    torch::optim::AdamW adam(groups, torch::optim::AdamWOptions(1e-2));
    for (int step = 0; step < 5; ++step) {
        toy.gradients(step);
        peer.gradients(step);
        std::vector<torch::Tensor> all;
        for (const TrainedWeight& weight : peer.weights)
            all.push_back(weight.compute);
        const double norm = torch::nn::utils::clip_grad_norm_(all, 1.0);
        EXPECT_EQ(optimizer.step(1e-2), norm);
        adam.step();
        adam.zero_grad();
        for (std::size_t i = 0; i < all.size(); ++i)
            EXPECT_TRUE(torch::equal(toy.weights[i].master, all[i])) << "step " << step << ", " << toy.weights[i].name;
    }
}

TEST(Optimizer, GathersPartsInFloat32)
{
    Toy toy(torch::kBFloat16);
    Optimizer optimizer(toy.weights, {0, 0.9, 0.95, 1e-8, 0});
    // 256 + 1 is lost in bfloat16, not in the sum.
    for (const double value : {256.0, 1.0}) {
        toy.weights[0].compute.mutable_grad() = torch::full({3, 4}, value, torch::kBFloat16);
        optimizer.gather();
        EXPECT_FALSE(toy.weights[0].compute.grad().defined());
    }
    EXPECT_NEAR(optimizer.step(0.1), 257 * std::sqrt(12.0), 1e-3);
}

TEST(Optimizer, ResumesExactly)
{
    const test::TemporaryFolder folder;
    for (const torch::ScalarType type : {torch::kFloat32, torch::kBFloat16}) {
        Toy whole(type), first(type), second(type);
        Optimizer uninterrupted(whole.weights, {}), before(first.weights, {}), after(second.weights, {});
        for (int step = 0; step < 6; ++step) {
            whole.gradients(step);
            uninterrupted.step(1e-2);
            Toy& toy = step < 3 ? first : second;
            toy.gradients(step);
            (step < 3 ? before : after).step(1e-2);
            if (step != 2)
                continue;
            SafetensorsWriter masters, state;
            for (const TrainedWeight& weight : before.weights())
                addTensor(masters, weight.name, weight.master);
            masters.write(folder / "masters.safetensors");
            before.save(state);
            state.write(folder / "state.safetensors");
            after.load(SafetensorsFile::open(folder / "masters.safetensors"), SafetensorsFile::open(folder / "state.safetensors"));
        }
        for (std::size_t i = 0; i < whole.weights.size(); ++i) {
            EXPECT_TRUE(torch::equal(whole.weights[i].master, second.weights[i].master)) << whole.weights[i].name;
            EXPECT_TRUE(torch::equal(whole.weights[i].compute, second.weights[i].compute)) << whole.weights[i].name;
        }
    }
}

} // namespace
} // namespace postnas::engine
