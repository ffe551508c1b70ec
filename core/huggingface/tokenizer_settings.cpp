// Reading what stands beside tokenizer.json: named special tokens, further added tokens, and the chat template.
#include <set>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/huggingface/tokenizer_components.h"
#include "core/huggingface/tokenizer_file.h"

namespace postnas {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxSettingsBytes = 32u << 20;
constexpr std::uint64_t kMaxTemplateBytes = 4u << 20;
constexpr const char* kNamedTokens[] = {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};

/// Whether there is something of the name; what it is, such as a link to itself, reading it will say.
bool present(const fs::path& file)
{
    std::error_code ignored;
    return fs::exists(fs::symlink_status(file, ignored));
}

/// A token that is named in a settings file: a string, or an object with `content`. Nothing for null or another kind.
std::optional<std::string> tokenContent(const Json& value)
{
    if (value.is_string())
        return value.get<std::string>();
    if (value.is_object() && value.contains("content") && value["content"].is_string())
        return value["content"].get<std::string>();
    return std::nullopt;
}

std::optional<std::string> namedToken(const JsonReader& settings, const std::string& key)
{
    if (!settings.has(key))
        return std::nullopt;
    const auto content = tokenContent(settings.value(key));
    if (!content)
        settings.fail(key, "must be a string or an object with \"content\"");
    return content;
}

/// All tokens that a settings file calls special.
std::set<std::string> specialContents(const JsonReader& settings)
{
    std::set<std::string> out;
    for (const char* key : kNamedTokens)
        if (const auto content = namedToken(settings, key))
            out.insert(*content);
    for (const char* key : {"additional_special_tokens", "extra_special_tokens"}) {
        if (!settings.has(key))
            continue;
        const Json& list = settings.value(key); // a list, or an object of names and tokens
        if (!list.is_structured())
            settings.fail(key, "must be a list or an object of tokens");
        for (const Json& item : list)
            if (const auto content = tokenContent(item))
                out.insert(*content);
    }
    return out;
}

/// `added_tokens_decoder` of tokenizer_config.json: {"151643": {"content": ...}}. It overrides tokenizer.json.
void applyAddedTokensDecoder(const JsonReader& config, TokenizerFile& tokenizer)
{
    const JsonReader decoder = config.object("added_tokens_decoder");
    for (const auto& [key, value] : decoder.json().items()) {
        const std::string where = "added_tokens_decoder." + key;
        if (key.empty() || key.size() > 7 || key.find_first_not_of("0123456789") != std::string::npos
            || std::stol(key) > BpeVocabulary::kMaxId)
            decoder.fail(key, "is no id");
        const JsonReader item(value, config.source(), where);
        tokenizer.addToken(readAddedToken(item, static_cast<std::int32_t>(std::stol(key))),
                           config.source() + ": key \"" + where + "\"");
    }
}

/// added_tokens.json of older checkpoints: {"content": id}. It only adds what tokenizer.json lacks.
void applyAddedTokensFile(const fs::path& file, TokenizerFile& tokenizer, const std::set<std::string>& specials)
{
    const Json json = readJsonFile(file, kMaxSettingsBytes);
    const JsonReader reader(json, file.string());
    for (const auto& [content, value] : json.items()) {
        if (!value.is_number_unsigned() || value.get<std::uint64_t>() > BpeVocabulary::kMaxId)
            reader.fail(sanitizeForTerminal(content), "must be an id");
        if (tokenizer.findAdded(content) != nullptr)
            continue;
        AddedToken token;
        token.content = content;
        token.id = value.get<std::int32_t>();
        token.special = specials.contains(content);
        token.normalized = !token.special;
        tokenizer.addToken(token, file.string() + ": key \"" + sanitizeForTerminal(content) + "\"");
    }
}

/// What is named as special is special, also when it is an ordinary entry of the vocabulary.
void markSpecial(const std::set<std::string>& specials, const std::string& source, TokenizerFile& tokenizer)
{
    for (const std::string& content : specials) {
        AddedToken token;
        if (const AddedToken* known = tokenizer.findAdded(content))
            token = *known;
        else
            token.id = tokenizer.idOf(content);
        if (token.id < 0)
            continue; // named, but the tokenizer has no such token
        token.content = content;
        token.special = true;
        tokenizer.addToken(token, source);
    }
}

std::optional<std::string> templateOf(const JsonReader& config)
{
    if (!config.has("chat_template"))
        return std::nullopt;
    const Json& value = config.value("chat_template");
    if (value.is_string())
        return value.get<std::string>();
    if (!value.is_array())
        config.fail("chat_template", "must be a string or a list of {name, template}");
    for (std::size_t i = 0; i < value.size(); ++i) {
        const JsonReader entry(value[i], config.source(), "chat_template[" + std::to_string(i) + "]");
        if (entry.string("name") == "default")
            return entry.string("template");
    }
    return std::nullopt;
}

} // namespace

TokenizerSettings readTokenizerSettings(const fs::path& folder, TokenizerFile& tokenizer)
{
    TokenizerSettings out;
    const fs::path configFile = folder / "tokenizer_config.json";
    const fs::path mapFile = folder / "special_tokens_map.json";
    const bool hasConfig = present(configFile);
    const Json config = hasConfig ? readJsonFile(configFile, kMaxSettingsBytes) : Json::object();
    const JsonReader configReader(config, configFile.string());
    const Json map = present(mapFile) ? readJsonFile(mapFile, kMaxSettingsBytes) : Json::object();
    const JsonReader mapReader(map, mapFile.string());

    std::set<std::string> specials = specialContents(configReader);
    const bool hasDecoder = configReader.has("added_tokens_decoder");
    if (hasDecoder) {
        applyAddedTokensDecoder(configReader, tokenizer);
    } else {
        specials.merge(specialContents(mapReader));
        if (const fs::path file = folder / "added_tokens.json"; present(file))
            applyAddedTokensFile(file, tokenizer, specials);
    }
    markSpecial(specials, (hasConfig ? configFile : mapFile).string(), tokenizer);
    if (tokenizer.prefixSpaceIsConfigurable)
        tokenizer.addPrefixSpace = configReader.boolean("add_prefix_space", tokenizer.addPrefixSpace);

    const auto idOfNamed = [&](const std::string& key) -> std::optional<std::int32_t> {
        auto content = namedToken(configReader, key);
        if (!content && !config.contains(key)) // null in the config means none
            content = namedToken(mapReader, key);
        const std::int32_t id = content ? tokenizer.idOf(*content) : -1;
        return id >= 0 ? std::optional(id) : std::nullopt;
    };
    out.bosId = idOfNamed("bos_token");
    out.eosId = idOfNamed("eos_token");
    out.padId = idOfNamed("pad_token");
    out.unknownId = idOfNamed("unk_token");
    if (const fs::path file = folder / "chat_template.jinja"; present(file)) {
        out.chatTemplate = readTextFile(file, kMaxTemplateBytes);
        if (const std::size_t bad = findInvalidUtf8(*out.chatTemplate); bad != std::string::npos)
            throw inputError(file.string() + ": invalid UTF-8 at byte " + std::to_string(bad));
    } else {
        out.chatTemplate = templateOf(configReader);
    }
    return out;
}

} // namespace postnas
