// The facade over checkpoint, model, tokenizer and sampler.
#include "core/engine/language_model.h"

#include <algorithm>
#include <chrono>

#include <torch/torch.h>

#include "core/base/error.h"
#include "core/engine/generation/batch_generation.h"
#include "core/engine/generation/decode_speed.h"
#include "core/engine/generation/text_stream.h"
#include "core/engine/model/hybrid_model.h"
#include "core/engine/model/load_options.h"
#include "core/engine/model/tensor_io.h"
#include "core/engine/runtime.h"
#include "core/huggingface/checkpoint.h"
#include "core/huggingface/tokenizer.h"

namespace postnas::engine {
namespace {

using Clock = std::chrono::steady_clock;

double secondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

} // namespace

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
        const std::int64_t vocabulary = model->architecture().vocabularySize;
        for (std::size_t i = 0; i < ids.size(); ++i)
            if (ids[i] < 0 || ids[i] >= vocabulary)
                throw inputError("input id " + std::to_string(ids[i]) + " at position " + std::to_string(i)
                                     + " is outside the vocabulary of " + std::to_string(vocabulary) + " ids",
                                 "Was the text tokenized with another model's tokenizer?");
        return torch::from_blob(const_cast<std::int64_t*>(ids.data()), {batch, length}, torch::kInt64).clone().to(model->device());
    }

    void synchronise() const
    {
        if (model->device().is_cuda())
            torch::cuda::synchronize();
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
    const torch::InferenceMode guard;
    const HybridModel& model = *m->model;
    // On a GPU the step is one recorded launch with the choice of the token in it; a length-dependent RoPE cannot be recorded.
    if (decodesInBatches(model)) {
        const PromptRequest request {{prompt.begin(), prompt.end()}, options.maxNewTokens, options.sampling};
        return generateTogether({&request, 1}, options, 1, [&](std::size_t, const StreamPiece& piece) { return !onPiece || onPiece(piece); }, cancellation)
            .front();
    }
    if (prompt.empty())
        throw usageError("the prompt is empty", "Give at least one token; a beginning-of-text token serves when there is no text.");
    if (options.maxNewTokens < 0 || options.prefillChunk < 0)
        throw usageError("the number of new tokens and the prefill chunk must be at least 0");
    Sampler sampler(options.sampling);
    GenerationResult result;
    result.promptTokens = static_cast<std::int64_t>(prompt.size());
    const torch::Tensor input = m->idsTensor(prompt, 1, result.promptTokens);
    ModelState state = model.makeState(1, result.promptTokens + options.maxNewTokens);

    const auto start = Clock::now();
    torch::Tensor hidden;
    const std::int64_t chunk = promptChunk(options.prefillChunk, model.device());
    for (std::int64_t begin = 0; begin < result.promptTokens; begin += chunk) {
        cancellation.throwIfCancelled();
        hidden = model.extend(input.slice(1, begin, std::min(result.promptTokens, begin + chunk)), state);
    }
    m->synchronise();
    result.prefillSeconds = secondsSince(start);

    std::vector<std::int64_t> seen(prompt.begin(), prompt.end());
    TextStream stream(tokenizer(), options.stopStrings);

    const auto decodeStart = Clock::now();
    result.finishReason = "length";
    std::int64_t decoded = 0;
    while (static_cast<std::int64_t>(result.tokens.size()) < options.maxNewTokens) {
        if (cancellation.cancelled()) {
            result.finishReason = "cancelled";
            break;
        }
        torch::Tensor row = model.logits(hidden.select(1, hidden.size(1) - 1)).to(torch::kCPU, torch::kFloat32).contiguous();
        const std::int64_t id = sampler.next({row.data_ptr<float>(), static_cast<std::size_t>(row.numel())}, seen);
        ++decoded;
        if (std::find(options.stopIds.begin(), options.stopIds.end(), id) != options.stopIds.end()) {
            result.finishReason = "stop";
            break;
        }
        result.tokens.push_back(id);
        seen.push_back(id);
        const std::string piece = stream.push(id);
        result.text += piece;
        const bool goOn = !onPiece || onPiece({id, piece});
        if (stream.stopped()) {
            result.finishReason = "stop";
            break;
        }
        if (!goOn) {
            result.finishReason = "cancelled";
            break;
        }
        if (static_cast<std::int64_t>(result.tokens.size()) < options.maxNewTokens)
            hidden = model.extend(m->idsTensor({&id, 1}, 1, 1), state);
    }
    m->synchronise();
    result.decodeSeconds = secondsSince(decodeStart);
    result.tokensPerSecond = result.decodeSeconds > 0 ? double(decoded) / result.decodeSeconds : 0;
    const std::string rest = stream.finish();
    result.text += rest;
    if (!rest.empty() && onPiece)
        onPiece({-1, rest});
    result.stateBytes = state.bytes();
    return result;
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
