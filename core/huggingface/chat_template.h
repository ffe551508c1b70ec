// A checkpoint's chat template: messages in, text out, with what users typed kept apart from what the template wrote.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/base/json.h"
#include "core/huggingface/jinja_template.h"
#include "core/huggingface/text_segment.h"

namespace postnas {

/// What a conversation looks like to the model.
struct RenderedChat {
    std::string text;
    /// `text` cut where trust changes. Control tokens are to be recognised in trusted segments alone, so that a message that
    /// contains the text <|im_end|> stays a message with that text.
    std::vector<TextSegment> segments;
};

/// Renders conversations as transformers' apply_chat_template(tokenize=False) does.
class ChatTemplate {
public:
    /// `specialTokens`: values of bos_token, eos_token and the like, which templates print. They are trusted.
    /// Throws Error(Input) naming `name` and the line when the template does not parse.
    ChatTemplate(std::string_view source, std::string name, std::unordered_map<std::string, std::string> specialTokens = {},
                 const JinjaLimits& limits = {});

    /// The template of a checkpoint folder: chat_template.jinja, chat_template.json, or `chat_template` of
    /// tokenizer_config.json (of several, the one named "default"); nothing when there is none. Throws Error(Input) on
    /// broken files.
    static std::optional<ChatTemplate> load(const std::filesystem::path& folder);

    /// `messages`: a list of objects with `role` and `content` (and whatever else the template uses); `tools`: a list, or null;
    /// `extra`: further variables, such as {"enable_thinking": false}. Texts of all three are untrusted; of the roles, the
    /// usual names are trusted, since templates build control tokens from them.
    /// Throws Error(Input) naming the template, also when the template itself refuses the conversation.
    RenderedChat render(const Json& messages, const Json& tools = nullptr, bool addGenerationPrompt = true,
                        const Json& extra = Json::object()) const;

    const std::string& name() const { return m_template.name(); }

private:
    JinjaTemplate m_template;
    std::unordered_map<std::string, std::string> m_specialTokens;
};

} // namespace postnas
