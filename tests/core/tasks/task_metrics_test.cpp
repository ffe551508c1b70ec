// Scores, their means and errors, and the results file.
#include <cmath>

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/tasks/task_metrics.h"

namespace postnas {
namespace {

TaskDefinition choiceTask()
{
    TaskDefinition task;
    task.name = "quiz";
    task.metrics = {"acc", "acc_norm"};
    task.groupBy = "kind";
    task.version = 1.0;
    task.config = Json{{"task", "quiz"}};
    return task;
}

TaskItem item(std::vector<std::string> choices, int answer, std::string group = {})
{
    TaskItem out;
    out.choices = std::move(choices);
    out.answer = answer;
    out.group = std::move(group);
    return out;
}

TEST(TaskMetrics, MultipleChoiceCountsPlainAndPerByte)
{
    const TaskItem twoChoices = item({"ab", "abcdefgh"}, 1);
    const ItemScore score = scoreMultipleChoice(twoChoices, {-2.0, -4.0}); // per byte -1.0 and -0.5
    EXPECT_FALSE(score.correct);
    EXPECT_TRUE(score.correctNormalized);
    EXPECT_EQ(score.chosen, 0);
    EXPECT_DOUBLE_EQ(score.loss, 4.0);
    EXPECT_TRUE(scoreMultipleChoice(twoChoices, {-5.0, -4.0}).correct);
    EXPECT_EQ(scoreMultipleChoice(item({"a", "b"}, 0), {NAN, -1.0}).chosen, 1);
    EXPECT_FALSE(scoreMultipleChoice(item({"a", "b"}, 0), {NAN, NAN}).correct) << "a broken model gets no point";
    EXPECT_NEAR(scoreMultipleChoice(item({"é", "bb"}, 0), {-2.0, -2.1}).loss, 2.0, 1e-12);
    EXPECT_THROW(scoreMultipleChoice(twoChoices, {-1.0}), Error);
}

TEST(TaskMetrics, GeneratedTextMatchesExactlyUpToOuterSpace)
{
    TaskDefinition task;
    TaskItem wanted;
    wanted.target = "It's 42.";
    EXPECT_TRUE(scoreGeneration(task, wanted, " It's 42.\n").correct);
    EXPECT_FALSE(scoreGeneration(task, wanted, "it's 42").correct);
    EXPECT_FALSE(scoreGeneration(task, wanted, "").correct);
    task.ignoreCase = task.ignorePunctuation = true;
    EXPECT_TRUE(scoreGeneration(task, wanted, "its 42!").correct);
    EXPECT_TRUE(std::isnan(scoreGeneration(task, wanted, "x").loss));
}

TEST(TaskMetrics, AggregationGivesMeansErrorsAndGroups)
{
    std::vector<ItemScore> scores;
    for (int i = 0; i < 4; ++i)
        scores.push_back(scoreMultipleChoice(item({"a", "b"}, i == 3 ? 1 : 0, i < 2 ? "near" : "far"), {-1.0, -2.0}));
    const TaskResult result = aggregate(choiceTask(), scores);
    EXPECT_EQ(result.items, 4u);
    EXPECT_DOUBLE_EQ(result.accuracy, 0.75);
    EXPECT_DOUBLE_EQ(result.accuracyError, 0.25); // sample deviation 0.5 over sqrt(4)
    EXPECT_DOUBLE_EQ(result.meanLoss, 1.25);
    ASSERT_EQ(result.groups.size(), 2u);
    EXPECT_DOUBLE_EQ(result.groups.at("near").accuracy, 1.0);
    EXPECT_DOUBLE_EQ(result.groups.at("far").accuracy, 0.5);
    EXPECT_EQ(result.groups.at("far").items, 2u);
    EXPECT_DOUBLE_EQ(objectiveValue(result, Objective::Accuracy), 0.75);
    EXPECT_DOUBLE_EQ(objectiveValue(result, Objective::NegativeLoss), -1.25);
    EXPECT_THROW(aggregate(choiceTask(), {}), Error);
}

TEST(TaskMetrics, LikelihoodTasksCountGreedyAnswers)
{
    TaskDefinition task;
    task.outputType = OutputType::LogLikelihood;
    const TaskResult result = aggregate(task, {scoreLoglikelihood({}, -0.5, true), scoreLoglikelihood({}, -1.5, false)});
    EXPECT_DOUBLE_EQ(result.accuracy, 0.5);
    EXPECT_DOUBLE_EQ(result.meanLoss, 1.0);
    EXPECT_DOUBLE_EQ(result.meanLossError, std::sqrt(0.5) / std::sqrt(2.0));
    EXPECT_TRUE(result.groups.empty());
}

TEST(TaskMetrics, ResultsFileHasTheHarnessLayout)
{
    const TaskDefinition task = choiceTask();
    const TaskResult result = aggregate(task, {scoreMultipleChoice(item({"a", "b"}, 0, "near"), {-1.0, -2.0}), scoreMultipleChoice(item({"a", "b"}, 1, "far"), {-1.0, -2.0})});
    const Json json = resultsJson({task}, {result}, {10}, {{"model_name", "m"}, {"results", "not this"}});
    EXPECT_EQ(json["results"]["quiz"]["alias"], "quiz");
    EXPECT_EQ(json["results"]["quiz"]["acc,none"], 0.5);
    EXPECT_DOUBLE_EQ(json["results"]["quiz"]["acc_stderr,none"].get<double>(), 0.5);
    EXPECT_EQ(json["results"]["quiz"]["acc_norm,none"], 0.5);
    EXPECT_EQ(json["results"]["quiz"]["loss,none"], 1.5);
    EXPECT_EQ(json["higher_is_better"]["quiz"]["loss"], false);
    EXPECT_EQ(json["group_results"]["quiz"]["near"]["acc,none"], 1.0);
    EXPECT_EQ(json["versions"]["quiz"], 1.0);
    EXPECT_EQ(json["n-shot"]["quiz"], 0);
    EXPECT_EQ(json["configs"]["quiz"], task.config);
    EXPECT_EQ(json["n-samples"]["quiz"]["original"], 10);
    EXPECT_EQ(json["n-samples"]["quiz"]["effective"], 2);
    EXPECT_EQ(json["model_name"], "m");
}

TEST(TaskMetrics, ObjectivesHaveNames)
{
    for (const Objective objective : {Objective::Accuracy, Objective::NegativeLoss})
        EXPECT_EQ(objectiveFromName(objectiveName(objective)), objective);
    EXPECT_THROW(objectiveFromName("speed"), Error);
}

} // namespace
} // namespace postnas
