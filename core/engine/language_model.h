// A checkpoint ready to use: logits, streaming generation, and measured decoding speed. The engine's front door; no torch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/architecture/architecture.h"
#include "core/base/cancellation.h"
#include "core/engine/generation/sampler.h"

namespace postnas {
class Tokenizer;
}

namespace postnas::engine {

struct LoadOptions {
    std::string device = "auto"; ///< auto, cpu, cuda
    std::string dtype = "auto";  ///< auto, float32, bfloat16, float16
    /// "float32", as transformers' from_pretrained keeps them, or "bfloat16": rounded, as after `model.to(bfloat16)`.
    std::string ropeFrequencies = "float32";
    /// Of recurrent states: "float32", or "bfloat16", which halves what decoding reads and writes of them and loses digits with every token.
    std::string stateDtype = "float32";
};

struct GenerateOptions {
    std::int64_t maxNewTokens = 256;
    SamplingOptions sampling;
    std::vector<std::string> stopStrings; ///< the text ends before the first of them
    std::vector<std::int64_t> stopIds;    ///< end-of-sequence ids; the id itself adds no text
    std::int64_t prefillChunk = 0;        ///< prompt tokens per forward pass, 0: 8,192 on a GPU, 512 on a CPU; bounds memory, changes no result
};

/// One prompt of several that are generated for together.
struct PromptRequest {
    std::vector<std::int64_t> ids;
    std::int64_t maxNewTokens = 256;
    SamplingOptions sampling;
};

/// One streamed piece. `text` is complete UTF-8 and may be empty.
struct StreamPiece {
    std::int64_t tokenId = -1; ///< -1: the rest of the text, after the last token
    std::string text;
};

struct GenerationResult {
    std::vector<std::int64_t> tokens; ///< new tokens, without the one that ended the sequence
    std::string text;                 ///< empty without a tokenizer
    std::string finishReason;         ///< "stop", "length" or "cancelled"
    std::int64_t promptTokens = 0;
    double prefillSeconds = 0;
    double decodeSeconds = 0;
    double tokensPerSecond = 0; ///< of decoding
    std::int64_t stateBytes = 0; ///< held at the end
};

class LanguageModel {
public:
    /// Opens a Hugging Face folder. The tokenizer is read when its files are there. Throws Error(Input/Resource/Usage).
    static std::unique_ptr<LanguageModel> open(const std::filesystem::path& folder, const LoadOptions& options = {});
    ~LanguageModel();

    const Architecture& architecture() const;
    const Tokenizer* tokenizer() const; ///< null without tokenizer files
    const std::filesystem::path& folder() const;
    const std::string& device() const;
    const std::string& dtype() const;
    const std::vector<std::string>& warnings() const;

    /// ids [batch, length] row-major -> float32 logits [batch, length, vocabulary]. With `prefill` = N the first N tokens go
    /// in through the state as one prefill in pieces of `chunk` (0: whole) and the rest one by one. Throws Error(Input) for
    /// ids outside the vocabulary.
    std::vector<float> logits(std::span<const std::int64_t> ids, std::int64_t batch, std::int64_t length,
                              std::optional<std::int64_t> prefill = std::nullopt, std::int64_t chunk = 0) const;

    /// Continues the prompt. `onPiece` is called for each token and may return false to stop. `stopIds` of the checkpoint's
    /// generation config are added by the caller (see defaultGenerateOptions).
    GenerationResult generate(std::span<const std::int64_t> prompt, const GenerateOptions& options,
                              const std::function<bool(const StreamPiece&)>& onPiece = {},
                              const CancellationToken& cancellation = {}) const;

    /// Continues many prompts, `batch` of them at a time; a row whose sequence has ended takes the next prompt. Of `options` the stop
    /// strings, the stop ids and the prefill chunk count. Tokens are chosen on the device: a seed gives a prompt the same tokens whatever
    /// the others are, but not those that `generate` draws on a CPU. `onPiece` gets the prompt's index. Results in the order of the prompts.
    std::vector<GenerationResult> generateTogether(std::span<const PromptRequest> prompts, const GenerateOptions& options, std::int64_t batch,
                                                   const std::function<bool(std::size_t, const StreamPiece&)>& onPiece = {},
                                                   const CancellationToken& cancellation = {}) const;

    /// Greedy decoding with the checkpoint's end-of-sequence ids.
    GenerateOptions defaultGenerateOptions() const;

    /// Tokens per second of decoding one token for each of `batch` sequences whose states hold `context` tokens (random numbers): the median of
    /// `steps` timed steps, taken as generation takes them.
    double measureDecode(std::int64_t context, std::int64_t batch, int steps) const;

private:
    LanguageModel();
    struct Implementation;
    std::unique_ptr<Implementation> m;
};

} // namespace postnas::engine
