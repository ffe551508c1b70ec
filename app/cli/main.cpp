// postnas: the command line and the worker of PostNAS Workbench.
#include <cstdio>
#include <exception>
#include <iostream>
#include <new>
#include <string>
#include <utility>

#include <CLI/CLI.hpp>

#include "app/cli/commands.h"
#include "core/base/cancellation.h"
#include "core/base/error.h"
#include "core/base/text.h"
#include "core/base/version.h"

namespace {

int report(const postnas::Error& error)
{
    // Text from files may reach a terminal here.
    std::cerr << "error: " << postnas::sanitizeForTerminal(error.what()) << "\n";
    if (!error.hint().empty())
        std::cerr << "hint: " << postnas::sanitizeForTerminal(error.hint()) << "\n";
    return postnas::exitCode(error.errorClass());
}

/// The word where a command was expected, and those before it: {"benchmark", "kernals"}. Empty when all commands are known.
std::pair<std::string, std::string> unknownCommand(CLI::App* command, int argc, char** argv)
{
    std::string before;
    for (int i = 1; i < argc && argv[i][0] != '-' && command->get_require_subcommand_min() > 0; ++i) {
        const std::string word = argv[i];
        const auto found = command->get_subcommands([&](CLI::App* c) { return c->check_name(word); });
        if (found.empty())
            return {before, word};
        before += " " + word;
        command = found.front();
    }
    return {};
}

} // namespace

int main(int argc, char** argv)
{
    using namespace postnas;
    installSignalHandlers();
    CLI::App app("Explores language-model architectures: find the layers that need full attention, replace the others.", "postnas");
    app.set_version_flag("--version", std::string("postnas ") + kVersion);
    app.require_subcommand(1);
    app.fallthrough(false);
    addInspectCommand(app);
    addTokenizeCommand(app);
    addLogitsCommand(app);
    addGenerateCommand(app);
    addChatCommand(app);
    addWorkerCommand(app);
    addRunCommand(app);
    addEvaluateCommand(app);
    addBenchmarkCommand(app);
    addExportCommand(app);
    addProjectCommand(app);
    addDataCommand(app);
    addReportCommand(app);
    addDoctorCommand(app);
    try {
        app.parse(argc, argv);
        std::cout.flush();
        if (!std::cout)
            return report(resourceError("standard output could not be written"));
        return 0;
    } catch (const CLI::RuntimeError& e) {
        return e.get_exit_code(); // a command that reported its failure itself
    } catch (const CLI::ParseError& e) {
        if (e.get_exit_code() == 0)
            return app.exit(e); // --help and --version
        if (const auto [before, word] = unknownCommand(&app, argc, argv); !word.empty())
            return report(usageError("\"" + word + "\" is no command" + (before.empty() ? "" : " of `postnas" + before + "`"),
                                     "`postnas" + before + " --help` lists the commands."));
        return report(usageError(e.what(), "See `postnas --help` or `postnas COMMAND --help`."));
    } catch (const Error& e) {
        return report(e);
    } catch (const std::bad_alloc&) {
        return report(resourceError("memory ran out", "Use a smaller model, batch or context."));
    } catch (const std::exception& e) {
        const std::string what = e.what();
        const std::string firstLine = what.substr(0, what.find('\n'));
        if (what.find("out of memory") != std::string::npos || what.find("can't allocate memory") != std::string::npos)
            return report(resourceError("memory ran out: " + firstLine, "Use a smaller model, batch or context."));
        return report(internalError(firstLine, "This is a defect of postnas; please report it with the command line."));
    }
}
