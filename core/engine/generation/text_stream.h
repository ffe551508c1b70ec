// Turns a sequence's tokens into streamed text that ends at a stop string. No torch.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/engine/generation/stop_strings.h"
#include "core/huggingface/tokenizer.h"

namespace postnas::engine {

class TextStream {
public:
    /// Without a tokenizer there is no text, and no stop string is ever seen.
    TextStream(const Tokenizer* tokenizer, const std::vector<std::string>& stopStrings)
        : m_stops(stopStrings)
    {
        if (tokenizer != nullptr)
            m_decoder.emplace(*tokenizer);
    }

    /// The text that is certain with this token; may be empty.
    std::string push(std::int64_t id) { return m_stops.push(m_decoder ? m_decoder->push(static_cast<std::int32_t>(id)) : std::string()); }
    bool stopped() const { return m_stops.stopped(); }
    /// What was held back, when no stop string came.
    std::string finish()
    {
        if (!m_decoder || m_stops.stopped())
            return {};
        std::string rest = m_stops.push(m_decoder->finish());
        return rest + m_stops.finish();
    }

private:
    std::optional<StreamDecoder> m_decoder;
    StopStringFilter m_stops;
};

} // namespace postnas::engine
