// Fuzz target: any text as generation_config.json; what is accepted can be sampled with, and is written as it was read.
#include <cmath>

#include "core/huggingface/generation_config.h"
#include "tests/fuzz/fuzz.h"

using namespace postnas;

std::vector<std::string> fuzzSeeds()
{
    return {R"({"do_sample": true, "temperature": 0.7, "top_k": 20, "top_p": 0.8, "min_p": 0.1, "repetition_penalty": 1.05,
                "max_new_tokens": 2048, "bos_token_id": 151643, "pad_token_id": 151643, "eos_token_id": [151645, 151643]})",
            R"({"temperature": 0, "top_k": null, "top_p": null, "eos_token_id": 2, "pad_token_id": -1, "transformers_version": "4.50.0"})"};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    fuzz::accepted([&] {
        const Json json = parseJson({reinterpret_cast<const char*>(data), size}, "generation_config.json");
        const GenerationConfig config = parseGenerationConfig(json, "generation_config.json", {});
        fuzz::require(std::isfinite(config.temperature) && config.temperature > 0 && config.topP > 0 && config.topP <= 1 && config.topK >= 0
                      && config.repetitionPenalty > 0);
        bool again = fuzz::accepted([&] {
            const Json written = writeGenerationConfig(config);
            fuzz::require(writeGenerationConfig(parseGenerationConfig(parseJson(dumpJson(written), "written"), "written", {})) == written);
        });
        fuzz::require(again);
    });
    return 0;
}
