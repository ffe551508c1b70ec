// Encodes the items of tasks once, then scores models on them.
#include "core/engine/evaluation/task_suite.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/engine/evaluation/generated_answers.h"
#include "core/engine/evaluation/likelihood.h"
#include "core/engine/generation/decode_batch.h"
#include "core/huggingface/chat_template.h"

namespace postnas::engine {
namespace {

/// One item as ids: a request for each choice, one for a loglikelihood task; for generation the prompt alone.
struct EncodedItem {
    std::vector<LikelihoodRequest> requests;
    std::vector<std::int32_t> prompt;
    TaskItem item;
};

/// The context as text pieces: plain, or as the user's turn of a conversation.
std::vector<TextSegment> contextSegments(const TaskDefinition& task, const TaskItem& item, const std::optional<ChatTemplate>& chat)
{
    if (!task.chat)
        return {{item.context, true}};
    if (!chat)
        throw inputError(task.name + ": the task asks in chat form, but the model has no chat template");
    const Json messages = Json::array({{{"role", "user"}, {"content", item.context}}});
    return chat->render(messages, nullptr, true).segments;
}

/// Splits ids of context + continuation where lm-evaluation-harness does: spaces at the context's end belong to the
/// continuation, and the context's own ids count how many tokens are context.
LikelihoodRequest encode(const Tokenizer& tokenizer, std::vector<TextSegment> context, std::string continuation)
{
    std::string& tail = context.back().text;
    const std::size_t end = tail.find_last_not_of(' ');
    const std::size_t keep = end == std::string::npos ? 0 : end + 1;
    continuation = tail.substr(keep) + continuation;
    tail.resize(keep);
    const std::vector<std::int32_t> head = tokenizer.encodeSegments(context);
    context.push_back({continuation, false});
    const std::vector<std::int32_t> whole = tokenizer.encodeSegments(context);
    LikelihoodRequest request;
    const std::size_t cut = std::min(head.size(), whole.empty() ? 0 : whole.size() - 1);
    request.context.assign(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(cut));
    request.continuation.assign(whole.begin() + static_cast<std::ptrdiff_t>(cut), whole.end());
    return request;
}

} // namespace

struct TaskSuite::Task {
    TaskDefinition definition;
    std::string objective;
    std::vector<EncodedItem> search;
    std::vector<EncodedItem> report;

    const std::vector<EncodedItem>& items(Split split) const { return split == Split::Search ? search : report; }
};

TaskSuite::TaskSuite(const std::vector<std::filesystem::path>& taskFiles, const std::filesystem::path& tokenizerFolder, const Tokenizer& tokenizer,
                     std::int64_t searchItems, std::int64_t reportItems)
    : m_tokenizer(tokenizer)
{
    std::optional<ChatTemplate> chat;
    if (tokenizer.chatTemplate())
        chat = ChatTemplate::load(tokenizerFolder);
    for (const std::filesystem::path& file : taskFiles) {
        auto task = std::make_unique<Task>();
        task->definition = loadTask(file);
        task->objective = objectiveName(task->definition.objective);
        std::optional<std::size_t> limit;
        if (searchItems > 0)
            limit = static_cast<std::size_t>(searchItems + reportItems);
        const std::vector<TaskItem> items = loadItems(task->definition, limit);
        if (items.empty())
            throw inputError(file.string() + ": the task has no items");
        if (searchItems > 0 && reportItems > 0 && static_cast<std::int64_t>(items.size()) < searchItems + reportItems)
            throw usageError(file.string() + ": has " + std::to_string(items.size()) + " items; item_limit and report_items together ask for "
                             + std::to_string(searchItems + reportItems));
        for (std::size_t i = 0; i < items.size(); ++i) {
            EncodedItem encoded;
            encoded.item = items[i];
            const std::vector<TextSegment> context = contextSegments(task->definition, items[i], chat);
            if (task->definition.outputType == OutputType::MultipleChoice) {
                for (const std::string& choice : items[i].choices)
                    encoded.requests.push_back(encode(tokenizer, context, task->definition.targetDelimiter + choice));
            } else if (task->definition.outputType == OutputType::LogLikelihood) {
                encoded.requests.push_back(encode(tokenizer, context, task->definition.targetDelimiter + items[i].target));
            } else {
                encoded.prompt = tokenizer.encodeSegments(context);
                if (encoded.prompt.empty())
                    throw inputError(file.string() + ": item " + std::to_string(i) + " has an empty question");
            }
            for (LikelihoodRequest& request : encoded.requests)
                if (request.context.empty() || request.continuation.empty())
                    throw inputError(file.string() + ": item " + std::to_string(i) + " has an empty question or answer");
            (searchItems > 0 && static_cast<std::int64_t>(i) >= searchItems ? task->report : task->search).push_back(std::move(encoded));
        }
        if (find(task->definition.name) >= 0)
            throw usageError(file.string() + ": a task of the name \"" + task->definition.name + "\" is there already");
        m_tasks.push_back(std::move(task));
    }
}

TaskSuite::~TaskSuite() = default;

int TaskSuite::taskCount() const { return static_cast<int>(m_tasks.size()); }
const std::string& TaskSuite::name(int task) const { return m_tasks[static_cast<std::size_t>(task)]->definition.name; }
const std::string& TaskSuite::objective(int task) const { return m_tasks[static_cast<std::size_t>(task)]->objective; }

const TaskDefinition& TaskSuite::definition(int task) const { return m_tasks[static_cast<std::size_t>(task)]->definition; }

int TaskSuite::find(const std::string& name) const
{
    for (int i = 0; i < taskCount(); ++i)
        if (this->name(i) == name)
            return i;
    return -1;
}

void TaskSuite::setObjective(int task, const std::string& objective)
{
    if (objective != "accuracy" && objective != "negative_loss")
        throw usageError("objective \"" + objective + "\" is unknown", "Known objectives: accuracy, negative_loss.");
    m_tasks[static_cast<std::size_t>(task)]->objective = objective;
}

std::int64_t TaskSuite::itemCount(int task, Split split) const
{
    return static_cast<std::int64_t>(m_tasks[static_cast<std::size_t>(task)]->items(split).size());
}

std::vector<ItemScore> TaskSuite::itemScores(int task, Split split, const HybridModel& model, const std::vector<const Block*>* mixers,
                                             const CancellationToken& cancellation) const
{
    const Task& t = *m_tasks[static_cast<std::size_t>(task)];
    std::vector<ItemScore> out;
    if (t.definition.outputType == OutputType::GenerateUntil) {
        std::vector<std::vector<std::int32_t>> prompts;
        for (const EncodedItem& item : t.items(split))
            prompts.push_back(item.prompt);
        const std::vector<std::string> texts
            = generatedAnswers(model, mixers, m_tokenizer, prompts, {t.definition.maxTokens, t.definition.stop}, decodesInBatches(model), cancellation);
        for (std::size_t i = 0; i < texts.size(); ++i)
            out.push_back(scoreGeneration(t.definition, t.items(split)[i].item, texts[i]));
        return out;
    }
    std::vector<LikelihoodRequest> requests;
    for (const EncodedItem& item : t.items(split))
        requests.insert(requests.end(), item.requests.begin(), item.requests.end());
    const std::vector<Likelihood> answers = likelihoods(model, mixers, requests, 8192, cancellation);
    std::size_t next = 0;
    for (const EncodedItem& item : t.items(split)) {
        const Likelihood* first = &answers[next];
        next += item.requests.size();
        if (t.definition.outputType == OutputType::MultipleChoice) {
            std::vector<double> logs;
            for (std::size_t c = 0; c < item.requests.size(); ++c)
                logs.push_back(first[c].logProbability);
            out.push_back(scoreMultipleChoice(item.item, logs));
        } else {
            out.push_back(scoreLoglikelihood(item.item, first->logProbability, first->greedy));
        }
    }
    return out;
}

TaskResult TaskSuite::result(int task, Split split, const HybridModel& model, const std::vector<const Block*>* mixers,
                             const CancellationToken& cancellation) const
{
    return aggregate(m_tasks[static_cast<std::size_t>(task)]->definition, itemScores(task, split, model, mixers, cancellation));
}

TaskScores TaskSuite::score(int task, Split split, const HybridModel& model, const std::vector<const Block*>* mixers,
                            const CancellationToken& cancellation) const
{
    const TaskResult result = this->result(task, split, model, mixers, cancellation);
    TaskScores out;
    out.items = static_cast<std::int64_t>(result.items);
    out.metrics["accuracy"] = result.accuracy;
    if (std::isfinite(result.meanLoss))
        out.metrics["negative_loss"] = -result.meanLoss;
    if (!out.metrics.contains(objective(task)))
        throw usageError(name(task) + ": generated text has no loss, so the task cannot be searched by negative_loss");
    out.metrics["objective"] = out.metrics.at(objective(task));
    for (const auto& [group, accuracy] : result.groups)
        out.groups[group] = accuracy.accuracy;
    return out;
}

} // namespace postnas::engine
