// Reads and writes generation_config.json.
#include "core/huggingface/generation_config.h"

#include <limits>

#include "core/base/error.h"

namespace postnas {
namespace {

constexpr std::int64_t kMaxId = std::numeric_limits<std::int32_t>::max();

std::optional<std::int64_t> tokenId(const JsonReader& config, const std::string& key, const std::optional<std::int64_t>& fallback)
{
    if (!config.has(key))
        return fallback;
    const std::int64_t id = config.integer(key, -1, kMaxId);
    return id < 0 ? std::nullopt : std::optional(id);
}

GenerationConfig fromArchitecture(const Architecture& architecture)
{
    GenerationConfig out;
    out.eosTokenIds = architecture.eosTokenIds;
    out.bosTokenId = architecture.bosTokenId;
    out.padTokenId = architecture.padTokenId;
    return out;
}

} // namespace

GenerationConfig parseGenerationConfig(const Json& json, const std::string& source, const Architecture& architecture)
{
    const JsonReader config(json, source);
    GenerationConfig out = fromArchitecture(architecture);
    out.doSample = config.boolean("do_sample", out.doSample);
    out.temperature = config.number("temperature", 0, 1000, out.temperature);
    if (out.temperature == 0) {
        // Some files mean greedy by it; dividing by it is never meant.
        out.doSample = false;
        out.temperature = 1.0;
    }
    // A null switches these off; an absent key has the default of transformers.
    const auto off = [&](const char* key) { return json.contains(key) && !config.has(key); };
    out.topK = off("top_k") ? 0 : config.integer("top_k", 0, kMaxId, out.topK);
    out.topP = off("top_p") ? 1.0 : config.number("top_p", 0, 1, out.topP);
    if (out.topP <= 0)
        config.fail("top_p", "is 0; it must be above 0 and at most 1");
    out.minP = config.number("min_p", 0, 1, out.minP);
    out.repetitionPenalty = config.number("repetition_penalty", 1e-3, 1000, out.repetitionPenalty);
    if (config.has("max_new_tokens"))
        out.maxNewTokens = config.integer("max_new_tokens", 1, std::int64_t{1} << 40);
    out.bosTokenId = tokenId(config, "bos_token_id", out.bosTokenId);
    out.padTokenId = tokenId(config, "pad_token_id", out.padTokenId);
    if (config.has("eos_token_id")) {
        out.eosTokenIds.clear();
        const Json& value = config.value("eos_token_id");
        const Json list = value.is_array() ? value : Json::array({value});
        if (list.size() > 1024)
            config.fail("eos_token_id", "lists more than 1024 tokens");
        for (const Json& item : list) {
            const Json single = {{"eos_token_id", item}};
            out.eosTokenIds.push_back(JsonReader(single, source).integer("eos_token_id", 0, kMaxId));
        }
    }
    return out;
}

GenerationConfig readGenerationConfig(const std::filesystem::path& folder, const Architecture& architecture)
{
    const std::filesystem::path file = folder / "generation_config.json";
    std::error_code ignored;
    if (!std::filesystem::exists(file, ignored))
        return fromArchitecture(architecture);
    return parseGenerationConfig(readJsonFile(file, 1u << 20), file.string(), architecture);
}

Json writeGenerationConfig(const GenerationConfig& config)
{
    Json out = Json::object();
    if (config.bosTokenId)
        out["bos_token_id"] = *config.bosTokenId;
    if (config.eosTokenIds.size() == 1)
        out["eos_token_id"] = config.eosTokenIds.front();
    else if (!config.eosTokenIds.empty())
        out["eos_token_id"] = config.eosTokenIds;
    if (config.padTokenId)
        out["pad_token_id"] = *config.padTokenId;
    out["do_sample"] = config.doSample;
    if (config.doSample) {
        out["temperature"] = config.temperature;
        out["top_k"] = config.topK;
        out["top_p"] = config.topP;
        if (config.minP > 0)
            out["min_p"] = config.minP;
    }
    out["repetition_penalty"] = config.repetitionPenalty;
    if (config.maxNewTokens)
        out["max_new_tokens"] = *config.maxNewTokens;
    return out;
}

} // namespace postnas
