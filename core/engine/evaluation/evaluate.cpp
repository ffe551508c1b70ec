// Scores a checkpoint on tasks and writes results.json.
#include "core/engine/evaluate.h"

#include "core/base/files.h"
#include "core/base/text.h"
#include "core/engine/evaluation/task_suite.h"
#include "core/engine/model/load_options.h"
#include "core/engine/model/tensor_io.h"
#include "core/engine/runtime.h"
#include "core/huggingface/checkpoint.h"

namespace postnas::engine {

EvaluationReport evaluateModel(const std::filesystem::path& model, const LoadOptions& load, const std::vector<std::string>& tasks,
                               std::int64_t limit, const std::filesystem::path& output, const CancellationToken& cancellation)
{
    const Checkpoint checkpoint = Checkpoint::open(model);
    const std::string device = resolveDevice(load.device);
    const std::string dtype = resolveDtype(load.dtype, device, checkpoint.architecture().dtype);
    const Tokenizer tokenizer = Tokenizer::load(model);
    checkVocabulary(static_cast<std::uint64_t>(tokenizer.vocabularySize()), checkpoint.architecture(), model);

    std::vector<std::filesystem::path> files;
    for (const TaskDefinition& task : findTasks(tasks, {std::filesystem::current_path() / "tasks", model / "tasks", model.parent_path() / "tasks"}))
        files.push_back(task.file);
    const TaskSuite suite(files, model, tokenizer, limit, 0);
    const auto hybrid = HybridModel::load(checkpoint, torch::Device(device), scalarTypeNamed(dtype));
    applyLoadOptions(load, *hybrid);

    EvaluationReport report;
    std::vector<TaskDefinition> definitions;
    std::vector<TaskResult> results;
    for (int task = 0; task < suite.taskCount(); ++task) {
        results.push_back(suite.result(task, TaskSuite::Split::Search, *hybrid, nullptr, cancellation));
        definitions.push_back(suite.definition(task));
        const TaskResult& r = results.back();
        EvaluationReport::Line line {suite.name(task), r.accuracy, r.accuracyError, r.meanLoss, static_cast<std::int64_t>(r.items), {}};
        for (const auto& [group, part] : r.groups)
            line.groups[group] = part.accuracy;
        report.lines.push_back(std::move(line));
    }
    if (!output.empty()) {
        const Json about = {{"model_name", model.string()}, {"date", utcTimestamp()}, {"device", device}, {"dtype", dtype}};
        writeFileAtomically(output, dumpJson(resultsJson(definitions, results, {}, about), 2) + "\n");
    }
    return report;
}

} // namespace postnas::engine
