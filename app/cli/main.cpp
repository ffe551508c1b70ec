// postnas: the command line and the worker of PostNAS Workbench.
#include <cstdio>
#include <exception>
#include <iostream>
#include <new>

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
        if (argc > 1 && argv[1][0] != '-' && app.get_subcommands([&](CLI::App* command) { return command->check_name(argv[1]); }).empty())
            return report(usageError("\"" + std::string(argv[1]) + "\" is no command", "`postnas --help` lists the commands."));
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
