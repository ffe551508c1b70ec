// The facade over checkpoint, model, tokenizer and sampler.
#include "core/engine/language_model.h"

#include <algorithm>

#include <torch/torch.h>

#include "core/base/error.h"
#include "core/engine/generation/batch_generation.h"
#include "core/engine/generation/decode_speed.h"
#include "core/engine/generation/prompt.h"
#include "core/engine/generation/single_generation.h"
#include "core/engine/model/hybrid_model.h"
#include "core/engine/model/load_options.h"
#include "core/engine/model/tensor_io.h"
#include "core/engine/runtime.h"
#include "core/huggingface/checkpoint.h"
#include "core/huggingface/tokenizer.h"

namespace postnas::engine {
struct LanguageModel::Implementation {
    std::filesystem::path folder;
    std::string device;
    std::string dtype;
    std::vector<std::string> warnings;
    GenerationConfig generation;
    std::optional<Tokenizer> tokenizer;
    std::unique_ptr<HybridModel> model;

    torch::Tensor idsTensor(std::span<const std::int64_t> ids, std::int64_t batch, std::int64_t length) const
    {
        checkIds(ids, model->architecture());
        return torch::from_blob(const_cast<std::int64_t*>(ids.data()), {batch, length}, torch::kInt64).clone().to(model->device());
    }
};

LanguageModel::LanguageModel()
    : m(std::make_unique<Implementation>())
{
}

LanguageModel::~LanguageModel() = default;

std::unique_ptr<LanguageModel> LanguageModel::open(const std::filesystem::path& folder, const LoadOptions& options)
{
    const Checkpoint checkpoint = Checkpoint::open(folder);
    std::unique_ptr<LanguageModel> out(new LanguageModel());
    Implementation& m = *out->m;
    m.folder = folder;
    m.device = resolveDevice(options.device);
    m.dtype = resolveDtype(options.dtype, m.device, checkpoint.architecture().dtype);
    m.warnings = checkpoint.warnings();
    m.generation = checkpoint.generationConfig();
    if (std::filesystem::exists(folder / "tokenizer.json")) {
        m.tokenizer = Tokenizer::load(folder);
        checkVocabulary(static_cast<std::uint64_t>(m.tokenizer->vocabularySize()), checkpoint.architecture(), folder);
    }
    m.model = HybridModel::load(checkpoint, torch::Device(m.device), scalarTypeNamed(m.dtype));
    applyLoadOptions(options, *m.model);
    return out;
}

const Architecture& LanguageModel::architecture() const { return m->model->architecture(); }
const Tokenizer* LanguageModel::tokenizer() const { return m->tokenizer ? &*m->tokenizer : nullptr; }
const std::filesystem::path& LanguageModel::folder() const { return m->folder; }
const std::string& LanguageModel::device() const { return m->device; }
const std::string& LanguageModel::dtype() const { return m->dtype; }
const std::vector<std::string>& LanguageModel::warnings() const { return m->warnings; }

std::vector<float> LanguageModel::logits(std::span<const std::int64_t> ids, std::int64_t batch, std::int64_t length,
                                         std::optional<std::int64_t> prefill, std::int64_t chunk) const
{
    const torch::InferenceMode guard;
    const HybridModel& model = *m->model;
    const torch::Tensor input = m->idsTensor(ids, batch, length);
    const std::int64_t vocabulary = model.architecture().vocabularySize;
    std::vector<float> out(static_cast<std::size_t>(batch * length * vocabulary));
    torch::Tensor result = torch::from_blob(out.data(), {batch, length, vocabulary}, torch::kFloat32);
    if (!prefill) {
        if (length > 0)
            result.copy_(model.logits(model.forward(input)));
        return out;
    }
    if (*prefill < 0)
        throw usageError("the prefill length must be at least 0");
    ModelState state = model.makeState(batch, length);
    const std::int64_t whole = std::min(*prefill, length);
    const std::int64_t piece = chunk > 0 ? chunk : std::max<std::int64_t>(whole, 1);
    for (std::int64_t begin = 0; begin < length;) {
        const std::int64_t end = begin < whole ? std::min(whole, begin + piece) : begin + 1;
        result.slice(1, begin, end).copy_(model.logits(model.extend(input.slice(1, begin, end), state)));
        begin = end;
    }
    return out;
}

GenerateOptions LanguageModel::defaultGenerateOptions() const
{
    GenerateOptions options;
    options.stopIds = m->generation.eosTokenIds;
    return options;
}

GenerationResult LanguageModel::generate(std::span<const std::int64_t> prompt, const GenerateOptions& options,
                                         const std::function<bool(const StreamPiece&)>& onPiece, const CancellationToken& cancellation) const
{
    const PromptRequest request{{prompt.begin(), prompt.end()}, options.maxNewTokens, options.sampling};
    if (!decodesInBatches(*m->model))
        return generateAlone(*m->model, nullptr, tokenizer(), request, options, onPiece, cancellation);
    return generateTogether({&request, 1}, options, 1, [&](std::size_t, const StreamPiece& piece) { return !onPiece || onPiece(piece); }, cancellation)
        .front();
}

std::vector<GenerationResult> LanguageModel::generateTogether(std::span<const PromptRequest> prompts, const GenerateOptions& options, std::int64_t batch,
                                                              const std::function<bool(std::size_t, const StreamPiece&)>& onPiece,
                                                              const CancellationToken& cancellation) const
{
    return engine::generateTogether(*m->model, nullptr, tokenizer(), prompts, options, batch, onPiece, cancellation);
}

double LanguageModel::measureDecode(std::int64_t context, std::int64_t batch, int steps) const
{
    return measureDecodeSpeed(*m->model, nullptr, context, batch, steps);
}

} // namespace postnas::engine
