// Trains a model from scratch: AdamW, warm-up and cosine, accumulation, checkpoints that resume exactly.
#include "core/engine/training/pretrain.h"

#include <future>

#include <torch/torch.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/data/batch_sampler.h"
#include "core/engine/evaluation/task_suite.h"
#include "core/engine/export.h"
#include "core/engine/model/save_model.h"
#include "core/engine/runtime.h"
#include "core/engine/training/losses.h"
#include "core/engine/training/schedule.h"
#include "core/engine/training/training_checkpoint.h"
#include "core/huggingface/model_config.h"
#include "core/huggingface/tokenizer.h"

namespace postnas::engine {
namespace {

class Pretraining {
public:
    Pretraining(const PretrainSpec& spec, const RunContext& run)
        : m_spec(spec)
        , m_run(run)
        , m_device(resolveDevice(deviceChoiceName(spec.device)))
        , m_architecture(parseModelConfig(spec.architecture, "architecture"))
        , m_dtype(spec.dtype != DtypeChoice::Float32 && m_device.is_cuda() ? torch::kBFloat16 : torch::kFloat32)
        , m_pass(spec.recompute, m_device)
        , m_tokenizer(Tokenizer::load(spec.tokenizer))
    {
        if (spec.dtype == DtypeChoice::BFloat16 && !m_device.is_cuda())
            run.warn("bfloat16 training needs a GPU; on the CPU float32 is used");
        validate(m_architecture, "architecture");
        if (m_tokenizer.vocabularySize() > m_architecture.vocabularySize)
            throw usageError("architecture: vocab_size " + std::to_string(m_architecture.vocabularySize) + " is smaller than the tokenizer's "
                             + std::to_string(m_tokenizer.vocabularySize()) + " ids");
        requireModelMemory(m_architecture, m_dtype == torch::kBFloat16 ? 5 * 4 : 4 * 4, 0, "architecture"); // master, moments, gradient, copy and its gradient
        m_architecture.dtype = "float32";
    }

    void operator()()
    {
        const BatchSampler sampler(openDataPhases(m_spec.data), samplerOptions());
        m_model = HybridModel::random(m_architecture, m_spec.seed, m_device, torch::kFloat32);
        TrainedWeights weights;
        for (const auto& [name, tensor] : m_model->namedWeights()) {
            weights.push_back(trainedWeight(name, tensor, m_dtype));
            m_model->setWeight(name, weights.back().compute.requires_grad_());
        }
        Optimizer optimizer(weights, {m_spec.weightDecay, m_spec.beta1, m_spec.beta2, 1e-8, m_spec.gradientClip});
        if (!m_spec.tasks.empty())
            m_suite = std::make_unique<TaskSuite>(m_spec.tasks, m_spec.tokenizer, m_tokenizer, m_spec.itemLimit, 0);

        std::int64_t step = 0;
        if (const auto state = restoreTrainingCheckpoint(m_run, optimizer))
            step = restore(*state);
        m_run.stage("training", 0, 2);
        train(sampler, optimizer, step);
        m_run.stage("export", 1, 2);
        finish(weights);
    }

private:
    SamplerOptions samplerOptions() const
    {
        SamplerOptions options;
        options.seed = m_spec.seed;
        options.sequenceLength = m_spec.sequenceLength;
        options.batchSize = m_spec.batchSize * m_spec.accumulation;
        options.packing = m_spec.packing;
        options.padding = options.separator = endOfText();
        return options;
    }

    std::int64_t restore(const Json& state)
    {
        m_pass.restore(state);
        return JsonReader(state, "state.json").integer("step", 0, m_spec.steps);
    }

    /// Pads rows and separates packed documents: the pad id where the model has one (<|endoftext|> of chat models).
    std::int32_t endOfText() const { return paddingId(m_architecture); }

    void train(const BatchSampler& sampler, Optimizer& optimizer, std::int64_t first)
    {
        const Schedule schedule {m_spec.learningRate, m_spec.minLearningRate, m_spec.warmupSteps, m_spec.steps};
        CheckpointClock clock(m_spec.checkpointEvery);
        ProgressReporter progress(m_run, "steps", first, m_spec.steps);
        const auto fetch = [&](std::int64_t step) { return std::async(std::launch::async, [&sampler, step] { return sampler.batch(step); }); };
        std::future<Batch> next = fetch(first);
        const auto begin = std::chrono::steady_clock::now();
        std::int64_t tokens = 0;
        for (std::int64_t step = first; step < m_spec.steps; ++step) {
            const Batch batch = next.get();
            if (step + 1 < m_spec.steps)
                next = fetch(step + 1);
            torch::Tensor loss = torch::zeros({}, torch::TensorOptions().device(m_device));
            for (std::int64_t part = 0; part < m_spec.accumulation; ++part) {
                const BatchTensors tensors = toTensors(batch, part * m_spec.batchSize, m_spec.batchSize, endOfText(), m_device);
                loss += nextTokenLossBackward(*m_model, m_pass, tensors, 1.0 / double(m_spec.accumulation)) / double(m_spec.accumulation);
                optimizer.gather();
                tokens += tensors.ids.numel();
            }
            const double norm = optimizer.step(schedule.rate(step));
            requireFinite(norm, "the gradient norm", step);
            const std::int64_t done = step + 1;
            if (done % m_spec.logEvery == 0 || done == m_spec.steps) {
                const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
                const double value = loss.item<double>();
                requireFinite(value, "the loss", step);
                m_run.metric("loss", value, done);
                m_run.metric("learning_rate", schedule.rate(step), done);
                m_run.metric("gradient_norm", norm, done);
                m_run.metric("tokens_per_second", double(tokens) / seconds, done);
            }
            progress.update(done);
            if (m_suite && m_spec.evaluateEvery > 0 && done % m_spec.evaluateEvery == 0 && done < m_spec.steps)
                evaluate(done);
            const bool stop = m_run.cancellation.cancelled();
            if (stop || done == m_spec.steps || clock.due(done))
                saveTrainingCheckpoint(m_run, optimizer, done, m_spec.keepCheckpoints, m_pass.state());
            if (stop && done < m_spec.steps)
                m_run.cancellation.throwIfCancelled();
        }
    }

    Json evaluate(std::int64_t step)
    {
        Json out = Json::object();
        for (int task = 0; task < m_suite->taskCount(); ++task) {
            const TaskScores scores = m_suite->score(task, TaskSuite::Split::Search, *m_model, nullptr, m_run.cancellation);
            for (const auto& [metric, value] : scores.metrics)
                m_run.metric(m_suite->name(task) + "." + metric, value, step);
            out[m_suite->name(task)] = scores.metrics;
        }
        return out;
    }

    void finish(const TrainedWeights& weights)
    {
        const std::filesystem::path folder = m_run.folder.artifactsFolder() / "model";
        NamedTensors masters;
        for (const TrainedWeight& weight : weights)
            masters.emplace_back(weight.name, weight.master);
        const std::uint64_t bytes = saveModel(m_architecture, masters, torch::kFloat32, folder);
        copyTokenizerFiles(m_spec.tokenizer, folder);
        m_run.events.write(event::Result {"model", "artifacts/model", {{"parameters", parameterCount(m_architecture)}, {"bytes", bytes}}});
        if (!m_suite)
            return;
        const Json results = evaluate(m_spec.steps);
        writeFileAtomically(m_run.folder.artifactsFolder() / "results.json", dumpJson({{"results", results}}, 2) + "\n");
        m_run.events.write(event::Result {"results", "artifacts/results.json", results});
    }

    const PretrainSpec& m_spec;
    const RunContext& m_run;
    torch::Device m_device;
    Architecture m_architecture;
    torch::ScalarType m_dtype; ///< of all products
    TrainingPass m_pass;
    Tokenizer m_tokenizer;
    std::unique_ptr<HybridModel> m_model;
    std::unique_ptr<TaskSuite> m_suite;
};

} // namespace

void runPretrain(const PretrainSpec& spec, const RunContext& run)
{
    Pretraining pretraining(spec, run);
    pretraining();
}

} // namespace postnas::engine
