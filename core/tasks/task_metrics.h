// From the scores of single items to what a task says of a model.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/tasks/task.h"

namespace postnas {

struct ItemScore {
    bool correct = false;
    bool correctNormalized = false; ///< by log-likelihood per byte of the choice; multiple choice alone
    /// Minus the natural log of the probability of the right answer, summed over its tokens; NaN for generated text.
    double loss = std::numeric_limits<double>::quiet_NaN();
    int chosen = -1; ///< index of the most likely choice; multiple choice alone
    std::string group;
};

/// `logLikelihoods`: one for each choice, natural log. Equal ones: the first counts as chosen, and NaN is never chosen.
ItemScore scoreMultipleChoice(const TaskItem& item, const std::vector<double>& logLikelihoods);
/// `greedy`: whether greedy decoding gives the target.
ItemScore scoreLoglikelihood(const TaskItem& item, double logLikelihood, bool greedy);
/// Exact match of the generated text and the target; white space around both does not count.
ItemScore scoreGeneration(const TaskDefinition& task, const TaskItem& item, std::string_view generated);


struct GroupResult {
    std::size_t items = 0;
    double accuracy = 0.0;
    double accuracyError = 0.0;
};

struct TaskResult {
    std::string task;
    OutputType outputType = OutputType::MultipleChoice;
    std::size_t items = 0;
    double accuracy = 0.0; ///< of generated text: exact match
    double accuracyError = 0.0;
    double accuracyNormalized = 0.0; ///< multiple choice alone
    double accuracyNormalizedError = 0.0;
    double meanLoss = std::numeric_limits<double>::quiet_NaN(); ///< mean of ItemScore::loss; NaN for generated text
    double meanLossError = std::numeric_limits<double>::quiet_NaN();
    std::map<std::string, GroupResult> groups; ///< by group_by; empty when the task has none
};

/// Throws Error(Internal) when there are no scores.
TaskResult aggregate(const TaskDefinition& task, const std::vector<ItemScore>& scores);

/// What a search maximises: the accuracy, or minus the mean loss.
double objectiveValue(const TaskResult& result, Objective objective);

/// results.json in the layout of lm-evaluation-harness: results, configs, versions, n-shot, n-samples, higher_is_better; per
/// group accuracies are under "group_results". `results[i]` belongs to `tasks[i]`; `available[i]` (may be empty) is how many
/// items there were without a limit. `about` (an object) is added at the top level: model_name, date and the like.
Json resultsJson(const std::vector<TaskDefinition>& tasks, const std::vector<TaskResult>& results,
                 const std::vector<std::size_t>& available = {}, const Json& about = Json::object());

} // namespace postnas
