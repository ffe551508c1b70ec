// `postnas project create`: a project folder for scripts, as the workbench makes it.
#include <iostream>

#include <CLI/CLI.hpp>

#include "app/cli/commands.h"
#include "core/base/text.h"
#include "core/project/project.h"

namespace postnas {
namespace {

struct Options {
    std::string folder;
    std::string name;
    std::string teacher;
};

} // namespace

void addProjectCommand(CLI::App& app)
{
    CLI::App* command = app.add_subcommand("project", "Makes project folders");
    command->require_subcommand(1);
    CLI::App* create = command->add_subcommand("create", "Makes a new project folder");
    const auto options = std::make_shared<Options>();
    create->add_option("folder", options->folder, "New or empty folder")->required();
    create->add_option("--name", options->name, "Name that people see; default: the folder's");
    create->add_option("--teacher", options->teacher, "Starting checkpoint");
    create->callback([options] {
        const std::filesystem::path folder = options->folder;
        const std::filesystem::path teacher = options->teacher.empty() ? std::filesystem::path() : std::filesystem::absolute(options->teacher);
        Project::create(folder, options->name.empty() ? folder.filename().string() : options->name, teacher);
        std::cout << "made the project " << sanitizeForTerminal(folder.string()) << "\n";
    });
}

} // namespace postnas
