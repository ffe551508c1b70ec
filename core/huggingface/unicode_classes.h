// What a code point is for a tokenizer: letter, number, space, mark, and how it behaves under NFC.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace postnas::unicode {

/// Bits of a class; core/huggingface/unicode/make_tables.py has the same list.
enum ClassBit : std::uint8_t {
    kLetter = 1,       ///< \p{L} of the split patterns
    kNumber = 2,       ///< \p{N}
    kSpace = 4,        ///< \s
    kMark = 8,         ///< \p{M}
    kWord = 16,        ///< \w beside an added token with single_word
    kNfcBase = 32,     ///< may compose, whole or in parts, with a later character
    kNfcOrdered = 64,  ///< never changes but has a combining class: its order among marks matters
    kNfcUnsure = 128,  ///< may change, or compose with an earlier character
};

/// Two levels over the whole code space: 256 code points a page, equal pages stored once.
class ClassTable {
public:
    static const ClassTable& instance();

    std::uint8_t operator[](char32_t codePoint) const
    {
        return codePoint < 0x110000 ? m_pages[(std::size_t(m_index[codePoint >> 8]) << 8) | (codePoint & 0xFF)] : 0;
    }
    /// Ranges [first, last] of the code points that have any bit of `mask`, in order.
    std::vector<std::pair<char32_t, char32_t>> ranges(std::uint8_t mask) const;

private:
    ClassTable();

    std::array<std::uint16_t, 0x1100> m_index {};
    std::vector<std::uint8_t> m_pages;
};

/// Decodes the sequence at `at` of text that is known to be valid UTF-8; `length` becomes its size in bytes.
inline char32_t decodeAt(const char* at, std::size_t& length)
{
    const auto b = [at](int i) { return static_cast<unsigned char>(at[i]); };
    if (b(0) < 0x80) {
        length = 1;
        return b(0);
    }
    if (b(0) < 0xE0) {
        length = 2;
        return (char32_t(b(0) & 0x1F) << 6) | (b(1) & 0x3F);
    }
    if (b(0) < 0xF0) {
        length = 3;
        return (char32_t(b(0) & 0x0F) << 12) | (char32_t(b(1) & 0x3F) << 6) | (b(2) & 0x3F);
    }
    length = 4;
    return (char32_t(b(0) & 0x07) << 18) | (char32_t(b(1) & 0x3F) << 12) | (char32_t(b(2) & 0x3F) << 6) | (b(3) & 0x3F);
}

/// Where the character that ends before `end` begins; `text` is valid UTF-8 and `end` > 0.
inline std::size_t previousCharacter(std::string_view text, std::size_t end)
{
    do
        --end;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80);
    return end;
}

void appendUtf8(std::string& out, char32_t codePoint);

} // namespace postnas::unicode
