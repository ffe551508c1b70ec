// Finds a checkpoint's template and hands it the conversation with the right trust on every text.
#include "core/huggingface/chat_template.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/base/files.h"

namespace postnas {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxSettingsBytes = 32u << 20;
constexpr const char* kNamedTokens[] = {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};

bool isUsualRole(const std::string& role)
{
    static constexpr std::string_view kRoles[] = {"system", "user", "assistant", "tool", "developer", "function", "ipython",
                                                  "model", "environment", "context", "observation", "tool_call", "tool_response"};
    return std::find(std::begin(kRoles), std::end(kRoles), role) != std::end(kRoles);
}

JinjaValue messageValue(const Json& message)
{
    JinjaDict out(false);
    for (const auto& [key, value] : message.items()) {
        const bool trusted = key == "role" && value.is_string() && isUsualRole(value.get_ref<const std::string&>());
        out.set(JinjaValue::fromJson(key, false), JinjaValue::fromJson(value, trusted));
    }
    return JinjaValue::dict(std::move(out));
}

void readSpecialTokens(const JsonReader& settings, std::unordered_map<std::string, std::string>& out)
{
    for (const char* key : kNamedTokens) {
        if (!settings.has(key))
            continue;
        const Json& value = settings.value(key);
        if (value.is_string())
            out.emplace(key, value.get<std::string>());
        else
            out.emplace(key, settings.object(key).string("content"));
    }
}

/// A template by itself, or the one named "default" of a list of {name, template}.
std::optional<std::string> templateOf(const JsonReader& settings)
{
    if (!settings.has("chat_template"))
        return std::nullopt;
    const Json& value = settings.value("chat_template");
    if (value.is_string())
        return value.get<std::string>();
    if (!value.is_array())
        settings.fail("chat_template", "must be a template or a list of named templates");
    for (std::size_t i = 0; i < value.size(); ++i) {
        const JsonReader entry(value[i], settings.source(), "chat_template[" + std::to_string(i) + "]");
        if (entry.string("name") == "default")
            return entry.string("template");
    }
    return std::nullopt;
}

} // namespace

ChatTemplate::ChatTemplate(std::string_view source, std::string name, std::unordered_map<std::string, std::string> specialTokens,
                           const JinjaLimits& limits)
    : m_template(JinjaTemplate::parse(source, std::move(name), limits, JinjaDialect::chat()))
    , m_specialTokens(std::move(specialTokens))
{
}

std::optional<ChatTemplate> ChatTemplate::load(const fs::path& folder)
{
    std::unordered_map<std::string, std::string> tokens;
    std::optional<std::string> source;
    fs::path from = folder / "chat_template.jinja";
    const auto present = [](const fs::path& file) { // a link to itself is there; reading it says what is wrong
        std::error_code ignored;
        return fs::exists(fs::symlink_status(file, ignored));
    };
    if (present(from))
        source = readTextFile(from, kMaxSettingsBytes);
    for (const char* name : {"chat_template.json", "tokenizer_config.json", "special_tokens_map.json"}) {
        const fs::path file = folder / name;
        if (!present(file))
            continue;
        const Json json = readJsonFile(file, kMaxSettingsBytes);
        const JsonReader settings(json, file.string());
        readSpecialTokens(settings, tokens);
        if (source)
            continue;
        source = templateOf(settings);
        from = file;
    }
    if (!source)
        return std::nullopt;
    return ChatTemplate(*source, from.string(), std::move(tokens));
}

RenderedChat ChatTemplate::render(const Json& messages, const Json& tools, bool addGenerationPrompt, const Json& extra) const
{
    if (!messages.is_array() || !std::all_of(messages.begin(), messages.end(), [](const Json& m) { return m.is_object(); }))
        throw inputError("the messages of a chat must be a list of objects with \"role\" and \"content\"");
    if (!tools.is_null() && !tools.is_array())
        throw inputError("the tools of a chat must be a list");
    JinjaTemplate::Variables variables;
    for (const auto& [name, value] : extra.items())
        variables.emplace(name, JinjaValue::fromJson(value, false));
    for (const auto& [name, value] : m_specialTokens)
        variables[name] = JinjaValue::fromJson(value, true);
    std::vector<JinjaValue> list;
    for (const Json& message : messages)
        list.push_back(messageValue(message));
    variables["messages"] = JinjaValue::list(std::move(list), JinjaListKind::List, false);
    variables["tools"] = JinjaValue::fromJson(tools, false);
    variables["documents"] = JinjaValue::none();
    variables["add_generation_prompt"] = JinjaValue::boolean(addGenerationPrompt);
    if (extra.contains("documents"))
        variables["documents"] = JinjaValue::fromJson(extra["documents"], false);

    RenderedChat out;
    out.segments = m_template.renderSegments(std::move(variables));
    for (const TextSegment& segment : out.segments)
        out.text += segment.text;
    return out;
}

} // namespace postnas
