// The options that every command with a model has.
#pragma once

#include <filesystem>
#include <string>

#include <CLI/CLI.hpp>

#include "core/base/error.h"
#include "core/base/resources.h"
#include "core/engine/language_model.h"
#include "core/engine/runtime.h"

namespace postnas {

/// The config.json of a built-in architecture; throws Error(Input) that says what else could be given ("a config.json") and which there are.
inline std::filesystem::path builtInConfig(const std::string& name, const std::string& otherwise)
{
    std::string known;
    for (const std::string& builtIn : builtInArchitectures()) {
        if (builtIn == name)
            return resourceFile("architectures/" + name + ".json");
        known += ", " + builtIn;
    }
    throw inputError(name + ": does not exist", "Give " + otherwise + (known.empty() ? "" : ", or one of: " + known.substr(2)) + ".");
}

struct ModelOptions {
    std::string model;
    engine::LoadOptions load;
    int threads = 0;

    void add(CLI::App& command)
    {
        command.add_option("model", model, "Folder of a Hugging Face checkpoint")->required();
        addDevice(command);
    }
    void addDevice(CLI::App& command)
    {
        command.add_option("--device", load.device, "auto, cpu or cuda")->capture_default_str();
        command.add_option("--dtype", load.dtype, "auto, float32, bfloat16 or float16")->capture_default_str();
        command.add_option("--state-dtype", load.stateDtype, "Of recurrent states: float32, or bfloat16, which is faster and less exact")->capture_default_str()->check(CLI::IsMember({"float32", "bfloat16"}));
        command.add_option("--rope-frequencies", load.ropeFrequencies, "float32, or bfloat16: rounded, as after model.to(bfloat16) in PyTorch")
            ->capture_default_str();
        command.add_option("--threads", threads, "CPU threads; 0: as many as there are")->capture_default_str()->check(CLI::Range(0, 4096));
    }
    std::unique_ptr<engine::LanguageModel> open() const
    {
        engine::initialiseRuntime(threads);
        return engine::LanguageModel::open(model, load);
    }
};

struct SamplingFlags {
    engine::GenerateOptions options;

    void add(CLI::App& command)
    {
        command.add_option("--max-new-tokens", options.maxNewTokens, "Longest answer")->capture_default_str()->check(CLI::Range(0, 1 << 24));
        command.add_option("--temperature", options.sampling.temperature, "0: always the most likely token")->capture_default_str();
        command.add_option("--top-k", options.sampling.topK, "0: no limit")->capture_default_str();
        command.add_option("--top-p", options.sampling.topP, "Share of probability kept")->capture_default_str();
        command.add_option("--min-p", options.sampling.minP, "Least share of the most likely token's probability")->capture_default_str();
        command.add_option("--repetition-penalty", options.sampling.repetitionPenalty, "1: none")->capture_default_str();
        command.add_option("--seed", options.sampling.seed, "Seed of the sampling")->capture_default_str();
        command.add_option("--stop", options.stopStrings, "Ends the text; may be given several times");
        command.add_option("--prefill-chunk", options.prefillChunk, "Prompt tokens per forward pass; 0: 8192 on a GPU, 512 on a CPU")
            ->capture_default_str()
            ->check(CLI::Range(0, 1 << 24));
    }
    /// With the end-of-sequence ids of the model.
    engine::GenerateOptions forModel(const engine::LanguageModel& model) const
    {
        engine::GenerateOptions out = options;
        out.stopIds = model.defaultGenerateOptions().stopIds;
        return out;
    }
};

} // namespace postnas
