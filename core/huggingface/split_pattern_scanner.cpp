// Hand-written scanners for the split patterns that nearly all byte-level tokenizers use.
//
// Each alternative of a pattern is tried in the order in which the pattern has it, with its backtracking worked out: what
// `\s+(?!\S)` gives back, or where `\s*[\r\n]+` ends. The tests compare every scanner with PCRE2 on random text.
#include <array>

#include "core/huggingface/split_pattern.h"
#include "core/huggingface/unicode_classes.h"

namespace postnas {
namespace {

using unicode::ClassTable;
using unicode::kLetter;
using unicode::kNumber;
using unicode::kSpace;

constexpr std::size_t kUnbounded = ~std::size_t(0);
constexpr std::uint8_t kAnyClass = kLetter | kNumber | kSpace;

/// One character of the text: its class bits and its length in bytes.
struct Character {
    std::uint8_t bits;
    std::size_t length;
};

class Reader {
public:
    explicit Reader(std::string_view text)
        : m_text(text)
        , m_classes(ClassTable::instance())
    {
        for (char32_t c = 0; c < 128; ++c)
            m_ascii[c] = m_classes[c] & kAnyClass;
    }

    std::size_t size() const { return m_text.size(); }
    char byte(std::size_t i) const { return m_text[i]; }
    bool isNewline(std::size_t i) const { return m_text[i] == '\n' || m_text[i] == '\r'; }

    Character at(std::size_t i) const
    {
        const auto c = static_cast<unsigned char>(m_text[i]);
        if (c < 0x80) [[likely]]
            return {m_ascii[c], 1};
        std::size_t length = 0;
        const char32_t codePoint = unicode::decodeAt(m_text.data() + i, length);
        return {static_cast<std::uint8_t>(m_classes[codePoint] & kAnyClass), length};
    }

    /// End of the run of characters whose class is `bits` (0: neither letter, number nor space), at most `limit` of them.
    std::size_t skip(std::size_t i, std::uint8_t bits, std::size_t limit = kUnbounded) const
    {
        while (i < m_text.size() && limit > 0) {
            const Character c = at(i);
            if (c.bits != bits)
                break;
            i += c.length;
            --limit;
        }
        return i;
    }

    std::size_t skipNewlines(std::size_t i) const
    {
        while (i < m_text.size() && isNewline(i))
            ++i;
        return i;
    }

private:
    std::string_view m_text;
    const ClassTable& m_classes;
    std::array<std::uint8_t, 128> m_ascii {};
};

/// Length of 's 't 're 've 'm 'll 'd at the apostrophe `i`, or 0.
template <bool kIgnoreCase>
std::size_t contractionAt(const Reader& text, std::size_t i)
{
    const auto lower = [&](std::size_t k) -> char {
        if (k >= text.size())
            return 0;
        const char c = text.byte(k);
        return kIgnoreCase && c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    };
    const char first = lower(i + 1);
    const char second = lower(i + 2);
    if (first == 's' || first == 't' || first == 'm' || first == 'd')
        return 2;
    if ((first == 'r' && second == 'e') || (first == 'v' && second == 'e') || (first == 'l' && second == 'l'))
        return 3;
    // Ignoring case, the long s is an s; no other character outside ASCII folds to one of these letters.
    if (kIgnoreCase && first == '\xC5' && second == '\xBF')
        return 3;
    return 0;
}

/// `\s+(?!\S)|\s+` on the run of white space [begin, end): a run before other text leaves its last character to it.
std::size_t endOfSpaces(std::string_view text, std::size_t begin, std::size_t end)
{
    if (end == text.size())
        return end;
    const std::size_t last = unicode::previousCharacter(text, end);
    return last > begin ? last : end;
}

/// A pattern whose pieces follow one another without a gap; `Scanner` says where the piece that begins at a place ends.
template <typename Scanner>
class GaplessScanner : public SplitPattern {
public:
    void split(std::string_view view, PieceSink& sink) const final
    {
        const Reader text(view);
        for (std::size_t begin = 0; begin < view.size();) {
            const std::size_t end = static_cast<const Scanner&>(*this).pieceEnd(view, text, begin);
            sink.piece(begin, end);
            begin = end;
        }
    }
};

/// The patterns of cl100k, Llama 3 and Qwen, which differ in how many digits make a piece.
class Cl100kScanner final : public GaplessScanner<Cl100kScanner> {
public:
    explicit Cl100kScanner(std::size_t digits)
        : m_digits(digits)
    {
    }

    std::size_t pieceEnd(std::string_view view, const Reader& text, std::size_t begin) const
    {
        const Character first = text.at(begin);
        if (first.bits == kLetter)
            return text.skip(begin + first.length, kLetter);
        if (first.bits == kNumber)
            return text.skip(begin + first.length, kNumber, m_digits - 1);
        if (text.byte(begin) == '\'')
            if (const std::size_t length = contractionAt<true>(text, begin); length > 0)
                return begin + length;
        const std::size_t second = begin + first.length;
        if (!text.isNewline(begin) && second < view.size()) {
            const Character next = text.at(second);
            if (next.bits == kLetter)
                return text.skip(second + next.length, kLetter);
            if (text.byte(begin) == ' ' && next.bits == 0)
                return text.skipNewlines(text.skip(second + next.length, 0));
        }
        if (first.bits == 0)
            return text.skipNewlines(text.skip(second, 0));
        const std::size_t end = text.skip(begin, kSpace);
        for (std::size_t i = end; i > begin; --i)
            if (text.isNewline(i - 1))
                return i;
        return endOfSpaces(view, begin, end);
    }

private:
    std::size_t m_digits;
};

class Gpt2Scanner final : public GaplessScanner<Gpt2Scanner> {
public:
    static std::size_t pieceEnd(std::string_view view, const Reader& text, std::size_t begin)
    {
        if (text.byte(begin) == '\'')
            if (const std::size_t length = contractionAt<false>(text, begin); length > 0)
                return begin + length;
        const Character first = text.at(begin);
        const std::size_t second = begin + first.length;
        if (first.bits != kSpace)
            return text.skip(second, first.bits);
        if (text.byte(begin) == ' ' && second < view.size()) {
            const Character next = text.at(second);
            if (next.bits != kSpace)
                return text.skip(second + next.length, next.bits);
        }
        return endOfSpaces(view, begin, text.skip(begin, kSpace));
    }
};

} // namespace

std::unique_ptr<SplitPattern> makeScanner(std::string_view pattern)
{
    if (pattern == kQwen2Pattern)
        return std::make_unique<Cl100kScanner>(1);
    if (pattern == kLlama3Pattern)
        return std::make_unique<Cl100kScanner>(3);
    if (pattern == kGpt2Pattern)
        return std::make_unique<Gpt2Scanner>();
    return nullptr;
}

std::unique_ptr<SplitPattern> makeSplitPattern(std::string_view pattern, std::string where)
{
    if (auto scanner = makeScanner(pattern))
        return scanner;
    return makePcre2Pattern(pattern, std::move(where));
}

} // namespace postnas
