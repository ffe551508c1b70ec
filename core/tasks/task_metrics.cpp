// Scoring of items, their means, and the results file.
#include "core/tasks/task_metrics.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/tasks/pareto.h"

namespace postnas {
namespace {

std::size_t bestOf(const std::vector<double>& values)
{
    std::size_t best = 0;
    for (std::size_t i = 1; i < values.size(); ++i)
        if (values[i] > values[best] || (std::isnan(values[best]) && !std::isnan(values[i])))
            best = i;
    return best;
}

std::string normalized(std::string_view text, const TaskDefinition& task)
{
    static constexpr std::string_view kSpace = " \t\r\n\f\v";
    const std::size_t begin = std::min(text.find_first_not_of(kSpace), text.size());
    const std::size_t end = text.find_last_not_of(kSpace);
    std::string out;
    for (const char c : text.substr(begin, end == std::string_view::npos ? 0 : end + 1 - begin)) {
        if (task.ignorePunctuation && static_cast<unsigned char>(c) < 0x80 && std::ispunct(static_cast<unsigned char>(c)) != 0)
            continue;
        out += task.ignoreCase && c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    }
    return out;
}

Json numberOrNull(double value) { return std::isfinite(value) ? Json(value) : Json(); }

} // namespace

ItemScore scoreMultipleChoice(const TaskItem& item, const std::vector<double>& logLikelihoods)
{
    if (logLikelihoods.size() != item.choices.size() || item.answer < 0 || item.answer >= static_cast<int>(item.choices.size()))
        throw internalError("a multiple-choice item got " + std::to_string(logLikelihoods.size()) + " scores for "
                            + std::to_string(item.choices.size()) + " choices");
    std::vector<double> perByte;
    for (std::size_t i = 0; i < logLikelihoods.size(); ++i)
        perByte.push_back(logLikelihoods[i] / static_cast<double>(std::max<std::size_t>(item.choices[i].size(), 1)));
    ItemScore score;
    score.chosen = static_cast<int>(bestOf(logLikelihoods));
    score.loss = -logLikelihoods[static_cast<std::size_t>(item.answer)];
    score.correct = score.chosen == item.answer && !std::isnan(score.loss);
    score.correctNormalized = static_cast<int>(bestOf(perByte)) == item.answer && !std::isnan(score.loss);
    score.group = item.group;
    return score;
}

ItemScore scoreLoglikelihood(const TaskItem& item, double logLikelihood, bool greedy)
{
    ItemScore score;
    score.correct = greedy;
    score.loss = -logLikelihood;
    score.group = item.group;
    return score;
}

ItemScore scoreGeneration(const TaskDefinition& task, const TaskItem& item, std::string_view generated)
{
    ItemScore score;
    score.correct = normalized(generated, task) == normalized(item.target, task);
    score.group = item.group;
    return score;
}

TaskResult aggregate(const TaskDefinition& task, const std::vector<ItemScore>& scores)
{
    if (scores.empty())
        throw internalError(task.name + ": there are no scores");
    TaskResult out;
    out.task = task.name;
    out.outputType = task.outputType;
    out.items = scores.size();
    std::vector<double> correct;
    std::vector<double> correctNormalized;
    std::vector<double> losses;
    std::map<std::string, std::vector<double>> groups;
    for (const ItemScore& score : scores) {
        correct.push_back(score.correct ? 1.0 : 0.0);
        correctNormalized.push_back(score.correctNormalized ? 1.0 : 0.0);
        losses.push_back(score.loss);
        if (!task.groupBy.empty())
            groups[score.group].push_back(correct.back());
    }
    const Spread accuracy = spreadOf(correct);
    out.accuracy = accuracy.mean;
    out.accuracyError = accuracy.standardError;
    if (task.outputType == OutputType::MultipleChoice) {
        const Spread byLength = spreadOf(correctNormalized);
        out.accuracyNormalized = byLength.mean;
        out.accuracyNormalizedError = byLength.standardError;
    }
    const Spread loss = spreadOf(losses);
    out.meanLoss = loss.mean;
    out.meanLossError = loss.standardError;
    for (const auto& [group, values] : groups) {
        const Spread spread = spreadOf(values);
        out.groups[group] = {values.size(), spread.mean, spread.standardError};
    }
    return out;
}

double objectiveValue(const TaskResult& result, Objective objective)
{
    return objective == Objective::Accuracy ? result.accuracy : -result.meanLoss;
}

Json resultsJson(const std::vector<TaskDefinition>& tasks, const std::vector<TaskResult>& results, const std::vector<std::size_t>& available,
                 const Json& about)
{
    if (tasks.size() != results.size() || (!available.empty() && available.size() != tasks.size()))
        throw internalError("each task needs one result");
    Json out = Json::object();
    for (const char* key : {"results", "group_results", "configs", "versions", "n-shot", "higher_is_better", "n-samples"})
        out[key] = Json::object();
    for (std::size_t i = 0; i < tasks.size(); ++i) {
        const TaskDefinition& task = tasks[i];
        const TaskResult& result = results[i];
        Json row = Json::object();
        row["alias"] = task.name;
        Json better = Json::object();
        const auto put = [&](const std::string& metric, double value, double error, bool higherIsBetter) {
            row[metric + ",none"] = numberOrNull(value);
            row[metric + "_stderr,none"] = numberOrNull(error);
            better[metric] = higherIsBetter;
        };
        for (const std::string& metric : task.metrics) {
            if (metric == "acc_norm")
                put(metric, result.accuracyNormalized, result.accuracyNormalizedError, true);
            else
                put(metric, result.accuracy, result.accuracyError, true);
        }
        if (task.outputType != OutputType::GenerateUntil)
            put("loss", result.meanLoss, result.meanLossError, false);
        out["results"][task.name] = std::move(row);
        out["higher_is_better"][task.name] = std::move(better);
        out["configs"][task.name] = task.config;
        out["versions"][task.name] = task.version;
        out["n-shot"][task.name] = 0;
        out["n-samples"][task.name] = {{"original", available.empty() ? result.items : available[i]}, {"effective", result.items}};
        if (!result.groups.empty())
            for (const auto& [group, value] : result.groups)
                out["group_results"][task.name][group] = {
                    {"acc,none", numberOrNull(value.accuracy)}, {"acc_stderr,none", numberOrNull(value.accuracyError)}, {"items", value.items}};
    }
    for (const auto& [key, value] : about.items())
        if (!out.contains(key))
            out[key] = value;
    return out;
}

} // namespace postnas
