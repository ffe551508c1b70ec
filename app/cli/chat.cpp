// `postnas chat`: a conversation on the terminal.
#include <iostream>

#include <unistd.h>

#include "app/cli/commands.h"
#include "app/cli/conversation.h"
#include "app/cli/model_options.h"
#include "core/base/cancellation.h"
#include "core/base/text.h"

namespace postnas {
namespace {

struct Options {
    ModelOptions model;
    SamplingFlags sampling;
    std::string system;
};

void run(const Options& options)
{
    const auto model = options.model.open();
    const bool terminal = ::isatty(STDIN_FILENO) == 1;
    if (terminal)
        std::cerr << "Type a message and press Enter. /new starts over, /quit ends.\n";
    Json messages = Json::array();
    const auto restart = [&] {
        messages = Json::array();
        if (!options.system.empty())
            messages.push_back({{"role", "system"}, {"content", options.system}});
    };
    restart();
    std::string line;
    while (true) {
        if (terminal)
            std::cerr << "> " << std::flush;
        if (!std::getline(std::cin, line) || line == "/quit")
            break;
        if (line.empty())
            continue;
        if (line == "/new") {
            restart();
            continue;
        }
        messages.push_back({{"role", "user"}, {"content", repairUtf8(line)}});
        const auto result = model->generate(conversationIds(*model, messages), options.sampling.forModel(*model),
                                            [](const engine::StreamPiece& piece) {
                                                std::cout << sanitizeForTerminal(piece.text) << std::flush;
                                                return true;
                                            },
                                            processCancellation());
        std::cout << "\n";
        if (result.finishReason == "cancelled")
            throw Error(ErrorClass::Interrupted, "interrupted");
        messages.push_back({{"role", "assistant"}, {"content", result.text}});
    }
}

} // namespace

void addChatCommand(CLI::App& app)
{
    CLI::App* command = app.add_subcommand("chat", "Chats with a model by its own chat template");
    const auto options = std::make_shared<Options>();
    options->model.add(*command);
    options->sampling.add(*command);
    command->add_option("--system", options->system, "System message");
    command->callback([options] { run(*options); });
}

} // namespace postnas
