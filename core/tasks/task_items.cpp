// From the data files of a task to its items: each document goes through the task's templates.
#include <algorithm>
#include <string_view>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/huggingface/jinja_lexer.h"
#include "core/tasks/task.h"

namespace postnas {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxLineBytes = 16u << 20;
constexpr std::size_t kMaxItems = 5'000'000;
constexpr std::uint64_t kMaxJsonBytes = 1u << 30;

bool isBareName(const std::string& text)
{
    const auto isLetter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
    return !text.empty() && isLetter(text[0])
        && std::all_of(text.begin(), text.end(), [&](char c) { return isLetter(c) || (c >= '0' && c <= '9'); });
}

bool isDigits(const std::string& text)
{
    return !text.empty() && text.size() < 10 && text.find_first_not_of("0123456789") == std::string::npos;
}

/// One document of a data file, and the words that name it in an error.
struct Document {
    const Json& fields;
    std::string where;

    [[noreturn]] void fail(const std::string& key, const std::string& problem, const std::string& hint = {}) const
    {
        throw inputError(where + ": key \"" + key + "\" " + problem, hint);
    }
};

std::string plainText(const Document& doc, const std::string& field, const Json& value)
{
    if (value.is_string())
        return value.get<std::string>();
    if (value.is_number())
        return value.dump();
    doc.fail(field, "must be text or a number");
}

std::string renderTemplate(const Document& doc, const TaskField& field)
{
    if (!field.compiled)
        return {};
    try {
        return field.compiled->render(doc.fields);
    } catch (const Error& e) {
        throw Error(e.errorClass(), doc.where + ": " + e.what(), e.hint());
    }
}

/// The field of the document that the task names, or null when it gives a template.
const Json* namedField(const Document& doc, const TaskField& field)
{
    const auto it = doc.fields.find(field.source);
    if (it != doc.fields.end())
        return &*it;
    if (isBareName(field.source))
        doc.fail(field.source, "is missing, but " + field.key + " names it");
    return nullptr;
}

std::string textOf(const Document& doc, const TaskField& field)
{
    if (const Json* value = namedField(doc, field))
        return plainText(doc, field.source, *value);
    return renderTemplate(doc, field);
}

/// A Python list of texts and numbers, as templates such as "{{[a, b]}}" print it.
std::vector<std::string> parsePrintedList(const Document& doc, const std::string& key, const std::string& text)
{
    std::vector<std::string> out;
    try {
        const JinjaDialect dialect = JinjaDialect::evaluation();
        const auto tokens = lexJinja("{{ " + text + " }}", dialect);
        const bool isList = tokens.size() >= 5 && ((tokens[1].isOperator("[") && tokens[tokens.size() - 3].isOperator("]"))
                                                   || (tokens[1].isOperator("(") && tokens[tokens.size() - 3].isOperator(")")));
        if (!isList || tokens.back().kind != JinjaTokenKind::End || tokens[tokens.size() - 2].kind != JinjaTokenKind::VariableEnd)
            doc.fail(key, "does not give a list: " + text.substr(0, 80));
        for (std::size_t i = 2; i + 3 < tokens.size(); ++i) {
            std::string sign;
            if (tokens[i].isOperator("-")) {
                sign = "-";
                ++i;
            }
            if (tokens[i].kind == JinjaTokenKind::String && sign.empty())
                out.push_back(tokens[i].text);
            else if (tokens[i].kind == JinjaTokenKind::Integer)
                out.push_back(sign + std::to_string(tokens[i].integer));
            else if (tokens[i].kind == JinjaTokenKind::Float)
                out.push_back(sign + Json(tokens[i].number).dump());
            else
                doc.fail(key, "gives a list of something else than texts and numbers: " + text.substr(0, 80));
            if (i + 4 < tokens.size() && !tokens[++i].isOperator(","))
                doc.fail(key, "does not give a list: " + text.substr(0, 80));
        }
    } catch (const JinjaFailure& e) {
        doc.fail(key, std::string("does not give a list: ") + e.what());
    }
    return out;
}

std::vector<std::string> choicesOf(const Document& doc, const TaskField& field)
{
    std::vector<std::string> out;
    if (!field.list.empty()) {
        for (const TaskField& choice : field.list)
            out.push_back(renderTemplate(doc, choice));
        return out;
    }
    const Json* value = namedField(doc, field);
    if (value == nullptr)
        return parsePrintedList(doc, field.key, renderTemplate(doc, field));
    if (!value->is_array())
        doc.fail(field.source, "must be a list, since doc_to_choice names it");
    for (const Json& choice : *value)
        out.push_back(plainText(doc, field.source, choice));
    return out;
}

/// The index of the right choice: given as a number, or as the text of a choice.
int answerOf(const Document& doc, const TaskField& field, const std::vector<std::string>& choices)
{
    std::int64_t index = -1;
    const Json* value = field.index ? nullptr : namedField(doc, field);
    if (field.index) {
        index = *field.index;
    } else if (value != nullptr && value->is_number_integer()) {
        index = value->get<std::int64_t>();
    } else {
        if (value != nullptr && !value->is_string())
            doc.fail(field.source, "must be the index or the text of a choice, since doc_to_target names it");
        const std::string text = value != nullptr ? value->get<std::string>() : renderTemplate(doc, field);
        const auto it = std::find(choices.begin(), choices.end(), text);
        if (value == nullptr && isDigits(text)) // as lm-evaluation-harness: a template that prints a number gives the index
            index = std::stoll(text);
        else if (it != choices.end())
            index = it - choices.begin();
        else
            doc.fail(field.key, "gives \"" + text.substr(0, 60) + "\", which is none of the choices");
    }
    if (index < 0 || index >= static_cast<std::int64_t>(choices.size()))
        doc.fail(field.key, "gives choice " + std::to_string(index) + ", but there are " + std::to_string(choices.size()));
    return static_cast<int>(index);
}

TaskItem makeItem(const TaskDefinition& task, const Document& doc)
{
    TaskItem item;
    item.context = renderTemplate(doc, task.description) + textOf(doc, task.docToText);
    if (task.outputType == OutputType::MultipleChoice) {
        item.choices = choicesOf(doc, task.docToChoice);
        if (item.choices.size() < 2 || item.choices.size() > 1000)
            doc.fail("doc_to_choice", "gives " + std::to_string(item.choices.size()) + " choices; 2 to 1000 are needed");
        item.answer = answerOf(doc, task.docToTarget, item.choices);
        item.target = item.choices[static_cast<std::size_t>(item.answer)];
    } else {
        item.target = textOf(doc, task.docToTarget);
        if (item.target.empty() && task.outputType == OutputType::LogLikelihood)
            doc.fail("doc_to_target", "gives an empty text, whose likelihood says nothing");
    }
    if (!task.groupBy.empty()) {
        const auto it = doc.fields.find(task.groupBy);
        if (it == doc.fields.end())
            doc.fail(task.groupBy, "is missing, but metadata.group_by names it");
        item.group = it->is_boolean() ? it->dump() : plainText(doc, task.groupBy, *it);
    }
    return item;
}

void addItem(const TaskDefinition& task, const Json& fields, std::string where, std::vector<TaskItem>& out)
{
    if (!fields.is_object())
        throw inputError(where + ": each item must be a JSON object");
    if (out.size() >= kMaxItems)
        throw inputError(where + ": a task has at most " + std::to_string(kMaxItems) + " items");
    out.push_back(makeItem(task, {fields, std::move(where)}));
}

} // namespace

std::vector<TaskItem> loadItems(const TaskDefinition& task, std::optional<std::size_t> limit)
{
    std::vector<TaskItem> out;
    const auto full = [&] { return limit && out.size() >= *limit; };
    for (const fs::path& file : task.dataFiles) {
        if (full())
            break;
        std::error_code ignored; // of a name that no file can have
        if (!fs::is_regular_file(file, ignored))
            throw inputError(file.string() + ": there is no such data file", "Task " + task.file.string() + " names it under dataset_kwargs.data_files.");
        if (file.extension() == ".json") { // one list; anything else is JSON lines
            const Json list = readJsonFile(file, kMaxJsonBytes);
            if (!list.is_array())
                throw inputError(file.string() + ": a .json data file must hold a list", "Name files of JSON lines .jsonl.");
            for (std::size_t i = 0; i < list.size() && !full(); ++i)
                addItem(task, list[i], file.string() + ", item " + std::to_string(i), out);
            continue;
        }
        const MappedFile mapped(file);
        const std::string_view text(reinterpret_cast<const char*>(mapped.bytes().data()), mapped.bytes().size());
        std::size_t begin = 0;
        for (std::size_t number = 1; !full() && begin < text.size(); ++number) {
            const std::size_t end = std::min(text.find('\n', begin), text.size());
            const std::string_view line = text.substr(begin, end - begin);
            begin = end + 1;
            const std::string where = file.string() + ", line " + std::to_string(number);
            if (line.size() > kMaxLineBytes)
                throw inputError(where + ": the line is longer than 16 MiB");
            if (line.find_first_not_of(" \t\r") != std::string_view::npos)
                addItem(task, parseJson(line, where), where, out);
        }
    }
    if (out.empty() && !(limit && *limit == 0))
        throw inputError(task.file.string() + ": key \"dataset_kwargs.data_files\" names files without items");
    return out;
}

} // namespace postnas
