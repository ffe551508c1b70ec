// `postnas generate`: continues a prompt of text or ids.
#include <charconv>
#include <iostream>

#include "app/cli/commands.h"
#include "app/cli/generation_json.h"
#include "app/cli/model_options.h"
#include "core/base/cancellation.h"
#include "core/base/error.h"
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
    bool json = false;
};

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

void run(const Options& options)
{
    if (options.prompt.has_value() == options.promptIds.has_value())
        throw usageError("give either --prompt or --prompt-ids");
    const auto model = options.model.open();
    std::vector<std::int64_t> prompt;
    if (options.promptIds) {
        prompt = parseIds(*options.promptIds);
    } else {
        if (model->tokenizer() == nullptr)
            throw inputError(options.model.model + ": there is no tokenizer.json, so text cannot be read", "Use --prompt-ids.");
        const auto ids = model->tokenizer()->encode(*options.prompt);
        prompt.assign(ids.begin(), ids.end());
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
    options->sampling.add(*command);
    command->add_flag("--json", options->json, "One JSON object instead of streamed text");
    command->callback([options] { run(*options); });
}

} // namespace postnas
