// `postnas tokenize` and `postnas detokenize`: text to ids and back, plain or as JSON lines.
#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>

#include <CLI/CLI.hpp>

#include "app/cli/commands.h"
#include "core/base/error.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/huggingface/tokenizer.h"

namespace postnas {
namespace {

struct TokenizeOptions {
    std::string model;
    std::string input = "-";
    bool jsonLines = false;
    bool asText = false;
    bool noTemplate = false;
    bool skipSpecial = false;
};

/// The input as a stream: a file, or standard input for "-".
class InputStream {
public:
    explicit InputStream(const std::string& name)
        : m_name(name == "-" ? "standard input" : name)
    {
        if (name == "-")
            return;
        m_file.open(name, std::ios::binary);
        if (!m_file)
            throw inputError(name + ": cannot be opened", "Give an existing file, or - for standard input.");
    }
    std::istream& stream() { return m_file.is_open() ? m_file : std::cin; }
    const std::string& name() const { return m_name; }
    std::string readAll()
    {
        std::string out;
        char buffer[1 << 16];
        while (stream().read(buffer, sizeof buffer) || stream().gcount() > 0)
            out.append(buffer, static_cast<std::size_t>(stream().gcount()));
        return out;
    }

private:
    std::string m_name;
    std::ifstream m_file;
};

/// Calls `work` with each line's JSON object and its place for errors; empty lines are passed over.
template <typename Work>
void forEachJsonLine(InputStream& input, Work work)
{
    std::string line;
    for (std::size_t number = 1; std::getline(input.stream(), line); ++number) {
        if (line.find_first_not_of(" \t\r") == std::string::npos)
            continue;
        const std::string where = input.name() + ": line " + std::to_string(number);
        const Json json = parseJson(line, where);
        work(JsonReader(json, where));
    }
}

void checkWritten()
{
    if (!std::cout.flush())
        throw resourceError("standard output: cannot be written");
}

void tokenize(const TokenizeOptions& options)
{
    const Tokenizer tokenizer = Tokenizer::load(options.model);
    const SpecialTokens specials = options.asText ? SpecialTokens::AsText : SpecialTokens::Parse;
    const AddTemplate addTemplate = options.noTemplate ? AddTemplate::No : AddTemplate::Yes;
    InputStream input(options.input);
    if (options.jsonLines) {
        forEachJsonLine(input, [&](const JsonReader& line) {
            Json out;
            const auto ids = tokenizer.encode(line.string("text"), specials, addTemplate);
            out["ids"] = ids;
            out["decoded"] = tokenizer.decode(ids);
            std::cout << dumpJson(out) << '\n';
        });
        return checkWritten();
    }
    const std::string text = input.readAll();
    if (const std::size_t bad = findInvalidUtf8(text); bad != std::string::npos)
        throw inputError(input.name() + ": no valid UTF-8 at byte " + std::to_string(bad),
                         "Convert the text to UTF-8, or remove the broken bytes.");
    std::string out;
    for (const std::int32_t id : tokenizer.encode(text, specials, addTemplate))
        out.append(out.empty() ? "" : " ").append(std::to_string(id));
    std::cout << out << '\n';
    checkWritten();
}

/// An id of the tokenizer; `where` names its place for errors.
std::int32_t checkedId(const Tokenizer& tokenizer, std::int64_t id, const std::string& where)
{
    if (id < 0 || id >= tokenizer.vocabularySize() || !tokenizer.idToToken(static_cast<std::int32_t>(id)))
        throw inputError(where + ": the tokenizer has no token with id " + std::to_string(id),
                         "Its ids end at " + std::to_string(tokenizer.vocabularySize() - 1) + ".");
    return static_cast<std::int32_t>(id);
}

std::vector<std::int32_t> parseIds(const Tokenizer& tokenizer, const std::string& text, const std::string& name)
{
    std::vector<std::int32_t> out;
    constexpr const char* kSeparators = " ,\t\r\n";
    for (std::size_t begin = text.find_first_not_of(kSeparators); begin != std::string::npos;) {
        const std::size_t end = std::min(text.find_first_of(kSeparators, begin), text.size());
        const std::string word = text.substr(begin, end - begin);
        if (word.size() > 10 || word.find_first_not_of("0123456789") != std::string::npos)
            throw inputError(name + ": \"" + sanitizeForTerminal(word.substr(0, 40)) + "\" at byte " + std::to_string(begin)
                                 + " is no token id", "Give whole numbers with spaces, commas or line ends between them.");
        out.push_back(checkedId(tokenizer, std::stoll(word), name + ": byte " + std::to_string(begin)));
        begin = text.find_first_not_of(kSeparators, end);
    }
    return out;
}

void detokenize(const TokenizeOptions& options)
{
    const Tokenizer tokenizer = Tokenizer::load(options.model);
    InputStream input(options.input);
    if (!options.jsonLines) {
        std::cout << tokenizer.decode(parseIds(tokenizer, input.readAll(), input.name()), options.skipSpecial);
        return checkWritten();
    }
    forEachJsonLine(input, [&](const JsonReader& line) {
        const Json& list = line.value("ids");
        if (!list.is_array())
            line.fail("ids", "must be a list of ids");
        std::vector<std::int32_t> ids;
        for (const Json& id : list) {
            if (!id.is_number_unsigned() || id.get<std::uint64_t>() > INT32_MAX)
                line.fail("ids", "must hold whole numbers from 0 on");
            ids.push_back(checkedId(tokenizer, id.get<std::int64_t>(), line.source() + ": key \"ids\""));
        }
        Json out;
        out["text"] = tokenizer.decode(ids, options.skipSpecial);
        std::cout << dumpJson(out) << '\n';
    });
    checkWritten();
}

} // namespace

void addTokenizeCommand(CLI::App& app)
{
    const auto options = std::make_shared<TokenizeOptions>();
    CLI::App* to = app.add_subcommand("tokenize", "Turn text into token ids");
    to->add_option("model", options->model, "Checkpoint folder (only the tokenizer's files are read) or tokenizer.json")->required();
    to->add_option("--input", options->input, "Text file, or - for standard input");
    to->add_flag("--jsonl", options->jsonLines, "Read {\"text\": ...} a line, write {\"ids\": [...], \"decoded\": \"...\"} a line");
    to->add_flag("--as-text", options->asText, "Control tokens in the text are text, as in what a user types");
    to->add_flag("--no-template", options->noTemplate, "Leave out what the tokenizer adds around a text (such as its bos token)");
    to->callback([options] { tokenize(*options); });

    const auto back = std::make_shared<TokenizeOptions>();
    CLI::App* from = app.add_subcommand("detokenize", "Turn token ids into text");
    from->add_option("model", back->model, "Checkpoint folder (only the tokenizer's files are read) or tokenizer.json")->required();
    from->add_option("--input", back->input, "File of ids, or - for standard input");
    from->add_flag("--jsonl", back->jsonLines, "Read {\"ids\": [...]} a line, write {\"text\": ...} a line");
    from->add_flag("--skip-special", back->skipSpecial, "Leave special tokens out of the text");
    from->callback([back] { detokenize(*back); });
}

} // namespace postnas
