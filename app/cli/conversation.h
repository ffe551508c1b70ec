// Turns a conversation into prompt ids by the checkpoint's own chat template.
#pragma once

#include <cstdint>
#include <vector>

#include "core/base/error.h"
#include "core/engine/language_model.h"
#include "core/huggingface/chat_template.h"
#include "core/huggingface/tokenizer.h"

namespace postnas {

/// What users typed is text to the tokenizer: control tokens come from the template alone. Throws Error(Input) when the
/// checkpoint has no tokenizer or no chat template.
inline std::vector<std::int64_t> conversationIds(const engine::LanguageModel& model, const Json& messages)
{
    if (model.tokenizer() == nullptr)
        throw inputError(model.folder().string() + ": there is no tokenizer.json, so it cannot chat");
    const auto chat = ChatTemplate::load(model.folder());
    if (!chat)
        throw inputError(model.folder().string() + ": there is no chat template, so it cannot chat",
                         "Use `postnas generate` for plain continuation, or add a chat_template.jinja.");
    const RenderedChat rendered = chat->render(messages, nullptr, true);
    const auto ids = model.tokenizer()->encodeSegments(rendered.segments);
    return {ids.begin(), ids.end()};
}

} // namespace postnas
