// Runs of trust over one contiguous text: appending merges, slicing cuts, nothing is ever upgraded to trusted.
#include "core/huggingface/jinja_string.h"

#include <algorithm>
#include <cstring>

namespace postnas {

std::size_t JinjaString::runAt(std::size_t offset) const
{
    const auto it = std::upper_bound(m_runs.begin(), m_runs.end(), offset, [](std::size_t o, const Run& r) { return o < r.end; });
    return static_cast<std::size_t>(it - m_runs.begin());
}

bool JinjaString::trustedAt(std::size_t offset) const
{
    const std::size_t run = runAt(offset);
    return run < m_runs.size() && m_runs[run].trusted;
}

void JinjaString::extendRun(std::size_t end, bool trusted)
{
    if (!m_runs.empty() && m_runs.back().trusted == trusted) {
        m_runs.back().end = end;
        return;
    }
    if (m_runs.size() >= kMaxRuns)
        throw JinjaFailure("a text alternates too often between template and user text");
    m_runs.push_back({end, trusted});
}

void JinjaString::append(std::string_view text, bool trusted)
{
    if (text.empty())
        return;
    if (text.size() > kMaxBytes - m_text.size())
        throw JinjaFailure("a text grows over " + std::to_string(kMaxBytes >> 20) + " MiB");
    m_text.append(text);
    extendRun(m_text.size(), trusted);
}

void JinjaString::appendSlice(const JinjaString& other, std::size_t begin, std::size_t end)
{
    if (&other == this) {
        const JinjaString copy = other;
        appendSlice(copy, begin, end);
        return;
    }
    end = std::min(end, other.size());
    for (std::size_t run = other.runAt(begin); begin < end; ++run) {
        const std::size_t stop = std::min(other.m_runs[run].end, end);
        append(std::string_view(other.m_text).substr(begin, stop - begin), other.m_runs[run].trusted);
        begin = stop;
    }
}

JinjaString JinjaString::slice(std::size_t begin, std::size_t end) const
{
    JinjaString out;
    out.appendSlice(*this, begin, end);
    return out;
}

std::size_t JinjaString::find(std::string_view needle, std::size_t from) const
{
    if (from > m_text.size())
        return std::string::npos;
    if (needle.empty())
        return from;
    const void* hit = ::memmem(m_text.data() + from, m_text.size() - from, needle.data(), needle.size());
    return hit == nullptr ? std::string::npos : static_cast<std::size_t>(static_cast<const char*>(hit) - m_text.data());
}

std::size_t JinjaString::codePoints() const
{
    return static_cast<std::size_t>(
        std::count_if(m_text.begin(), m_text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::size_t JinjaString::offsetOfCodePoint(std::size_t index) const
{
    std::size_t offset = 0;
    while (index > 0 && offset < m_text.size()) {
        offset += utf8Length(m_text[offset]);
        --index;
    }
    return std::min(offset, m_text.size());
}

std::vector<TextSegment> JinjaString::segments() const
{
    std::vector<TextSegment> out;
    std::size_t begin = 0;
    for (const Run& run : m_runs) {
        out.push_back({m_text.substr(begin, run.end - begin), run.trusted});
        begin = run.end;
    }
    return out;
}

char32_t codePointAt(std::string_view text, std::size_t offset)
{
    const std::size_t length = std::min(utf8Length(text[offset]), text.size() - offset);
    const auto lead = static_cast<unsigned char>(text[offset]);
    char32_t code = length == 1 ? lead : lead & (0xFFu >> (length + 1));
    for (std::size_t i = 1; i < length; ++i)
        code = (code << 6) | (static_cast<unsigned char>(text[offset + i]) & 0x3Fu);
    return code;
}

bool isPythonSpace(char32_t c)
{
    return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680
        || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

} // namespace postnas
