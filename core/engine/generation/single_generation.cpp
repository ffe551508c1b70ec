// The plain loop: one token is read back, chosen on the host and sent in again.
#include "core/engine/generation/single_generation.h"

#include <algorithm>
#include <chrono>

#include "core/engine/generation/prompt.h"
#include "core/engine/generation/text_stream.h"

namespace postnas::engine {

using Clock = std::chrono::steady_clock;

GenerationResult generateAlone(const HybridModel& model, const std::vector<const Block*>* mixers, const Tokenizer* tokenizer, const PromptRequest& prompt,
                               const GenerateOptions& options, const std::function<bool(const StreamPiece&)>& onPiece,
                               const CancellationToken& cancellation)
{
    const torch::InferenceMode guard;
    checkPrompt(prompt, model.architecture());
    const auto secondsSince = [&](Clock::time_point start) {
        if (model.device().is_cuda())
            torch::cuda::synchronize();
        return std::chrono::duration<double>(Clock::now() - start).count();
    };
    const auto onDevice = [&](const std::vector<std::int64_t>& ids) { return torch::tensor(ids, torch::kInt64).unsqueeze(0).to(model.device()); };
    Sampler sampler(prompt.sampling);
    GenerationResult result;
    result.promptTokens = static_cast<std::int64_t>(prompt.ids.size());
    const torch::Tensor input = onDevice(prompt.ids);
    ModelState state = model.makeState(1, result.promptTokens + prompt.maxNewTokens, mixers);

    const auto start = Clock::now();
    torch::Tensor hidden;
    const std::int64_t chunk = promptChunk(options.prefillChunk, model.device());
    for (std::int64_t begin = 0; begin < result.promptTokens; begin += chunk) {
        cancellation.throwIfCancelled();
        hidden = model.extend(input.slice(1, begin, std::min(result.promptTokens, begin + chunk)), state, mixers);
    }
    result.prefillSeconds = secondsSince(start);

    std::vector<std::int64_t> seen = prompt.ids;
    TextStream stream(tokenizer, options.stopStrings);

    const auto decodeStart = Clock::now();
    result.finishReason = "length";
    std::int64_t decoded = 0;
    while (static_cast<std::int64_t>(result.tokens.size()) < prompt.maxNewTokens) {
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
        if (static_cast<std::int64_t>(result.tokens.size()) < prompt.maxNewTokens)
            hidden = model.extend(onDevice({id}), state, mixers);
    }
    result.decodeSeconds = secondsSince(decodeStart);
    result.tokensPerSecond = result.decodeSeconds > 0 ? double(decoded) / result.decodeSeconds : 0;
    const std::string rest = stream.finish();
    result.text += rest;
    if (!rest.empty() && onPiece)
        onPiece({-1, rest});
    result.stateBytes = state.bytes();
    return result;
}

} // namespace postnas::engine
