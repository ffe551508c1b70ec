// `postnas generate`: continues a prompt of text or ids, or a file of prompts, many at a time.
#include <charconv>
#include <iostream>
#include <limits>
#include <sstream>

#include "app/cli/commands.h"
#include "app/cli/generation_json.h"
#include "app/cli/model_options.h"
#include "core/base/cancellation.h"
#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/huggingface/tokenizer.h"

namespace postnas {
namespace {

struct Options {
    ModelOptions model;
    SamplingFlags sampling;
    std::optional<std::string> prompt;
    std::optional<std::string> promptIds;
    std::string prompts; ///< a file of JSON lines
    std::int64_t batch = 16;
    bool json = false;
};

std::vector<std::int64_t> encode(const engine::LanguageModel& model, const std::string& text)
{
    if (model.tokenizer() == nullptr)
        throw inputError(model.folder().string() + ": there is no tokenizer.json, so text cannot be read", "Give token ids.");
    const auto ids = model.tokenizer()->encode(text);
    return {ids.begin(), ids.end()};
}

std::vector<std::int64_t> parseIds(const std::string& text)
{
    std::vector<std::int64_t> ids;
    const char* p = text.data();
    const char* end = p + text.size();
    while (p != end) {
        if (*p == ',' || *p == ' ') {
            ++p;
            continue;
        }
        std::int64_t id = 0;
        const auto [next, error] = std::from_chars(p, end, id);
        if (error != std::errc() || next == p)
            throw usageError("--prompt-ids: \"" + text + "\" is no list of integers", "Write ids with commas: 1,2,3.");
        ids.push_back(id);
        p = next;
    }
    return ids;
}

std::vector<std::int64_t> integersOf(const JsonReader& in, const std::string& key)
{
    const Json& value = in.value(key);
    if (!value.is_array())
        in.fail(key, "must be a list of integers");
    std::vector<std::int64_t> out;
    for (const Json& item : value) {
        if (!item.is_number_integer())
            in.fail(key, "must be a list of integers");
        out.push_back(item.get<std::int64_t>());
    }
    return out;
}

/// {"prompt": "text"} or {"prompt_ids": [1, 2]} a line, with "max_new_tokens" and "seed" where a line differs from the options.
std::vector<engine::PromptRequest> readPrompts(const std::string& file, const engine::LanguageModel& model, const engine::GenerateOptions& options)
{
    constexpr std::uint64_t kMaxBytes = std::uint64_t(1) << 30;
    std::vector<engine::PromptRequest> out;
    std::istringstream lines(readTextFile(file, kMaxBytes));
    std::string line;
    for (std::int64_t number = 1; std::getline(lines, line); ++number) {
        if (line.find_first_not_of(" \t\r") == std::string::npos)
            continue;
        const std::string place = file + " line " + std::to_string(number);
        const Json json = parseJson(line, place);
        const JsonReader in(json, place);
        engine::PromptRequest& request = out.emplace_back(engine::PromptRequest {{}, options.maxNewTokens, options.sampling});
        if (in.has("prompt") == in.has("prompt_ids"))
            throw inputError(place + ": give either \"prompt\" or \"prompt_ids\"");
        request.ids = in.has("prompt") ? encode(model, in.string("prompt")) : integersOf(in, "prompt_ids");
        if (request.ids.empty())
            throw inputError(place + ": the prompt is empty");
        if (in.has("max_new_tokens"))
            request.maxNewTokens = in.integer("max_new_tokens", 0, 1 << 24);
        if (in.has("seed"))
            request.sampling.seed = static_cast<std::uint64_t>(in.integer("seed", 0, std::numeric_limits<std::int64_t>::max()));
    }
    return out;
}

/// One JSON object a prompt, in the order of the file.
void runMany(const Options& options)
{
    const auto model = options.model.open();
    const engine::GenerateOptions generate = options.sampling.forModel(*model);
    const auto prompts = readPrompts(options.prompts, *model, generate);
    const auto results = model->generateTogether(prompts, generate, options.batch, {}, processCancellation());
    bool cancelled = false;
    for (std::size_t i = 0; i < results.size(); ++i) {
        Json out = {{"index", i}, {"tokens", results[i].tokens}};
        out.update(toJson(results[i]));
        std::cout << dumpJson(out) << "\n";
        cancelled = cancelled || results[i].finishReason == "cancelled";
    }
    if (cancelled)
        throw Error(ErrorClass::Interrupted, "interrupted");
}

void run(const Options& options)
{
    if (options.prompt.has_value() + options.promptIds.has_value() + !options.prompts.empty() != 1)
        throw usageError("give one of --prompt, --prompt-ids and --prompts");
    if (!options.prompts.empty())
        return runMany(options);
    const auto model = options.model.open();
    std::vector<std::int64_t> prompt;
    if (options.promptIds) {
        prompt = parseIds(*options.promptIds);
    } else {
        prompt = encode(*model, *options.prompt);
    }
    const bool stream = !options.json && model->tokenizer() != nullptr;
    const auto result = model->generate(prompt, options.sampling.forModel(*model), [&](const engine::StreamPiece& piece) {
        if (stream)
            std::cout << sanitizeForTerminal(piece.text) << std::flush;
        return true;
    }, processCancellation());
    if (options.json) {
        Json out = {{"tokens", result.tokens}};
        out.update(toJson(result));
        out["device"] = model->device();
        out["dtype"] = model->dtype();
        std::cout << dumpJson(out) << "\n";
    } else if (stream) {
        std::cout << "\n";
    } else {
        for (std::size_t i = 0; i < result.tokens.size(); ++i)
            std::cout << (i ? "," : "") << result.tokens[i];
        std::cout << "\n";
    }
    if (result.finishReason == "cancelled")
        throw Error(ErrorClass::Interrupted, "interrupted");
}

} // namespace

void addGenerateCommand(CLI::App& app)
{
    CLI::App* command = app.add_subcommand("generate", "Continues a prompt");
    const auto options = std::make_shared<Options>();
    options->model.add(*command);
    command->add_option("--prompt", options->prompt, "Text; special tokens written in it count as such");
    command->add_option("--prompt-ids", options->promptIds, "Token ids, with commas");
    command->add_option("--prompts", options->prompts, "File of JSON lines with \"prompt\" or \"prompt_ids\"; writes a JSON line for each");
    command->add_option("--batch", options->batch, "Prompts of --prompts that run together")->capture_default_str()->check(CLI::Range(1, 65536));
    options->sampling.add(*command);
    command->add_flag("--json", options->json, "One JSON object instead of streamed text");
    command->callback([options] { run(*options); });
}

} // namespace postnas
