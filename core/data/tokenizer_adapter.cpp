// Binds Tokenizer and ChatTemplate to what the dataset builder asks for.
#include "core/data/tokenizer_adapter.h"

#include <utility>

#include "core/base/files.h"
#include "core/huggingface/chat_template.h"
#include "core/huggingface/tokenizer.h"

namespace postnas {

BuilderTokenizer loadBuilderTokenizer(const std::filesystem::path& folder)
{
    const Tokenizer tokenizer = Tokenizer::load(folder);
    BuilderTokenizer out;
    out.vocabularySize = tokenizer.vocabularySize();
    out.endOfText = tokenizer.eosId().value_or(-1);
    const bool isFolder = std::filesystem::is_directory(folder);
    out.hash = hashFile(isFolder ? folder / "tokenizer.json" : folder);
    out.encode = [tokenizer](const std::vector<TextSegment>& segments) {
        Encoding encoding = tokenizer.encodeSegmentsWithOffsets(segments);
        return TokenizedDocument {std::move(encoding.ids), {encoding.starts.begin(), encoding.starts.end()}};
    };
    if (!isFolder)
        return out;
    if (const auto chat = ChatTemplate::load(folder))
        out.renderChat = [chat = *chat](const std::vector<ChatMessage>& messages, bool generationPrompt) {
            Json list = Json::array();
            for (const ChatMessage& message : messages)
                list.push_back({{"role", message.role}, {"content", message.content}});
            return chat.render(list, nullptr, generationPrompt).segments;
        };
    return out;
}

} // namespace postnas
