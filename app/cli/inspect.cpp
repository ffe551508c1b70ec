// postnas inspect: what a checkpoint, a config.json or a built-in architecture is, and what its state costs.
#include <filesystem>
#include <iostream>
#include <memory>

#include <CLI/CLI.hpp>

#include "app/cli/commands.h"
#include "app/cli/model_options.h"
#include "core/architecture/model_summary.h"
#include "core/base/error.h"
#include "core/base/resources.h"
#include "core/base/text.h"
#include "core/huggingface/checkpoint.h"
#include "core/huggingface/model_config.h"

namespace postnas {
namespace fs = std::filesystem;
namespace {

struct InspectOptions {
    std::string model;
    bool json = false;
    std::int64_t context = 65536;
};

/// Weights of a folder whose name is on the command line; empty for a config alone.
struct Inspected {
    Architecture architecture;
    std::string source;
    std::unique_ptr<Checkpoint> checkpoint;
};

bool hasPickledWeights(const fs::path& folder)
{
    std::error_code failed;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder, failed))
        if (const std::string extension = entry.path().extension().string(); extension == ".bin" || extension == ".pt" || extension == ".pth")
            return true;
    return false;
}

Inspected open(const std::string& model)
{
    Inspected out;
    std::error_code ignored;
    if (!fs::exists(model, ignored)) {
        const fs::path file = builtInConfig(model, "a model folder, a config.json");
        return {readModelConfig(file), file.string(), nullptr};
    }
    out.source = model;
    if (fs::is_directory(model, ignored) && (hasSafetensorsWeights(model) || hasPickledWeights(model))) {
        out.checkpoint = std::make_unique<Checkpoint>(Checkpoint::open(model));
        out.architecture = out.checkpoint->architecture();
    } else {
        out.architecture = readModelConfig(model);
    }
    return out;
}

/// The published Jet-Nemotron-2B, whose state the paper rounds differently.
bool isJetNemotron2B(const Architecture& a)
{
    return a.modelType == "jet_nemotron" && a.layerCount() == 28 && a.hiddenSize == 1536 && parameterCount(a) == 1'964'806'208;
}

Json weightsJson(const Checkpoint& checkpoint)
{
    Json files = Json::array();
    for (const fs::path& file : checkpoint.files())
        files.push_back(file.filename().string());
    return {{"bytes", checkpoint.weightBytes()}, {"dtype", dtypeName(checkpoint.dtype())}, {"tensors", checkpoint.names().size()}, {"files", files}, {"warnings", checkpoint.warnings()}};
}

void inspect(const InspectOptions& options)
{
    const Inspected model = open(options.model);
    constexpr std::int64_t kPaperContext = 65536;
    const bool paperDiffers = options.context == kPaperContext && isJetNemotron2B(model.architecture);
    if (options.json) {
        Json out = {{"source", model.source}};
        out.update(modelSummary(model.architecture, options.context));
        if (model.checkpoint)
            out["weights"] = weightsJson(*model.checkpoint);
        if (paperDiffers)
            out["paper_state_mib"] = 154;
        std::cout << dumpJson(out, 2) << "\n";
        return;
    }
    std::string text = "source          " + model.source + "\n" + modelSummaryText(model.architecture, options.context);
    if (model.checkpoint) {
        const Checkpoint& c = *model.checkpoint;
        text += "weights         " + formatBytes(static_cast<double>(c.weightBytes())) + " in " + std::to_string(c.names().size()) + " tensors, "
            + std::to_string(c.files().size()) + (c.files().size() == 1 ? " file, " : " files, ") + dtypeName(c.dtype()) + "\n";
        for (const std::string& warning : c.warnings())
            text += "warning: " + warning + "\n";
    } else {
        text += "weights         none: read from the config alone\n";
    }
    if (paperDiffers)
        text += "note: the paper gives 154 MiB for this model; the formula gives the value above.\n";
    std::cout << sanitizeForTerminal(text);
}

} // namespace

void addInspectCommand(CLI::App& app)
{
    CLI::App* command = app.add_subcommand("inspect", "Architecture, parameters and state of a checkpoint, a config.json or a built-in name");
    const auto options = std::make_shared<InspectOptions>();
    command->add_option("model", options->model, "Model folder, config.json, or a built-in name such as jet-nemotron-2b")->required();
    command->add_flag("--json", options->json, "Print one JSON object");
    command->add_option("--context", options->context, "Tokens of the sequence whose state is counted")
        ->capture_default_str()
        ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 40));
    command->callback([options] { inspect(*options); });
}

} // namespace postnas
