// Answers one after the other, or as a batch.
#include "core/engine/evaluation/generated_answers.h"

#include <algorithm>

#include "core/engine/generation/batch_generation.h"
#include "core/engine/generation/text_stream.h"

namespace postnas::engine {
namespace {

/// Sequences at once: a decoding step of 64 costs little more than one of a single sequence, and the caches of 32,768 tokens fit beside a model that
/// is being trained (3.7 GB for 28 layers of 8 heads of 128 in bfloat16).
constexpr std::int64_t kSequences = 64;
constexpr std::int64_t kTokens = 32768;

std::string answer(const HybridModel& model, const std::vector<const Block*>* mixers, const Tokenizer& tokenizer, const std::vector<std::int32_t>& prompt,
                   const AnswerLimits& limits, const CancellationToken& cancellation)
{
    const torch::InferenceMode guard;
    const auto& eos = model.architecture().eosTokenIds;
    ModelState state = model.makeState(1, static_cast<std::int64_t>(prompt.size()) + limits.maxTokens, mixers);
    const auto options = torch::TensorOptions().dtype(torch::kInt64);
    torch::Tensor next = torch::tensor(std::vector<std::int64_t>(prompt.begin(), prompt.end()), options).unsqueeze(0);
    TextStream stream(&tokenizer, limits.stop);
    std::string text;
    for (std::int64_t i = 0; i < limits.maxTokens && !stream.stopped(); ++i) {
        cancellation.throwIfCancelled();
        const torch::Tensor hidden = model.extend(next.to(model.device()), state, mixers);
        const auto id = model.logits(hidden.select(1, hidden.size(1) - 1)).argmax(-1).item<std::int64_t>();
        if (std::find(eos.begin(), eos.end(), id) != eos.end())
            break;
        text += stream.push(id);
        next = torch::full({1, 1}, id, options);
    }
    return text + stream.finish();
}

} // namespace

std::vector<std::string> generatedAnswers(const HybridModel& model, const std::vector<const Block*>* mixers, const Tokenizer& tokenizer,
                                          std::span<const std::vector<std::int32_t>> prompts, const AnswerLimits& limits, bool together,
                                          const CancellationToken& cancellation)
{
    std::vector<std::string> out;
    if (!together) {
        for (const std::vector<std::int32_t>& prompt : prompts)
            out.push_back(answer(model, mixers, tokenizer, prompt, limits, cancellation));
        return out;
    }
    std::vector<PromptRequest> requests;
    std::int64_t longest = 1;
    for (const std::vector<std::int32_t>& prompt : prompts) {
        requests.push_back({{prompt.begin(), prompt.end()}, limits.maxTokens, {}});
        longest = std::max(longest, static_cast<std::int64_t>(prompt.size()) + limits.maxTokens);
    }
    GenerateOptions options;
    options.stopStrings = limits.stop;
    options.stopIds.assign(model.architecture().eosTokenIds.begin(), model.architecture().eosTokenIds.end());
    const std::int64_t batch = std::clamp<std::int64_t>(kTokens / longest, 1, kSequences);
    for (GenerationResult& result : generateTogether(model, mixers, &tokenizer, requests, options, batch, {}, cancellation))
        out.push_back(std::move(result.text));
    cancellation.throwIfCancelled();
    return out;
}

} // namespace postnas::engine
