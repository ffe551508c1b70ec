// Text functions that both the string methods and the filters use; each keeps the trust of the bytes it keeps.
#include <algorithm>

#include <utf8proc.h>

#include "core/huggingface/jinja_methods.h"
#include "core/huggingface/jinja_text.h"
#include "core/huggingface/unicode_classes.h"

namespace postnas {
namespace {

enum class Case { Upper, Lower, Title };

void appendCased(JinjaString& out, const JinjaString& text, std::size_t offset, Case wanted)
{
    const auto code = static_cast<utf8proc_int32_t>(codePointAt(text.text(), offset));
    std::string mapped;
    if (code == 0xDF && wanted != Case::Lower) // the one common letter whose upper case is longer
        mapped.append(wanted == Case::Upper ? "SS" : "Ss");
    else
        unicode::appendUtf8(mapped, static_cast<char32_t>(wanted == Case::Upper   ? utf8proc_toupper(code)
                                                      : wanted == Case::Lower ? utf8proc_tolower(code)
                                                                              : utf8proc_totitle(code)));
    out.append(mapped, text.trustedAt(offset));
}

JinjaString recase(const JinjaString& text, Case first, Case rest)
{
    JinjaString out;
    for (std::size_t i = 0; i < text.size(); i += utf8Length(text.text()[i]))
        appendCased(out, text, i, i == 0 ? first : rest);
    return out;
}

} // namespace

JinjaString jinjaUpper(const JinjaString& text) { return recase(text, Case::Upper, Case::Upper); }
JinjaString jinjaLower(const JinjaString& text) { return recase(text, Case::Lower, Case::Lower); }
JinjaString jinjaCapitalize(const JinjaString& text) { return recase(text, Case::Title, Case::Lower); }

JinjaString jinjaStrip(const JinjaString& text, const std::optional<JinjaValue>& characters, bool left, bool right)
{
    std::u32string set;
    const bool anySpace = !characters || characters->isNone();
    if (!anySpace) {
        if (!characters->isString())
            throw JinjaFailure("strip takes a string of characters");
        for (std::size_t i = 0; i < characters->asText().size(); i += utf8Length(characters->asText()[i]))
            set += codePointAt(characters->asText(), i);
        std::sort(set.begin(), set.end());
    }
    const auto isStripped = [&](std::size_t offset) {
        const char32_t code = codePointAt(text.text(), offset);
        return anySpace ? isPythonSpace(code) : std::binary_search(set.begin(), set.end(), code);
    };
    std::size_t begin = 0;
    std::size_t end = text.size();
    while (left && begin < end && isStripped(begin))
        begin += utf8Length(text.text()[begin]);
    while (right && end > begin) {
        std::size_t last = end - 1;
        while (last > begin && (static_cast<unsigned char>(text.text()[last]) & 0xC0) == 0x80)
            --last;
        if (!isStripped(last))
            break;
        end = last;
    }
    return text.slice(begin, end);
}

JinjaString jinjaReplace(JinjaRuntime& runtime, const JinjaString& text, const JinjaString& from, const JinjaString& to,
                         std::int64_t count)
{
    JinjaString out;
    std::size_t pos = 0;
    runtime.work(text.size());
    if (from.empty()) { // Python puts `to` before every character and at the end
        for (; count != 0; --count) {
            runtime.work(to.size());
            out.append(to);
            if (pos >= text.size())
                break;
            const std::size_t next = pos + utf8Length(text.text()[pos]);
            out.appendSlice(text, pos, next);
            pos = next;
        }
    }
    for (; !from.empty() && count != 0; --count) {
        const std::size_t hit = text.find(from.text(), pos);
        if (hit == std::string::npos)
            break;
        runtime.work(to.size());
        out.appendSlice(text, pos, hit);
        out.append(to);
        pos = hit + from.size();
    }
    out.appendSlice(text, pos, text.size());
    return out;
}

std::vector<JinjaString> jinjaSplitLines(const JinjaString& text, bool keepEnds)
{
    std::vector<JinjaString> out;
    std::size_t begin = 0;
    for (std::size_t i = 0; i < text.size();) {
        const char32_t code = codePointAt(text.text(), i);
        std::size_t next = i + utf8Length(text.text()[i]);
        const bool ends = (code >= 0x0A && code <= 0x0D) || (code >= 0x1C && code <= 0x1E) || code == 0x85 || code == 0x2028 || code == 0x2029;
        if (ends) {
            if (code == '\r' && next < text.size() && text.text()[next] == '\n')
                ++next;
            out.push_back(text.slice(begin, keepEnds ? next : i));
            begin = next;
        }
        i = next;
    }
    if (begin < text.size())
        out.push_back(text.slice(begin, text.size()));
    return out;
}

JinjaString jinjaJoin(JinjaRuntime& runtime, const JinjaString& separator, const std::vector<JinjaValue>& items, bool convert)
{
    JinjaString out;
    for (std::size_t i = 0; i < items.size(); ++i) {
        if (!convert && !items[i].isString())
            throw JinjaFailure(std::string("join needs strings, not ") + items[i].typeName());
        if (i > 0)
            out.append(separator);
        const JinjaString part = jinjaToText(runtime, items[i]);
        runtime.work(part.size() + separator.size());
        out.append(part);
    }
    return out;
}

} // namespace postnas
