// Task files: what is read, what becomes of the data, and which files are refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/tasks/task.h"
#include "core/tasks/task_yaml.h"
#include "tests/support/support.h"

namespace postnas {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Tasks : public testing::Test {
protected:
    std::filesystem::path write(const std::string& name, const std::string& content)
    {
        test::writeFile(folder / name, content);
        return folder / name;
    }

    /// The error of reading the task and its items; empty when there is none.
    std::string failure(const std::string& yaml)
    {
        try {
            loadItems(loadTask(write("broken.yaml", yaml)));
        } catch (const Error& e) {
            EXPECT_EQ(e.errorClass(), ErrorClass::Input);
            return e.what();
        }
        return "";
    }

    test::TemporaryFolder folder;
};

constexpr const char* kChoice = R"(task: quiz
tag: [demo]
dataset_path: json
dataset_kwargs:
  data_files:
    test: quiz.jsonl
    train: other.jsonl
test_split: test
output_type: multiple_choice
doc_to_text: "Question: {{question.strip()}}\nAnswer:"
doc_to_target: answer
doc_to_choice: choices
description: "Topic {{ topic }}. "
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
  - metric: acc_norm
metadata:
  version: 1.5
  objective: negative_loss
  group_by: topic
)";

TEST_F(Tasks, MultipleChoiceItemsComeFromFieldsAndTemplates)
{
    write("quiz.jsonl", "{\"question\":\" Why? \",\"choices\":[\"a\",\"bb\"],\"answer\":1,\"topic\":\"x\"}\n\n"
                        "{\"question\":\"How?\",\"choices\":[\"c\",\"d\",7],\"answer\":\"c\",\"topic\":2}\r\n");
    const TaskDefinition task = loadTask(write("quiz.yaml", kChoice));
    EXPECT_EQ(task.name, "quiz");
    EXPECT_EQ(task.outputType, OutputType::MultipleChoice);
    EXPECT_EQ(task.targetDelimiter, " ");
    EXPECT_EQ(task.objective, Objective::NegativeLoss);
    EXPECT_EQ(task.version, Json(1.5));
    EXPECT_THAT(task.metrics, ElementsAre("acc", "acc_norm"));
    const std::vector<TaskItem> items = loadItems(task);
    ASSERT_EQ(items.size(), 2u);
    EXPECT_EQ(items[0].context, "Topic x. Question: Why?\nAnswer:");
    EXPECT_THAT(items[0].choices, ElementsAre("a", "bb"));
    EXPECT_EQ(items[0].answer, 1);
    EXPECT_EQ(items[0].target, "bb");
    EXPECT_EQ(items[0].group, "x");
    EXPECT_EQ(items[1].answer, 0);
    EXPECT_THAT(items[1].choices, ElementsAre("c", "d", "7"));
    EXPECT_EQ(items[1].group, "2");
    EXPECT_EQ(loadItems(task, 1).size(), 1u);
}

TEST_F(Tasks, ChoicesMayBeWrittenOutOrPrintedByATemplate)
{
    write("data.jsonl", R"({"q":"x","opts":{"a":"it's","b":"no \"b\""},"key":1})");
    const std::string head = "task: t\ndataset_path: json\ndataset_kwargs: {data_files: data.jsonl}\ntest_split: train\noutput_type: multiple_choice\ndoc_to_text: q\n";
    const auto first = [&](const std::string& rest) { return loadItems(loadTask(write("t.yaml", head + rest))).at(0); };
    TaskItem item = first("doc_to_choice: ['A', 'B: {{opts.b}}']\ndoc_to_target: 0\n");
    EXPECT_THAT(item.choices, ElementsAre("A", "B: no \"b\""));
    EXPECT_EQ(item.answer, 0);
    item = first("doc_to_choice: '{{[opts.a, opts.b, 3, -1.5]}}'\ndoc_to_target: '{{key}}'\n");
    EXPECT_THAT(item.choices, ElementsAre("it's", "no \"b\"", "3", "-1.5"));
    EXPECT_EQ(item.answer, 1);
    item = first("doc_to_choice: \"{{opts.values()|list}}\"\ndoc_to_target: \"{{opts.a}}\"\n");
    EXPECT_EQ(item.answer, 0);
    EXPECT_THROW(first("doc_to_choice: '{{q}}'\ndoc_to_target: 0\n"), Error);
    EXPECT_THROW(first("doc_to_choice: '[1, [2]]'\ndoc_to_target: 0\n"), Error);
    EXPECT_THROW(first("doc_to_choice: '[1] + [2]'\ndoc_to_target: 0\n"), Error);
    EXPECT_THROW(first("doc_to_choice: [a, b]\ndoc_to_target: 2\n"), Error);
    EXPECT_THROW(first("doc_to_choice: [a, b]\ndoc_to_target: '{{q}}'\n"), Error);
}

TEST_F(Tasks, GenerationReadsItsStopsAndItsLength)
{
    write("data.json", R"([{"q":"2+2","a":4}])");
    const TaskDefinition task = loadTask(write("t.yaml", R"(task: sums
dataset_path: json
dataset_kwargs: {data_files: [data.json]}
validation_split: train
output_type: generate_until
doc_to_text: "Q: {{q}}\nA:"
doc_to_target: a
generation_kwargs: {until: ["\n", "Q:"], max_gen_toks: 12, do_sample: false}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true, ignore_case: true}
metadata: {chat: true}
)"));
    const TaskItem item = loadItems(task).at(0);
    EXPECT_EQ(item.context, "Q: 2+2\nA:");
    EXPECT_EQ(item.target, "4");
    EXPECT_THAT(task.stop, ElementsAre("\n", "Q:"));
    EXPECT_EQ(task.maxTokens, 12);
    EXPECT_TRUE(task.chat);
    EXPECT_EQ(task.targetDelimiter, "") << "an answer in a chat begins a turn";
    EXPECT_TRUE(task.ignoreCase);
}

TEST_F(Tasks, TasksAreFoundByNameAndByPath)
{
    write("data.jsonl", R"({"q":"x","a":"y"})");
    const std::string body = "dataset_path: json\ndataset_kwargs: {data_files: data.jsonl}\ntest_split: train\noutput_type: loglikelihood\ndoc_to_text: q\ndoc_to_target: a\n";
    const auto one = write("set/one.yaml", "task: first\n" + body);
    write("set/group/two.yaml", "task: second\n" + body);
    write("set/broken.yaml", "task: [");
    const std::vector<std::filesystem::path> folders = {folder / "none", folder / "set"};
    const auto found = findTasks({"second", one.string(), "one"}, folders);
    ASSERT_EQ(found.size(), 3u);
    EXPECT_EQ(found[0].name, "second");
    EXPECT_EQ(found[1].name, "first");
    EXPECT_EQ(found[2].name, "first");
    try {
        findTasks({"third"}, folders);
        FAIL();
    } catch (const Error& e) {
        EXPECT_EQ(e.errorClass(), ErrorClass::Usage);
        EXPECT_THAT(e.hint(), testing::AllOf(HasSubstr("first"), HasSubstr("second")));
    }
    EXPECT_THROW(findTasks({"broken"}, folders), Error);
}

TEST_F(Tasks, WhatTheSubsetLacksIsRefusedByName)
{
    write("data.jsonl", R"({"q":"x","a":"y"})");
    const std::string good = "task: t\ndataset_path: json\ndataset_kwargs: {data_files: data.jsonl}\ntest_split: train\noutput_type: loglikelihood\ndoc_to_text: q\ndoc_to_target: a\n";
    EXPECT_EQ(failure(good), "");
    EXPECT_THAT(failure(good + "num_fewshot: 5\n"), HasSubstr("num_fewshot"));
    EXPECT_EQ(failure(good + "num_fewshot: 0\n"), "");
    EXPECT_THAT(failure(good + "process_docs: !function utils.f\n"), HasSubstr("!function"));
    EXPECT_THAT(failure(good + "filter_list: []\n"), HasSubstr("filter_list"));
    EXPECT_THAT(failure(good + "doc_to_text: again\n"), HasSubstr("twice"));
    EXPECT_THAT(failure(good + "metric_list: [{metric: bleu}]\n"), HasSubstr("metric_list[0].metric"));
    EXPECT_THAT(failure(good + "metric_list: [{metric: acc_norm}]\n"), HasSubstr("acc_norm"));
    EXPECT_THAT(failure(good + "metadata: {objective: speed}\n"), HasSubstr("metadata.objective"));
    EXPECT_THAT(failure(good + "metadata: {group_by: kind}\n"), HasSubstr("line 1: key \"kind\""));
    EXPECT_THAT(failure(good + "generation_kwargs: {temperature: 0.7}\n"), HasSubstr("sampling"));
    const auto with = [&](const std::string& key, const std::string& line) {
        std::string out = good;
        const std::size_t at = out.find(key + ":");
        return out.replace(at, out.find('\n', at) - at, line);
    };
    EXPECT_THAT(failure(with("dataset_path", "dataset_path: squad")), HasSubstr("dataset_path"));
    EXPECT_THAT(failure(with("test_split", "training_split: train")), HasSubstr("test_split"));
    EXPECT_THAT(failure(with("dataset_kwargs", "dataset_kwargs: {data_files: {train: data.jsonl}}\ntag: x")), "");
    EXPECT_THAT(failure(with("dataset_kwargs", "dataset_kwargs: {data_files: {other: data.jsonl}}")), HasSubstr("data_files.train"));
    EXPECT_THAT(failure(with("dataset_kwargs", "dataset_kwargs: {data_files: missing.jsonl}")), HasSubstr("missing.jsonl"));
    EXPECT_THAT(failure(with("output_type", "output_type: perplexity")), HasSubstr("output_type"));
    EXPECT_THAT(failure(with("doc_to_text", "doc_to_text: qqq")), HasSubstr("\"qqq\""));
    EXPECT_THAT(failure(with("doc_to_text", "doc_to_text: '{{qqq}}'")), HasSubstr("'qqq' is undefined"));
    EXPECT_THAT(failure(with("doc_to_text", "doc_to_text: '{% if'")), HasSubstr("doc_to_text"));
    EXPECT_THAT(failure(with("doc_to_target", "doc_to_target: 3")), HasSubstr("doc_to_target"));
    EXPECT_THAT(failure(with("task", "task: a/b")), HasSubstr("task"));
    EXPECT_THAT(failure("just text"), HasSubstr("object"));
    EXPECT_THAT(failure(""), HasSubstr("object"));
}

TEST_F(Tasks, BrokenDataNamesFileAndLine)
{
    const auto task = loadTask(write("t.yaml", "task: t\ndataset_path: json\ndataset_kwargs: {data_files: d.jsonl}\ntest_split: train\noutput_type: loglikelihood\ndoc_to_text: q\ndoc_to_target: a\n"));
    const auto failureOf = [&](const std::string& data) -> std::string {
        write("d.jsonl", data);
        try {
            loadItems(task);
        } catch (const Error& e) {
            return e.what();
        }
        return "";
    };
    EXPECT_THAT(failureOf("{\"q\":\"x\",\"a\":\"y\"}\n{\"q\":"), HasSubstr("d.jsonl, line 2"));
    EXPECT_THAT(failureOf("[1]\n"), HasSubstr("line 1"));
    EXPECT_THAT(failure("task: t\ndataset_path: json\ndataset_kwargs: {data_files: " + std::string(300, 'x') + "}\ntest_split: train\noutput_type: loglikelihood\ndoc_to_text: q\ndoc_to_target: a\n"),
                HasSubstr("there is no such data file"));
    EXPECT_THAT(failureOf("{\"q\":[1],\"a\":\"y\"}"), HasSubstr("\"q\""));
    EXPECT_THAT(failureOf("{\"q\":\"x\",\"a\":\"\"}"), HasSubstr("doc_to_target"));
    EXPECT_THAT(failureOf("{\"q\":\"x\",\"q\":\"x\",\"a\":\"y\"}"), HasSubstr("twice"));
    EXPECT_THAT(failureOf("\n"), HasSubstr("without items"));
    EXPECT_THAT(failureOf(std::string("{\"q\":\"") + std::string(17u << 20, 'x') + "\",\"a\":\"y\"}"), HasSubstr("16 MiB"));
}

TEST(QuickstartTasks, AllOfThemLoadAndAskSomething)
{
    const std::filesystem::path folder = test::sourceFolder() / "projects" / "quickstart" / "tasks";
    int files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        if (entry.path().extension() != ".yaml")
            continue;
        SCOPED_TRACE(entry.path());
        ++files;
        const TaskDefinition task = loadTask(entry.path());
        EXPECT_EQ(task.name, entry.path().stem());
        const std::vector<TaskItem> items = loadItems(task);
        EXPECT_GE(items.size(), 100u);
        for (const TaskItem& item : items) {
            EXPECT_FALSE(item.context.empty());
            EXPECT_FALSE(item.target.empty());
            EXPECT_FALSE(item.group.empty());
            EXPECT_EQ(item.context.find("{{"), std::string::npos);
        }
        EXPECT_EQ(findTasks({task.name}, {folder}).at(0).file, entry.path());
    }
    EXPECT_GE(files, 6);
}

TEST(TaskYaml, HostileFilesEndInAnError)
{
    const auto failure = [](const std::string& text) -> std::string {
        try {
            parseYaml(text, "hostile.yaml");
        } catch (const Error& e) {
            EXPECT_EQ(e.errorClass(), ErrorClass::Input);
            EXPECT_THAT(e.what(), HasSubstr("hostile.yaml"));
            return e.what();
        }
        return "";
    };
    std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
    for (int i = 1; i < 12; ++i) {
        const std::string last = "*a" + std::to_string(i - 1);
        bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + last;
        for (int j = 0; j < 9; ++j)
            bomb += ", " + last;
        bomb += "]\n";
    }
    EXPECT_THAT(failure(bomb), HasSubstr("aliases"));
    EXPECT_THAT(failure("a: &a [*a]\n"), testing::Ne(""));
    EXPECT_THAT(failure(std::string(200, '[') + std::string(200, ']')), HasSubstr("deeper"));
    EXPECT_THAT(failure(std::string(100'000, '[')), testing::Ne(""));
    EXPECT_THAT(failure(std::string(100'000, '{')), testing::Ne(""));
    EXPECT_THAT(failure("a: " + std::string(300'000, 'x')), HasSubstr("KiB"));
    EXPECT_THAT(failure("a: 1\na: 2\n"), HasSubstr("twice"));
    EXPECT_THAT(failure("? [a]\n: b\n"), HasSubstr("key"));
    EXPECT_THAT(failure("a: !!python/object x\n"), HasSubstr("tag"));
    EXPECT_THAT(failure("a: \xff\n"), HasSubstr("UTF-8"));
    EXPECT_THAT(failure("base: &b {x: 1}\nc:\n  <<: *b\n"), HasSubstr("merge"));
    EXPECT_THAT(failure("a: [1,\n"), HasSubstr("not valid YAML"));
}

TEST(TaskYaml, ScalarsGetYamlsTypes)
{
    const Json yaml = parseYaml("{i: 12, n: -3, f: 1.5, e: 1e3, t: true, z: ~, s: abc, q: '12', d: \"true\", v: 1.2.3, x: &k {y: [a]}, again: *k}", "x");
    EXPECT_EQ(yaml, Json::parse(R"({"i":12,"n":-3,"f":1.5,"e":1000.0,"t":true,"z":null,"s":"abc","q":"12","d":"true","v":"1.2.3","x":{"y":["a"]},"again":{"y":["a"]}})"));
}

} // namespace
} // namespace postnas
