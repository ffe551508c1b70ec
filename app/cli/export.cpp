// `postnas export`: writes a model again as a Hugging Face folder, in another type if asked.
#include <iostream>

#include <CLI/CLI.hpp>

#include "app/cli/commands.h"
#include "core/base/text.h"
#include "core/engine/export.h"
#include "core/engine/runtime.h"

namespace postnas {
namespace {

struct Options {
    std::string model;
    std::string output;
    std::string dtype = "auto";
};

} // namespace

void addExportCommand(CLI::App& app)
{
    CLI::App* command = app.add_subcommand("export", "Writes a model as a new Hugging Face folder");
    const auto options = std::make_shared<Options>();
    command->add_option("model", options->model, "Folder of a Hugging Face checkpoint")->required();
    command->add_option("--output", options->output, "New or empty folder")->required();
    command->add_option("--dtype", options->dtype, "auto (as stored), float32, bfloat16 or float16")->capture_default_str();
    command->callback([options] {
        engine::initialiseRuntime();
        const std::uint64_t bytes = engine::exportModel(options->model, options->output, options->dtype);
        std::cout << "wrote " << sanitizeForTerminal(options->output) << " (" << formatBytes(double(bytes)) << " of weights)\n";
    });
}

} // namespace postnas
