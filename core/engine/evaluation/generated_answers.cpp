// Answers one after the other, or as a batch.
#include "core/engine/evaluation/generated_answers.h"

#include <algorithm>

#include "core/engine/generation/batch_generation.h"
#include "core/engine/generation/single_generation.h"

namespace postnas::engine {
namespace {

/// Sequences at once: a decoding step of 64 costs little more than one of a single sequence, and the caches of 32,768 tokens fit beside a model that
/// is being trained (3.7 GB for 28 layers of 8 heads of 128 in bfloat16).
constexpr std::int64_t kSequences = 64;
constexpr std::int64_t kTokens = 32768;

} // namespace

std::vector<std::string> generatedAnswers(const HybridModel& model, const std::vector<const Block*>* mixers, const Tokenizer& tokenizer,
                                          std::span<const std::vector<std::int32_t>> prompts, const AnswerLimits& limits, bool together,
                                          const CancellationToken& cancellation)
{
    GenerateOptions options;
    options.stopStrings = limits.stop;
    options.stopIds = model.architecture().eosTokenIds;
    std::vector<PromptRequest> requests;
    std::int64_t longest = 1;
    for (const std::vector<std::int32_t>& prompt : prompts) {
        requests.push_back({{prompt.begin(), prompt.end()}, limits.maxTokens, {}});
        longest = std::max(longest, static_cast<std::int64_t>(prompt.size()) + limits.maxTokens);
    }
    if (!together)
        options.prefillChunk = longest; // whole prompts, as transformers reads them: with dynamic RoPE the numbers depend on it
    std::vector<GenerationResult> results;
    if (together)
        results = generateTogether(model, mixers, &tokenizer, requests, options, std::clamp<std::int64_t>(kTokens / longest, 1, kSequences), {}, cancellation);
    else
        for (const PromptRequest& request : requests)
            results.push_back(generateAlone(model, mixers, &tokenizer, request, options, {}, cancellation));
    cancellation.throwIfCancelled(); // what was stopped half-way is no answer
    std::vector<std::string> out;
    for (GenerationResult& result : results)
        out.push_back(std::move(result.text));
    return out;
}

} // namespace postnas::engine
