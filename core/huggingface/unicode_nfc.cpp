// NFC in three steps: find the few stretches that may change, normalise only those, copy the rest.
#include "core/huggingface/unicode_nfc.h"

#include <algorithm>
#include <array>
#include <cstring>

#include <utf8proc.h>

#include "core/base/error.h"
#include "core/huggingface/unicode_classes.h"

namespace postnas::unicode {
namespace {

constexpr std::uint8_t kTouched = kNfcOrdered | kNfcUnsure;

/// Normal form of one stretch. utf8proc orders marks by insertion, which takes quadratic time on hostile runs of marks; so
/// its data decomposes character by character, the order comes from a stable sort, and utf8proc composes at the end.
std::string normalizeStretch(std::string_view stretch)
{
    std::vector<utf8proc_int32_t> code;
    for (std::size_t i = 0, length = 0; i < stretch.size(); i += length) {
        const char32_t c = decodeAt(stretch.data() + i, length);
        std::array<utf8proc_int32_t, 8> parts {};
        int boundary = 0;
        const auto n = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), parts.data(), parts.size(),
                                               static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE), &boundary);
        if (n < 0 || n > static_cast<utf8proc_ssize_t>(parts.size()))
            throw internalError("utf8proc cannot decompose a code point");
        code.insert(code.end(), parts.begin(), parts.begin() + n);
    }
    const auto combiningClass = [](utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; };
    for (auto begin = code.begin(); begin != code.end();) {
        const auto isStarter = [&](utf8proc_int32_t c) { return combiningClass(c) == 0; };
        begin = std::find_if_not(begin, code.end(), isStarter);
        const auto end = std::find_if(begin, code.end(), isStarter);
        std::stable_sort(begin, end, [&](auto a, auto b) { return combiningClass(a) < combiningClass(b); });
        begin = end;
    }
    const auto size = utf8proc_normalize_utf32(code.data(), static_cast<utf8proc_ssize_t>(code.size()),
                                               static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
    if (size < 0)
        throw internalError("utf8proc cannot compose a text");
    std::string out;
    for (utf8proc_ssize_t i = 0; i < size; ++i)
        appendUtf8(out, static_cast<char32_t>(code[static_cast<std::size_t>(i)]));
    return out;
}

/// Index of the first byte from `i` on that is not ASCII.
std::size_t skipAscii(std::string_view text, std::size_t i)
{
    for (; i + 8 <= text.size(); i += 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, text.data() + i, 8);
        if ((word & 0x8080808080808080ull) != 0)
            break;
    }
    while (i < text.size() && static_cast<unsigned char>(text[i]) < 0x80)
        ++i;
    return i;
}

} // namespace

std::size_t NormalizedText::originalOffset(std::size_t offset) const
{
    if (offset >= text.size())
        return m_originalSize;
    const auto after = std::upper_bound(m_stretches.begin(), m_stretches.end(), offset,
                                        [](std::size_t value, const Stretch& s) { return value < s.begin; });
    const Stretch& s = *std::prev(after);
    return s.changed ? s.original : s.original + (offset - s.begin);
}

bool normalizeNfc(std::string_view text, NormalizedText& out)
{
    const ClassTable& classes = ClassTable::instance();
    bool changed = false;
    std::size_t copied = 0; // what of `text` is in `out`
    std::size_t previous = 0;
    std::uint8_t previousClass = 0;
    for (std::size_t i = 0, length = 0; i < text.size(); i += length) {
        if (static_cast<unsigned char>(text[i]) < 0x80) {
            i = skipAscii(text, i);
            previous = i - 1;
            previousClass = kNfcBase; // some ASCII characters compose; taking one along too many does no harm
            if (i == text.size())
                break;
        }
        const char32_t c = decodeAt(text.data() + i, length);
        const std::uint8_t cls = classes[c];
        if ((cls & kTouched) == 0) {
            previous = i;
            previousClass = cls;
            continue;
        }
        // A stretch: the character before it when that one may compose, then everything up to the next plain character.
        std::size_t end = i + length;
        bool unsure = (cls & kNfcUnsure) != 0;
        bool several = false;
        std::uint8_t lastClass = cls;
        std::size_t last = i;
        while (end < text.size() && static_cast<unsigned char>(text[end]) >= 0x80) {
            std::size_t n = 0;
            const std::uint8_t next = classes[decodeAt(text.data() + end, n)];
            if ((next & kTouched) == 0)
                break;
            unsure = unsure || (next & kNfcUnsure) != 0;
            several = true;
            lastClass = next;
            last = end;
            end += n;
        }
        if (unsure || several) { // one mark that never composes is in order by itself
            const bool hasBase = i > 0 && previous < i && previous >= copied && (previousClass & kNfcBase) != 0;
            const std::size_t begin = hasBase ? previous : i;
            const std::string_view stretch = text.substr(begin, end - begin);
            std::string normal = normalizeStretch(stretch);
            if (normal != stretch) {
                if (!changed) {
                    changed = true;
                    out.text.clear();
                    out.m_stretches.clear();
                    out.m_originalSize = text.size();
                }
                if (begin > copied) {
                    out.m_stretches.push_back({out.text.size(), copied, false});
                    out.text.append(text, copied, begin - copied);
                }
                out.m_stretches.push_back({out.text.size(), begin, true});
                out.text += normal;
                copied = end;
            }
        }
        previous = last;
        previousClass = lastClass;
        length = end - i;
    }
    if (!changed)
        return false;
    if (copied < text.size()) {
        out.m_stretches.push_back({out.text.size(), copied, false});
        out.text.append(text, copied);
    }
    return true;
}

} // namespace postnas::unicode
