// Implementation of the text helpers.
#include "core/base/text.h"

#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>

namespace postnas {
namespace {

/// Decodes one sequence at `i`. Returns its length, or 0 with `bad` set to the length of the maximal broken part.
std::size_t sequenceAt(std::string_view s, std::size_t i, std::size_t& bad, char32_t* out = nullptr)
{
    const auto byte = [&](std::size_t k) { return static_cast<unsigned char>(s[k]); };
    const unsigned char c = byte(i);
    bad = 1;
    if (c < 0x80) {
        if (out)
            *out = c;
        return 1;
    }
    std::size_t n = 0;
    unsigned char low = 0x80;
    unsigned char high = 0xBF;
    char32_t cp = 0;
    if (c >= 0xC2 && c <= 0xDF) {
        n = 2;
        cp = c & 0x1F;
    } else if (c >= 0xE0 && c <= 0xEF) {
        n = 3;
        cp = c & 0x0F;
        if (c == 0xE0)
            low = 0xA0;
        if (c == 0xED)
            high = 0x9F;
    } else if (c >= 0xF0 && c <= 0xF4) {
        n = 4;
        cp = c & 0x07;
        if (c == 0xF0)
            low = 0x90;
        if (c == 0xF4)
            high = 0x8F;
    } else {
        return 0;
    }
    for (std::size_t k = 1; k < n; ++k) {
        if (i + k >= s.size() || byte(i + k) < low || byte(i + k) > high) {
            bad = k;
            return 0;
        }
        cp = (cp << 6) | (byte(i + k) & 0x3F);
        low = 0x80;
        high = 0xBF;
    }
    if (out)
        *out = cp;
    return n;
}

bool isBidiControl(char32_t cp)
{
    return cp == 0x061C || cp == 0x200E || cp == 0x200F || (cp >= 0x202A && cp <= 0x202E) || (cp >= 0x2066 && cp <= 0x2069);
}

} // namespace

std::size_t findInvalidUtf8(std::string_view text)
{
    std::size_t bad = 0;
    for (std::size_t i = 0; i < text.size();) {
        std::uint64_t word = 0; // eight ASCII characters at a time: most text is
        if (i + sizeof word <= text.size()) {
            std::memcpy(&word, text.data() + i, sizeof word);
            if ((word & 0x8080808080808080ull) == 0) {
                i += sizeof word;
                continue;
            }
        }
        const std::size_t n = sequenceAt(text, i, bad);
        if (n == 0)
            return i;
        i += n;
    }
    return std::string_view::npos;
}

std::size_t completeUtf8Prefix(std::string_view text)
{
    const std::size_t size = text.size();
    for (std::size_t back = 1; back <= 3 && back <= size; ++back) {
        const auto c = static_cast<unsigned char>(text[size - back]);
        if ((c & 0xC0) == 0x80)
            continue;
        const std::size_t need = c >= 0xF0 && c <= 0xF4 ? 4 : c >= 0xE0 ? 3 : c >= 0xC2 ? 2 : 1;
        if (need <= back || c > 0xF4)
            return size;
        // Only hold back what can still become valid.
        std::size_t bad = 0;
        sequenceAt(text, size - back, bad);
        return bad == back ? size - back : size;
    }
    return size;
}

std::string repairUtf8(std::string_view text)
{
    std::string out;
    out.reserve(text.size());
    std::size_t bad = 0;
    for (std::size_t i = 0; i < text.size();) {
        const std::size_t n = sequenceAt(text, i, bad);
        if (n == 0) {
            out += "\xEF\xBF\xBD";
            i += bad;
        } else {
            out.append(text, i, n);
            i += n;
        }
    }
    return out;
}

std::string sanitizeForTerminal(std::string_view text)
{
    const std::string valid = repairUtf8(text);
    std::string out;
    std::size_t bad = 0;
    for (std::size_t i = 0; i < valid.size();) {
        char32_t cp = 0;
        const std::size_t n = sequenceAt(valid, i, bad, &cp);
        const bool control = (cp < 0x20 && cp != '\n' && cp != '\t') || (cp >= 0x7F && cp < 0xA0) || isBidiControl(cp);
        if (!control)
            out.append(valid, i, n);
        i += n;
    }
    return out;
}

std::string groupThousands(std::int64_t value)
{
    std::string digits = std::to_string(value < 0 ? -value : value);
    for (std::int64_t i = static_cast<std::int64_t>(digits.size()) - 3; i > 0; i -= 3)
        digits.insert(static_cast<std::size_t>(i), ",");
    return value < 0 ? "-" + digits : digits;
}

std::string formatBytes(double bytes)
{
    char buffer[64];
    if (bytes < 1024)
        std::snprintf(buffer, sizeof buffer, "%.0f bytes", bytes);
    else if (bytes < 1024.0 * 1024)
        std::snprintf(buffer, sizeof buffer, "%.2f KiB", bytes / 1024);
    else
        std::snprintf(buffer, sizeof buffer, "%.2f MiB", bytes / (1024.0 * 1024));
    return buffer;
}

std::string utcTimestamp()
{
    using namespace std::chrono;
    const auto now = system_clock::now();
    const auto millis = duration_cast<milliseconds>(now.time_since_epoch()).count();
    const std::time_t seconds = millis / 1000;
    std::tm tm {};
    gmtime_r(&seconds, &tm);
    char buffer[64];
    const std::size_t n = std::strftime(buffer, sizeof buffer, "%Y-%m-%dT%H:%M:%S", &tm);
    std::snprintf(buffer + n, sizeof buffer - n, ".%03dZ", static_cast<int>(millis % 1000));
    return buffer;
}

} // namespace postnas
