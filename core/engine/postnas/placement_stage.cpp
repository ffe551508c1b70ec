// Trains the supernet, then searches it.
#include "core/engine/postnas/placement_stage.h"

#include <algorithm>
#include <cmath>
#include <future>

#include <torch/torch.h>

#include "core/architecture/block_description.h"
#include "core/base/error.h"
#include "core/data/batch_sampler.h"
#include "core/data/tokenizer_adapter.h"
#include "core/engine/postnas/placement_ledger.h"
#include "core/engine/postnas/placement_report.h"
#include "core/engine/postnas/supernet_training.h"
#include "core/engine/runtime.h"
#include "core/engine/training/batch_tensors.h"
#include "core/engine/training/schedule.h"
#include "core/engine/training/training_checkpoint.h"
#include "core/huggingface/checkpoint.h"
#include "core/huggingface/tokenizer.h"

namespace postnas::engine {
namespace {

constexpr int kStages = 7;

class PlacementStage {
public:
    PlacementStage(const PlacementSpec& spec, const RunContext& run)
        : m_spec(spec)
        , m_run(run)
        , m_device(resolveDevice(deviceChoiceName(spec.device)))
        , m_dtype(spec.dtype != DtypeChoice::Float32 && m_device.is_cuda() ? torch::kBFloat16 : torch::kFloat32)
    {
    }

    void operator()()
    {
        m_run.stage("preparation", 0, kStages);
        open();
        m_run.stage("training", 1, kStages);
        train();
        m_ledger = std::make_unique<PlacementLedger>(m_run, *m_supernet, *m_suite, context());
        m_ledger->restore();
        m_run.stage("heatmap", 2, kStages);
        heatmap();
        m_run.stage("search", 3, kStages);
        search();
        m_run.stage("comparison", 4, kStages);
        compare();
        m_run.stage("throughput", 5, kStages);
        m_ledger->measureSpeeds();
        m_run.stage("export", 6, kStages);
        writePlacementArtifacts(m_run, m_spec, *m_supernet, *m_suite, *m_ledger, m_found);
    }

private:
    std::int64_t context() const { return m_spec.context > 0 ? m_spec.context : m_teacher->architecture().maxPositions; }

    void open()
    {
        const Checkpoint checkpoint = Checkpoint::open(m_spec.model);
        for (const std::string& warning : checkpoint.warnings())
            m_run.warn(warning);
        for (const LayerSpec& layer : checkpoint.architecture().layers)
            if (layer.block != "attention")
                throw usageError(m_spec.model.string() + ": the teacher of a placement search must have full attention in every layer; it has "
                                 + layer.block);
        if (m_spec.fullLayers >= checkpoint.architecture().layerCount())
            throw usageError("full_layers is " + std::to_string(m_spec.fullLayers) + ", but the teacher has only "
                             + std::to_string(checkpoint.architecture().layerCount()) + " layers");
        const Tokenizer tokenizer = Tokenizer::load(m_spec.model);
        checkVocabulary(static_cast<std::uint64_t>(tokenizer.vocabularySize()), checkpoint.architecture(), m_spec.model);
        m_suite = std::make_unique<TaskSuite>(m_spec.tasks, m_spec.model, tokenizer, m_spec.itemLimit, m_spec.reportItems);
        for (const auto& [task, objective] : m_spec.objectives) {
            if (m_suite->find(task) < 0)
                throw usageError("objectives: there is no task \"" + task + "\" among the tasks of the spec");
            m_suite->setObjective(m_suite->find(task), objective);
        }
        if (m_spec.placementTask != "mean" && m_suite->find(m_spec.placementTask) < 0)
            throw usageError("placement_task: there is no task \"" + m_spec.placementTask + "\" among the tasks of the spec");
        if (m_spec.slidingWindow && m_suite->find(m_spec.slidingWindow->task) < 0)
            throw usageError("sliding_window.task: there is no task \"" + m_spec.slidingWindow->task + "\" among the tasks of the spec");

        openData(checkpoint.architecture());
        if (m_dtype == torch::kBFloat16 && checkpoint.architecture().dtype == "float32")
            m_run.warn("the teacher's float32 weights are rounded to bfloat16", "\"dtype\": \"float32\" keeps them, and is several times slower.");
        m_teacher = HybridModel::load(checkpoint, m_device, m_dtype);
        LayerSpec linear = blockNamed(m_spec.linearBlock).defaultLayer(m_teacher->architecture());
        for (const auto& [key, value] : m_spec.linearParameters.items()) {
            if (!linear.parameters.contains(key))
                throw usageError("linear_parameters: block " + m_spec.linearBlock + " has no hyperparameter \"" + key + "\"");
            linear.parameters[key] = value;
        }
        m_supernet = std::make_unique<Supernet>(m_teacher, linear, m_spec.initialiseFromTeacher, m_spec.seed);
        if (m_spec.slidingWindow)
            m_supernet->addSlidingWindows(m_spec.slidingWindow->window);
    }

    /// Files are tokenized once into the run folder; folders are token shards already.
    void openData(const Architecture& architecture)
    {
        std::vector<DataSource> sources = m_spec.data;
        for (std::size_t i = 0; i < sources.size(); ++i) {
            if (std::filesystem::is_directory(sources[i].path))
                continue;
            const std::filesystem::path shards = m_run.folder.path() / "data" / std::to_string(i);
            if (!std::filesystem::exists(shards / "index.json")) {
                std::filesystem::remove_all(shards);
                std::filesystem::create_directories(shards.parent_path());
                BuildOptions options;
                options.threads = m_spec.threads;
                options.controlTokens = true;
                options.promptWeight = 1.0;
                options.cancellation = m_run.cancellation;
                buildDataset({sources[i].path}, shards, loadBuilderTokenizer(m_spec.model), options);
            }
            sources[i].path = shards;
        }
        m_padding = paddingId(architecture);
        SamplerOptions options;
        options.seed = m_spec.seed;
        options.sequenceLength = m_spec.training.sequenceLength;
        options.batchSize = m_spec.training.batchSize;
        options.packing = m_spec.training.packing;
        options.padding = options.separator = m_padding;
        m_sampler = std::make_unique<BatchSampler>(openDataPhases(sources), options);
    }

    void train()
    {
        const SupernetTrainingSpec& t = m_spec.training;
        SupernetTrainerOptions options;
        options.fullProbability = t.fullProbability;
        options.seed = m_spec.seed;
        options.recompute = t.recompute;
        options.optimizer = {t.weightDecay, 0.9, 0.95, 1e-8, t.gradientClip};
        SupernetTrainer trainer(*m_supernet, options);
        Optimizer& optimizer = trainer.optimizer();
        std::int64_t first = 0;
        if (const auto state = restoreTrainingCheckpoint(m_run, optimizer)) {
            first = JsonReader(*state, "state.json").integer("step", 0, t.steps);
            trainer.restorePass(*state);
        }
        const Schedule schedule {t.learningRate, t.minLearningRate, t.warmupSteps, t.steps};
        CheckpointClock clock(m_spec.checkpointEvery);
        ProgressReporter progress(m_run, "steps", first, t.steps);
        for (std::int64_t step = first; step < t.steps; ++step) {
            const Batch batch = m_sampler->batch(step);
            const BatchTensors tensors = toTensors(batch, 0, t.batchSize, m_padding, m_device);
            const double loss = trainer.backward(tensors.ids, tensors.valid, step);
            requireFinite(loss, "the distillation loss", step);
            const double norm = optimizer.step(schedule.rate(step));
            requireFinite(norm, "the gradient norm", step);
            const std::int64_t done = step + 1;
            if (done % t.logEvery == 0 || done == t.steps) {
                m_run.metric("loss", loss, done);
                m_run.metric("learning_rate", schedule.rate(step), done);
            }
            progress.update(done);
            const bool stop = m_run.cancellation.cancelled();
            if (stop || done == t.steps || clock.due(done))
                saveTrainingCheckpoint(m_run, optimizer, done, m_spec.keepCheckpoints, trainer.passState());
            if (stop)
                m_run.cancellation.throwIfCancelled();
        }
    }

    void heatmap()
    {
        const int layers = m_supernet->layerCount();
        ProgressReporter progress(m_run, "placements", 0, layers + 2);
        LayerSet all;
        for (int i = 0; i < layers; ++i)
            all.push_back(i);
        m_ledger->scoreAll({all, {}}, "teacher");
        progress.update(1);
        m_ledger->scoreAll({{}, {}}, "linear");
        progress.update(2);
        for (int i = 0; i < layers; ++i) {
            m_ledger->scoreAll({{i}, {}}, "heatmap");
            progress.update(i + 3);
        }
        writeHeatmap(m_run, m_spec, *m_supernet, *m_suite, *m_ledger);
    }

    /// Share of what the all-linear model loses that a placement wins back, averaged over the tasks.
    double meanRecovery(const Placement& placement, const std::string& origin)
    {
        LayerSet all;
        for (int i = 0; i < m_supernet->layerCount(); ++i)
            all.push_back(i);
        double sum = 0;
        for (int task = 0; task < m_suite->taskCount(); ++task) {
            const double none = m_ledger->objective({{}, {}}, task, "linear");
            const double teacher = m_ledger->objective({all, {}}, task, "teacher");
            const double lost = std::max(1e-6, teacher - none);
            sum += (m_ledger->objective(placement, task, origin, "mean") - none) / lost;
        }
        return sum / m_suite->taskCount();
    }

    void search()
    {
        std::vector<int> candidates;
        for (int i = 0; i < m_supernet->layerCount(); ++i)
            candidates.push_back(i);
        const int tasks = m_suite->taskCount();
        ProgressReporter progress(m_run, "searches", 0, tasks + 1);
        for (int task = 0; task < tasks; ++task) {
            m_found.byTask.push_back(beamSearch(candidates, m_spec.fullLayers, m_spec.beamWidth, [&](const LayerSet& layers) {
                return m_ledger->objective({layers, {}}, task, "beam", m_suite->name(task));
            }));
            progress.update(task + 1);
        }
        if (m_spec.placementTask == "mean") {
            m_found.byMean = beamSearch(candidates, m_spec.fullLayers, m_spec.beamWidth,
                                        [&](const LayerSet& layers) { return meanRecovery({layers, {}}, "beam"); });
            m_found.placement.full = m_found.byMean->best.front().layers;
        } else {
            m_found.placement.full = m_found.byTask[static_cast<std::size_t>(m_suite->find(m_spec.placementTask))].best.front().layers;
        }
        if (m_spec.slidingWindow)
            searchSlidingWindow(candidates);
        progress.update(tasks + 1);
    }

    void searchSlidingWindow(std::vector<int> candidates)
    {
        const LayerSet full = m_found.placement.full;
        std::erase_if(candidates, [&](int layer) { return std::find(full.begin(), full.end(), layer) != full.end(); });
        const int task = m_suite->find(m_spec.slidingWindow->task);
        const int budget = std::min<int>(m_spec.slidingWindow->layers, static_cast<int>(candidates.size()));
        m_found.bySliding = beamSearch(candidates, budget, m_spec.beamWidth, [&](const LayerSet& sliding) {
            return m_ledger->objective({full, sliding}, task, "sliding_window", m_suite->name(task));
        });
        m_found.placement.sliding = m_found.bySliding->best.front().layers;
    }

    void compare()
    {
        const int layers = m_supernet->layerCount();
        if (m_spec.uniformBaselines)
            m_found.uniform = uniformPlacements(layers, m_spec.fullLayers);
        const std::int64_t count = placementCount(layers, m_spec.fullLayers);
        const bool exhaustive = m_spec.exhaustive == ExhaustiveChoice::Always
            || (m_spec.exhaustive == ExhaustiveChoice::Auto && count <= m_spec.exhaustiveLimit);
        if (exhaustive)
            m_found.all = allPlacements(layers, m_spec.fullLayers);
        ProgressReporter progress(m_run, "placements", 0, static_cast<std::int64_t>(m_found.uniform.size() + m_found.all.size()) + 1);
        std::int64_t done = 0;
        for (const LayerSet& set : m_found.uniform) {
            m_ledger->scoreAll({set, {}}, "uniform");
            progress.update(++done);
        }
        for (const LayerSet& set : m_found.all) {
            m_ledger->scoreAll({set, {}}, "exhaustive");
            progress.update(++done);
        }
        m_ledger->scoreAll(m_found.placement, "found");
        for (const BeamResult& beam : m_found.byTask)
            m_ledger->scoreAll({beam.best.front().layers, {}}, "beam");
        progress.update(done + 1, true);
    }

    const PlacementSpec& m_spec;
    const RunContext& m_run;
    torch::Device m_device;
    torch::ScalarType m_dtype; ///< of the teacher's weights and of all products
    std::int32_t m_padding = 0;
    std::shared_ptr<HybridModel> m_teacher;
    std::unique_ptr<TaskSuite> m_suite;
    std::unique_ptr<BatchSampler> m_sampler;
    std::unique_ptr<Supernet> m_supernet;
    std::unique_ptr<PlacementLedger> m_ledger;
    FoundPlacements m_found;
};

} // namespace

void runPlacement(const PlacementSpec& spec, const RunContext& run)
{
    PlacementStage stage(spec, run);
    stage();
}

} // namespace postnas::engine
