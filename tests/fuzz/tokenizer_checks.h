// What a tokenizer promises of every text.
#pragma once

#include <climits>
#include <set>

#include "core/base/text.h"
#include "core/huggingface/tokenizer.h"
#include "tests/fuzz/fuzz.h"

namespace postnas::fuzz {

inline void checkEncoding(const Tokenizer& tokenizer, const Encoding& encoding, std::size_t textSize)
{
    require(encoding.starts.size() == encoding.ids.size() && std::is_sorted(encoding.starts.begin(), encoding.starts.end()));
    require(encoding.starts.empty() || encoding.starts.back() <= textSize);
    for (const std::int32_t id : encoding.ids)
        require(id >= 0 && id < tokenizer.vocabularySize() && tokenizer.idToToken(id).has_value());
}

/// Control tokens that untrusted text may hold all the same: what single characters become where there is nothing else for them
/// (a tokenizer that pads with "!", or whose unknown token is special), and what takes white space along from before it.
inline std::set<std::int32_t> unavoidableControls(const Tokenizer& tokenizer)
{
    std::set<std::int32_t> out;
    for (const AddedToken& token : tokenizer.addedTokens())
        if (token.lstrip)
            out.insert(token.id);
    const auto add = [&](std::initializer_list<int> bytes) {
        for (const std::int32_t id : tokenizer.encode(std::string(bytes.begin(), bytes.end()), SpecialTokens::AsText, AddTemplate::No))
            out.insert(id);
    };
    for (int b = 0; b < 0x80; ++b)
        add({b});
    for (int b = 0x80; b < 0xC0; ++b)
        add({0xC2, b});
    for (int b = 0xC3; b < 0xE0; ++b)
        add({b, 0x80});
    for (int b = 0xE0; b < 0xF0; ++b)
        add({b, b == 0xE0 ? 0xA0 : 0x80, 0x80});
    for (int b = 0xF0; b < 0xF5; ++b)
        add({b, b == 0xF0 ? 0x90 : 0x80, 0x80, 0x80});
    return out;
}

/// `text` is valid UTF-8. False when a split pattern refused it, which those of hostile tokenizers may.
inline bool checkText(const Tokenizer& tokenizer, const std::string& text)
{
    return accepted([&] {
        for (const SpecialTokens specials : {SpecialTokens::Parse, SpecialTokens::AsText}) {
            const Encoding encoding = tokenizer.encodeWithOffsets(text, specials);
            checkEncoding(tokenizer, encoding, text.size());
            require(tokenizer.encode(text, specials) == encoding.ids);
        }
        // The text cut into trusted and untrusted parts at characters, a third each.
        std::vector<TextSegment> segments;
        std::size_t begin = 0;
        for (std::size_t part = 1; part <= 3; ++part) {
            std::size_t end = text.size() * part / 3;
            while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80)
                ++end;
            segments.push_back({text.substr(begin, end - begin), part == 2});
            begin = end;
        }
        const Encoding mixed = tokenizer.encodeSegmentsWithOffsets(segments);
        checkEncoding(tokenizer, mixed, text.size());
        require(tokenizer.encodeSegments(segments) == mixed.ids);
        const std::size_t from = segments[0].text.size();
        const std::size_t to = from + segments[1].text.size();
        const std::set<std::int32_t> unavoidable = unavoidableControls(tokenizer);
        for (std::size_t i = 0; i < mixed.ids.size(); ++i)
            require(!tokenizer.isControl(mixed.ids[i]) || (mixed.starts[i] >= from && mixed.starts[i] < to) || unavoidable.contains(mixed.ids[i]));

        StreamDecoder stream(tokenizer);
        std::string streamed;
        for (const std::int32_t id : mixed.ids)
            streamed += stream.push(id);
        streamed += stream.finish();
        require(streamed == tokenizer.decode(mixed.ids));
        // Ids of nobody do no harm.
        tokenizer.decode(std::vector<std::int32_t> {-1, 0, tokenizer.vocabularySize(), INT32_MAX, INT32_MIN}, true);
    });
}

} // namespace postnas::fuzz
