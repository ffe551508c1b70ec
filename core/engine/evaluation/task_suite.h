// Tasks made ready for one tokenizer: their items as token ids, scored for any placement. Internal: torch.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/base/cancellation.h"
#include "core/engine/model/hybrid_model.h"
#include "core/huggingface/tokenizer.h"
#include "core/tasks/task.h"
#include "core/tasks/task_metrics.h"

namespace postnas::engine {

/// What one task says of one model. `metrics` has "accuracy", "negative_loss" (minus the mean loss on the correct answer; not of generated text), and
/// "objective": the one of them that the task is searched by.
struct TaskScores {
    std::map<std::string, double> metrics;
    std::map<std::string, double> groups; ///< accuracy by the task's group_by field
    std::int64_t items = 0;
};

class TaskSuite {
public:
    /// Searches must not be judged by the items that they searched with, so each task's items are split.
    enum class Split { Search, Report };

    /// The first `searchItems` items of each task (0: all) make the search split, the `reportItems` after them the report
    /// split (0: none). `tokenizerFolder` has the chat template for tasks that need one. Throws Error(Input).
    TaskSuite(const std::vector<std::filesystem::path>& taskFiles, const std::filesystem::path& tokenizerFolder, const Tokenizer& tokenizer,
              std::int64_t searchItems, std::int64_t reportItems);
    ~TaskSuite();

    int taskCount() const;
    const std::string& name(int task) const;
    /// Index of a task by its name, or -1.
    int find(const std::string& name) const;
    const std::string& objective(int task) const; ///< "accuracy" or "negative_loss"
    void setObjective(int task, const std::string& objective);
    std::int64_t itemCount(int task, Split split) const;

    TaskScores score(int task, Split split, const HybridModel& model, const std::vector<const Block*>* mixers,
                     const CancellationToken& cancellation) const;

    /// The same with everything that a report shows: standard errors, normalised accuracy, groups.
    TaskResult result(int task, Split split, const HybridModel& model, const std::vector<const Block*>* mixers,
                      const CancellationToken& cancellation) const;
    const TaskDefinition& definition(int task) const;

private:
    struct Task;
    std::vector<ItemScore> itemScores(int task, Split split, const HybridModel& model, const std::vector<const Block*>* mixers,
                                      const CancellationToken& cancellation) const;
    Tokenizer m_tokenizer;
    std::vector<std::unique_ptr<Task>> m_tasks;
};

} // namespace postnas::engine
