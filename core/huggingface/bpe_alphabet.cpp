// GPT-2's table of bytes and characters, in both directions.
#include "core/huggingface/bpe_alphabet.h"

#include "core/huggingface/unicode_classes.h"

namespace postnas {
namespace {

constexpr int kAlphabetEnd = 256 + 68; ///< 68 bytes are not printable

struct Alphabet {
    std::array<char32_t, 256> character {};
    std::array<std::int16_t, kAlphabetEnd> byte {};

    Alphabet()
    {
        byte.fill(-1);
        char32_t next = 256;
        for (int b = 0; b < 256; ++b) {
            const bool printable = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
            character[static_cast<std::size_t>(b)] = printable ? static_cast<char32_t>(b) : next++;
            byte[character[static_cast<std::size_t>(b)]] = static_cast<std::int16_t>(b);
        }
    }
};

const Alphabet& alphabet()
{
    static const Alphabet instance;
    return instance;
}

} // namespace

char32_t alphabetCharacter(std::uint8_t byte) { return alphabet().character[byte]; }

std::optional<std::string> alphabetToBytes(std::string_view token)
{
    const Alphabet& table = alphabet();
    std::string out;
    out.reserve(token.size());
    for (std::size_t i = 0, length = 0; i < token.size(); i += length) {
        const char32_t c = unicode::decodeAt(token.data() + i, length);
        if (c >= kAlphabetEnd || table.byte[c] < 0)
            return std::nullopt;
        out += static_cast<char>(table.byte[c]);
    }
    return out;
}

std::string bytesToAlphabet(std::string_view bytes)
{
    std::string out;
    for (const char b : bytes)
        unicode::appendUtf8(out, alphabetCharacter(static_cast<std::uint8_t>(b)));
    return out;
}

} // namespace postnas
