// JSON of conversations.
#include "widgets/chat/chat_message.h"

#include <cmath>

#include "core/base/error.h"
#include "widgets/services/convert.h"

namespace postnas {

Json messagesToJson(const QVector<ChatMessage>& messages)
{
    Json list = Json::array();
    for (const ChatMessage& message : messages) {
        Json item = {{"role", message.fromUser ? "user" : "assistant"}, {"content", toStd(message.content)}};
        if (!message.model.isEmpty())
            item["model"] = toStd(message.model);
        if (!message.note.isEmpty())
            item["note"] = toStd(message.note);
        if (message.stats.known()) {
            Json stats = {{"prompt_tokens", message.stats.promptTokens},
                          {"new_tokens", message.stats.newTokens},
                          {"state_bytes", message.stats.stateBytes}};
            if (std::isfinite(message.stats.tokensPerSecond))
                stats["tokens_per_second"] = message.stats.tokensPerSecond;
            item["stats"] = stats;
        }
        list.push_back(std::move(item));
    }
    return list;
}

QVector<ChatMessage> messagesFromJson(const Json& list, const std::string& source)
{
    if (!list.is_array() || static_cast<qsizetype>(list.size()) > ChatMessage::kMaxMessages)
        throw inputError(source + ": a conversation is no list of at most " + std::to_string(ChatMessage::kMaxMessages) + " messages");
    constexpr std::int64_t kLimit = std::int64_t {1} << 60;
    QVector<ChatMessage> messages;
    for (const Json& item : list) {
        if (!item.is_object())
            throw inputError(source + ": a message is no object");
        const JsonReader reader(item, source, "message");
        const std::string role = reader.string("role");
        if (role != "user" && role != "assistant")
            reader.fail("role", "is neither 'user' nor 'assistant'");
        ChatMessage message;
        message.fromUser = role == "user";
        message.content = toQString(reader.string("content"));
        message.note = toQString(reader.string("note", ""));
        message.model = toQString(reader.string("model", ""));
        if (reader.has("stats")) {
            const JsonReader stats = reader.object("stats");
            message.stats.promptTokens = stats.integer("prompt_tokens", -1, kLimit, -1);
            message.stats.newTokens = stats.integer("new_tokens", -1, kLimit, -1);
            message.stats.stateBytes = stats.integer("state_bytes", -1, kLimit, -1);
            if (stats.has("tokens_per_second"))
                message.stats.tokensPerSecond = stats.number("tokens_per_second", 0, 1e12);
        }
        messages += message;
    }
    return messages;
}

} // namespace postnas
