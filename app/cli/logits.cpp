// `postnas logits`: ids in, logits out, both as safetensors.
#include <bit>
#include <cstring>

#include "app/cli/commands.h"
#include "app/cli/model_options.h"
#include "core/base/error.h"
#include "core/base/memory.h"
#include "core/huggingface/safetensors.h"

namespace postnas {
namespace {

struct Options {
    ModelOptions model;
    std::string input;
    std::string output;
    std::optional<std::int64_t> prefill;
    std::int64_t chunk = 0;
};

void run(const Options& options)
{
    const SafetensorsFile file = SafetensorsFile::open(options.input);
    const TensorView& view = file.at("input_ids");
    if (view.dtype != DType::I64 || view.shape.size() != 2)
        throw inputError(options.input + ": tensor input_ids must be int64 [batch, length]; it is " + dtypeName(view.dtype) + " "
                         + shapeText(view.shape));
    const auto batch = static_cast<std::int64_t>(view.shape[0]);
    const auto length = static_cast<std::int64_t>(view.shape[1]);
    std::vector<std::int64_t> ids(view.data.size() / sizeof(std::int64_t));
    if (!ids.empty())
        std::memcpy(ids.data(), view.data.data(), view.data.size());
    const auto model = options.model.open();
    const std::uint64_t elements = static_cast<std::uint64_t>(batch) * static_cast<std::uint64_t>(length)
        * static_cast<std::uint64_t>(model->architecture().vocabularySize);
    requireMemory(elements * 2 * sizeof(float), "the logits of " + std::to_string(batch * length) + " tokens");
    const std::vector<float> logits = model->logits(ids, batch, length, options.prefill, options.chunk);
    SafetensorsWriter writer;
    writer.add("logits", DType::F32,
               {static_cast<std::uint64_t>(batch), static_cast<std::uint64_t>(length), static_cast<std::uint64_t>(model->architecture().vocabularySize)},
               std::as_bytes(std::span(logits)));
    writer.write(options.output);
}

} // namespace

void addLogitsCommand(CLI::App& app)
{
    CLI::App* command = app.add_subcommand("logits", "Computes the logits of given token ids");
    const auto options = std::make_shared<Options>();
    options->model.add(*command);
    command->add_option("--input", options->input, "Safetensors file with input_ids, int64 [batch, length]")->required();
    command->add_option("--output", options->output, "Safetensors file for logits, float32 [batch, length, vocabulary]")->required();
    command->add_option("--prefill", options->prefill, "First N tokens in one prefill, the rest one by one through the state");
    command->add_option("--chunk", options->chunk, "Splits the prefill into pieces of this many tokens; 0: whole");
    command->callback([options] { run(*options); });
}

} // namespace postnas
