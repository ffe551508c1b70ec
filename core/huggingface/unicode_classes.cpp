// Expands the generated runs of code points into the two-level class table.
#include "core/huggingface/unicode_classes.h"

#include <map>

namespace postnas::unicode {
namespace {

struct Run {
    std::uint32_t first;
    std::uint8_t bits;
};

constexpr Run kRuns[] = {
#include "core/huggingface/unicode/unicode_table.inc"
};

constexpr char32_t kHangulFirst = 0xAC00;
constexpr char32_t kHangulLast = 0xD7A3;
constexpr char32_t kHangulFinals = 28;

} // namespace

ClassTable::ClassTable()
{
    std::vector<std::uint8_t> flat(0x110000);
    for (std::size_t i = 0; i < std::size(kRuns); ++i) {
        const std::size_t end = i + 1 < std::size(kRuns) ? kRuns[i + 1].first : flat.size();
        for (std::size_t c = kRuns[i].first; c < end; ++c)
            flat[c] = kRuns[i].bits;
    }
    // Hangul syllables: those without a final consonant compose with one, the others are plain letters.
    for (char32_t c = kHangulFirst; c <= kHangulLast; ++c)
        flat[c] = kLetter | kWord | ((c - kHangulFirst) % kHangulFinals == 0 ? std::uint8_t(kNfcBase) : std::uint8_t(0));
    std::map<std::string, std::uint16_t> pages;
    for (std::size_t page = 0; page < m_index.size(); ++page) {
        const std::string content(flat.begin() + page * 256, flat.begin() + (page + 1) * 256);
        const auto [it, isNew] = pages.emplace(content, static_cast<std::uint16_t>(pages.size()));
        if (isNew)
            m_pages.insert(m_pages.end(), content.begin(), content.end());
        m_index[page] = it->second;
    }
}

const ClassTable& ClassTable::instance()
{
    static const ClassTable table;
    return table;
}

std::vector<std::pair<char32_t, char32_t>> ClassTable::ranges(std::uint8_t mask) const
{
    std::vector<std::pair<char32_t, char32_t>> out;
    for (char32_t c = 0; c < 0x110000; ++c) {
        if (((*this)[c] & mask) == 0)
            continue;
        if (!out.empty() && out.back().second + 1 == c)
            out.back().second = c;
        else
            out.emplace_back(c, c);
    }
    return out;
}

void appendUtf8(std::string& out, char32_t c)
{
    if (c < 0x80) {
        out += static_cast<char>(c);
    } else if (c < 0x800) {
        out += static_cast<char>(0xC0 | (c >> 6));
        out += static_cast<char>(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        out += static_cast<char>(0xE0 | (c >> 12));
        out += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
        out += static_cast<char>(0x80 | (c & 0x3F));
    } else {
        out += static_cast<char>(0xF0 | (c >> 18));
        out += static_cast<char>(0x80 | ((c >> 12) & 0x3F));
        out += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
        out += static_cast<char>(0x80 | (c & 0x3F));
    }
}

} // namespace postnas::unicode
