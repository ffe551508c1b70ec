// Saving and exporting models.
#include "core/engine/model/save_model.h"

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/engine/export.h"
#include "core/engine/model/tensor_io.h"
#include "core/huggingface/checkpoint.h"
#include "core/huggingface/model_config.h"

namespace postnas::engine {
namespace fs = std::filesystem;
namespace {

std::string typeName(torch::ScalarType type)
{
    return type == torch::kBFloat16 ? "bfloat16" : type == torch::kFloat16 ? "float16" : "float32";
}

void saveConfigs(Architecture architecture, const std::string& dtype, const fs::path& folder)
{
    architecture.dtype = dtype;
    writeFileAtomically(folder / "config.json", dumpJson(writeModelConfig(architecture), 2) + "\n");
    GenerationConfig generation;
    generation.eosTokenIds = architecture.eosTokenIds;
    generation.bosTokenId = architecture.bosTokenId;
    generation.padTokenId = architecture.padTokenId;
    writeFileAtomically(folder / "generation_config.json", dumpJson(writeGenerationConfig(generation), 2) + "\n");
}

} // namespace

std::uint64_t saveModel(const Architecture& architecture, const std::vector<std::pair<std::string, torch::Tensor>>& weights,
                        std::optional<torch::ScalarType> dtype, const fs::path& folder)
{
    std::error_code failure;
    fs::create_directories(folder, failure);
    if (failure)
        throw resourceError(folder.string() + ": the folder cannot be made: " + failure.message());
    SafetensorsWriter writer;
    for (const auto& [name, tensor] : weights)
        addTensor(writer, name, tensor, dtype);
    writer.writeModel(folder);
    saveConfigs(architecture, typeName(dtype.value_or(weights.front().second.scalar_type())), folder);
    return writer.dataBytes();
}

void copyTokenizerFiles(const fs::path& from, const fs::path& to)
{
    for (const char* name : {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja",
                             "vocab.json", "merges.txt"}) {
        if (fs::is_regular_file(from / name))
            writeFileAtomically(to / name, readTextFile(from / name, 256u << 20));
    }
}

std::uint64_t exportModel(const fs::path& model, const fs::path& output, const std::string& dtype)
{
    if (fs::exists(output) && !(fs::is_directory(output) && fs::is_empty(output)))
        throw usageError(output.string() + ": is there already and is no empty folder", "Choose a new folder; nothing is overwritten.");
    const Checkpoint checkpoint = Checkpoint::open(model);
    std::optional<torch::ScalarType> type;
    if (dtype != "auto")
        type = scalarTypeNamed(dtype);
    SafetensorsWriter writer;
    const auto owner = std::make_shared<const std::vector<std::shared_ptr<const void>>>(checkpoint.mappings());
    for (const std::string& name : checkpoint.names()) {
        const TensorView& view = checkpoint.tensor(name);
        addTensor(writer, name, tensorFrom(view, owner, torch::kCPU, scalarType(view.dtype)), type);
    }
    std::error_code failure;
    fs::create_directories(output, failure);
    if (failure)
        throw resourceError(output.string() + ": the folder cannot be made: " + failure.message());
    writer.writeModel(output);
    Architecture architecture = checkpoint.architecture();
    architecture.dtype = type ? typeName(*type) : typeName(scalarType(checkpoint.dtype()));
    writeFileAtomically(output / "config.json", dumpJson(writeModelConfig(architecture), 2) + "\n");
    writeFileAtomically(output / "generation_config.json", dumpJson(writeGenerationConfig(checkpoint.generationConfig()), 2) + "\n");
    copyTokenizerFiles(model, output);
    return writer.dataBytes();
}

} // namespace postnas::engine
