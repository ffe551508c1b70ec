// From YAML to a checked task definition.
#include "core/tasks/task.h"

#include <algorithm>
#include <array>

#include "core/base/error.h"
#include "core/tasks/task_yaml.h"

namespace postnas {
namespace {

namespace fs = std::filesystem;

/// What the subset reads, and what of the full format changes nothing here.
constexpr std::array kKnownKeys = {"task", "dataset_path", "dataset_kwargs", "test_split", "validation_split", "training_split",
                                   "fewshot_split", "output_type", "doc_to_text", "doc_to_target", "doc_to_choice", "description",
                                   "target_delimiter", "fewshot_delimiter", "generation_kwargs", "metric_list", "num_fewshot", "metadata", "tag",
                                   "group", "repeats", "should_decontaminate", "doc_to_decontamination_query"};

std::string knownKeys()
{
    std::string out;
    for (const char* key : kKnownKeys)
        out += (out.empty() ? "" : ", ") + std::string(key);
    return out;
}

JinjaTemplate compile(const std::string& source, const JsonReader& yaml, const std::string& key)
{
    return JinjaTemplate::parse(source, yaml.source() + ": key \"" + key + "\"", {}, JinjaDialect::evaluation());
}

TaskField textField(const JsonReader& yaml, const std::string& key)
{
    TaskField out;
    out.key = key;
    const Json& value = yaml.value(key);
    if (value.is_number_integer())
        out.index = value.get<std::int64_t>();
    else if (!value.is_string())
        yaml.fail(key, "must be a template, the name of a field, or a number");
    out.source = value.is_string() ? value.get<std::string>() : value.dump();
    out.compiled = compile(out.source, yaml, key);
    return out;
}

TaskField choiceField(const JsonReader& yaml)
{
    TaskField out;
    out.key = "doc_to_choice";
    const Json& value = yaml.value(out.key);
    if (value.is_string())
        return textField(yaml, out.key);
    if (!value.is_array() || value.empty() || value.size() > 1000)
        yaml.fail(out.key, "must be a list of choices, a template of one, or the name of a field");
    for (const Json& choice : value) {
        if (choice.is_structured() || choice.is_null())
            yaml.fail(out.key, "must be a list of texts");
        TaskField field;
        field.key = out.key;
        field.source = choice.is_string() ? choice.get<std::string>() : choice.dump();
        field.compiled = compile(field.source, yaml, out.key);
        out.list.push_back(std::move(field));
    }
    return out;
}

OutputType outputType(const JsonReader& yaml)
{
    const std::string name = yaml.string("output_type", "generate_until");
    if (name == "multiple_choice")
        return OutputType::MultipleChoice;
    if (name == "loglikelihood")
        return OutputType::LogLikelihood;
    if (name != "generate_until")
        yaml.fail("output_type", "is \"" + name + "\"", "Supported: multiple_choice, loglikelihood, generate_until.");
    return OutputType::GenerateUntil;
}

std::vector<std::string> stringOrList(const JsonReader& object, const std::string& key)
{
    return object.value(key).is_string() ? std::vector<std::string>{object.string(key)} : object.strings(key);
}

void readData(const JsonReader& yaml, TaskDefinition& task)
{
    if (yaml.string("dataset_path") != "json")
        yaml.fail("dataset_path", "must be \"json\"", "Save the data set as JSON lines and name the file under dataset_kwargs.data_files.");
    const JsonReader arguments = yaml.object("dataset_kwargs");
    std::string split = yaml.string("test_split", "");
    if (split.empty())
        split = yaml.string("validation_split", "");
    if (split.empty())
        yaml.fail("test_split", "is missing, and validation_split too");
    const Json& files = arguments.value("data_files");
    std::vector<std::string> names;
    if (files.is_object()) {
        const JsonReader splits = arguments.object("data_files");
        if (!splits.has(split))
            splits.fail(split, "is missing, but test_split or validation_split names it");
        names = stringOrList(splits, split);
    } else {
        names = stringOrList(arguments, "data_files");
    }
    if (names.empty() || names.size() > 1000)
        arguments.fail("data_files", "must name at least one file");
    for (const std::string& name : names) {
        if (name.empty() || name.find('\0') != std::string::npos)
            arguments.fail("data_files", "has an empty file name");
        task.dataFiles.push_back(task.file.parent_path() / name);
    }
}

void readMetrics(const JsonReader& yaml, TaskDefinition& task)
{
    const bool generates = task.outputType == OutputType::GenerateUntil;
    if (!yaml.has("metric_list")) {
        task.metrics = generates ? std::vector<std::string>{"exact_match"} : std::vector<std::string>{"acc"};
        if (task.outputType == OutputType::MultipleChoice)
            task.metrics.emplace_back("acc_norm");
        return;
    }
    const Json& list = yaml.value("metric_list");
    if (!list.is_array() || list.empty())
        yaml.fail("metric_list", "must be a list of metrics");
    for (std::size_t i = 0; i < list.size(); ++i) {
        const JsonReader entry(list[i], yaml.source(), "metric_list[" + std::to_string(i) + "]");
        const std::string metric = entry.string("metric");
        const bool fits = generates ? metric == "exact_match" : metric == "acc" || (metric == "acc_norm" && task.outputType == OutputType::MultipleChoice);
        if (!fits)
            entry.fail("metric", "is \"" + metric + "\", which does not fit the output_type",
                       "Supported: acc and acc_norm for multiple_choice, acc for loglikelihood, exact_match for generate_until.");
        if (entry.string("aggregation", "mean") != "mean")
            entry.fail("aggregation", "must be \"mean\"");
        if (std::find(task.metrics.begin(), task.metrics.end(), metric) != task.metrics.end())
            entry.fail("metric", "is \"" + metric + "\" for the second time");
        task.metrics.push_back(metric);
        task.ignoreCase = entry.boolean("ignore_case", false);
        task.ignorePunctuation = entry.boolean("ignore_punctuation", false);
    }
}

void readGeneration(const JsonReader& yaml, TaskDefinition& task)
{
    task.stop = {yaml.string("fewshot_delimiter", "\n\n")};
    if (!yaml.has("generation_kwargs"))
        return;
    const JsonReader generation = yaml.object("generation_kwargs");
    for (const auto& [key, value] : generation.json().items())
        if (key != "until" && key != "max_gen_toks" && key != "do_sample" && key != "temperature")
            generation.fail(key, "is not supported");
    if (generation.has("until"))
        task.stop = stringOrList(generation, "until");
    for (const std::string& stop : task.stop)
        if (stop.empty())
            generation.fail("until", "has an empty text");
    task.maxTokens = static_cast<int>(generation.integer("max_gen_toks", 1, 1 << 20, 256));
    if (generation.boolean("do_sample", false) || generation.number("temperature", 0.0, 100.0, 0.0) != 0.0)
        generation.fail("do_sample", "asks for sampling; tasks are decoded greedily");
}

void readMetadata(const JsonReader& yaml, TaskDefinition& task)
{
    if (!yaml.has("metadata"))
        return;
    const JsonReader metadata = yaml.object("metadata");
    if (metadata.has("version"))
        task.version = metadata.value("version");
    if (metadata.has("objective")) {
        const std::string name = metadata.string("objective");
        if (name != objectiveName(Objective::Accuracy) && name != objectiveName(Objective::NegativeLoss))
            metadata.fail("objective", "is \"" + name + "\"", "Known objectives: accuracy, negative_loss.");
        task.objective = objectiveFromName(name);
    }
    if (task.objective == Objective::NegativeLoss && task.outputType == OutputType::GenerateUntil)
        metadata.fail("objective", "is \"negative_loss\", but generated text has no loss", "Use output_type loglikelihood or multiple_choice.");
    task.groupBy = metadata.string("group_by", "");
    task.chat = metadata.boolean("chat", false);
}

} // namespace

const char* objectiveName(Objective objective) { return objective == Objective::Accuracy ? "accuracy" : "negative_loss"; }

Objective objectiveFromName(const std::string& name)
{
    if (name == "accuracy")
        return Objective::Accuracy;
    if (name == "negative_loss")
        return Objective::NegativeLoss;
    throw usageError("objective \"" + name + "\" is unknown", "Known objectives: accuracy, negative_loss.");
}

TaskDefinition loadTask(const fs::path& file)
{
    TaskDefinition task;
    task.file = file;
    task.config = readYamlFile(file);
    const JsonReader yaml(task.config, file.string());
    for (const auto& [key, value] : yaml.json().items())
        if (std::find(kKnownKeys.begin(), kKnownKeys.end(), key) == kKnownKeys.end())
            yaml.fail(key, "is not supported", "Supported keys, a subset of lm-evaluation-harness' format: " + knownKeys() + ".");
    task.name = yaml.string("task");
    if (task.name.empty() || task.name.size() > 200 || task.name.find_first_of("/\\,\n\r\t") != std::string::npos)
        yaml.fail("task", "must be a name without slashes, commas and line breaks");
    if (yaml.has("num_fewshot") && yaml.integer("num_fewshot", 0, 1'000'000) != 0)
        yaml.fail("num_fewshot", "must be 0", "Write the examples into doc_to_text or into the data.");
    if (yaml.has("repeats") && yaml.integer("repeats", 1, 1'000'000) != 1)
        yaml.fail("repeats", "must be 1");
    task.outputType = outputType(yaml);
    readData(yaml, task);
    task.docToText = textField(yaml, "doc_to_text");
    task.docToTarget = textField(yaml, "doc_to_target");
    if (task.outputType == OutputType::MultipleChoice)
        task.docToChoice = choiceField(yaml);
    else if (task.docToTarget.index)
        yaml.fail("doc_to_target", "is a number, which only multiple_choice can use");
    if (yaml.has("description"))
        task.description = textField(yaml, "description");
    readMetrics(yaml, task);
    readGeneration(yaml, task);
    readMetadata(yaml, task);
    // As in lm-evaluation-harness, an answer in a chat begins a turn and so has nothing before it.
    task.targetDelimiter = yaml.string("target_delimiter", task.chat ? "" : " ");
    return task;
}

std::vector<TaskDefinition> findTasks(const std::vector<std::string>& names, const std::vector<fs::path>& folders)
{
    std::vector<fs::path> files;
    const auto collect = [&](const fs::path& folder) {
        std::error_code ignored;
        std::vector<fs::path> found;
        for (const auto& entry : fs::directory_iterator(folder, ignored))
            if (entry.path().extension() == ".yaml" || entry.path().extension() == ".yml")
                found.push_back(entry.path());
        std::sort(found.begin(), found.end());
        files.insert(files.end(), found.begin(), found.end());
    };
    for (const fs::path& folder : folders) {
        collect(folder);
        std::error_code ignored;
        std::vector<fs::path> inner;
        for (const auto& entry : fs::directory_iterator(folder, ignored))
            if (entry.is_directory(ignored))
                inner.push_back(entry.path());
        std::sort(inner.begin(), inner.end());
        for (const fs::path& path : inner)
            collect(path);
    }
    const auto nameOf = [](const fs::path& file) -> std::string {
        try { // a broken file that nobody asked for is no reason to fail
            const Json yaml = readYamlFile(file);
            return yaml.is_object() && yaml.contains("task") && yaml["task"].is_string() ? yaml["task"].get<std::string>() : "";
        } catch (const Error&) {
            return "";
        }
    };
    std::vector<TaskDefinition> out;
    for (const std::string& name : names) {
        const fs::path path = name;
        if (path.has_parent_path() || path.extension() == ".yaml" || path.extension() == ".yml") {
            out.push_back(loadTask(path));
            continue;
        }
        auto it = std::find_if(files.begin(), files.end(), [&](const fs::path& file) { return nameOf(file) == name; });
        if (it == files.end())
            it = std::find_if(files.begin(), files.end(), [&](const fs::path& file) { return file.stem() == name; });
        if (it == files.end()) {
            std::string known;
            for (const fs::path& file : files)
                if (const std::string task = nameOf(file); !task.empty())
                    known += (known.empty() ? "" : ", ") + task;
            throw usageError("there is no task \"" + name + "\"", known.empty() ? "Name the path of a task's YAML file." : "Known tasks: " + known + ".");
        }
        out.push_back(loadTask(*it));
    }
    return out;
}

} // namespace postnas
