// Evaluation tasks: a subset of lm-evaluation-harness' YAML format, and the items that a task asks.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/huggingface/jinja_template.h"

namespace postnas {

enum class OutputType {
    MultipleChoice, ///< the choice whose continuation is the most likely
    LogLikelihood,  ///< how likely the target is after the context, and whether greedy decoding would give it
    GenerateUntil,  ///< text is generated and compared with the target
};

/// What a search maximises on a task.
enum class Objective { Accuracy, NegativeLoss };
/// "accuracy", "negative_loss"
const char* objectiveName(Objective objective);
/// The inverse; throws Error(Usage) on another name.
Objective objectiveFromName(const std::string& name);

/// One of doc_to_text, doc_to_target and doc_to_choice: the name of a field, a template over the fields, or a fixed value.
struct TaskField {
    std::string key;                          ///< "doc_to_text" and so on, for errors
    std::string source;                       ///< a field's name or the template's text
    std::optional<JinjaTemplate> compiled;    ///< of `source`
    std::optional<std::int64_t> index;        ///< a fixed answer
    std::vector<TaskField> list;              ///< choices written out one by one, each a template
};

struct TaskDefinition {
    std::string name;
    std::filesystem::path file; ///< the YAML file
    OutputType outputType = OutputType::MultipleChoice;
    std::vector<std::filesystem::path> dataFiles;
    TaskField description; ///< put before each context; may be empty
    TaskField docToText;
    TaskField docToTarget;
    TaskField docToChoice;
    std::string targetDelimiter = " "; ///< between the context and what is scored after it
    std::vector<std::string> stop;     ///< generate_until
    int maxTokens = 256;               ///< generate_until
    std::vector<std::string> metrics;  ///< acc, acc_norm, exact_match
    bool ignoreCase = false;           ///< exact_match
    bool ignorePunctuation = false;    ///< exact_match
    Objective objective = Objective::Accuracy;
    std::string groupBy;  ///< a field whose values split the accuracy; empty: none
    bool chat = false;    ///< the context is a user's message and goes through the chat template
    Json version;         ///< metadata.version, a number or null
    Json config;          ///< the whole file, for results.json
};

struct TaskItem {
    std::string context;
    std::vector<std::string> choices; ///< without the delimiter; empty unless multiple choice
    int answer = -1;                  ///< index into `choices`
    std::string target;               ///< the expected text, without the delimiter; of multiple choice the right choice
    std::string group; ///< the value of group_by
};

/// Reads a task file. Throws Error(Input) naming file and key on everything that is broken or not part of the subset (few-shot
/// examples, data sets other than JSON files, Python functions).
TaskDefinition loadTask(const std::filesystem::path& file);

/// The items in the order of the data files, at most `limit`. Throws Error(Input) naming data file, line and key.
std::vector<TaskItem> loadItems(const TaskDefinition& task, std::optional<std::size_t> limit = std::nullopt);

/// Each entry of `names` is a path to a task file, or the name of a task (or of its file, without .yaml) in one of the
/// folders, which are searched in order with their direct subfolders. Throws Error(Usage) naming what was not found and what
/// there is, Error(Input) on a broken task file that was asked for.
std::vector<TaskDefinition> findTasks(const std::vector<std::string>& names, const std::vector<std::filesystem::path>& folders);

} // namespace postnas
