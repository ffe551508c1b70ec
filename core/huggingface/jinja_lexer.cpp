// A scanner with two modes: template text up to the next tag, and the tokens inside a tag.
#include "core/huggingface/jinja_lexer.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>

#include "core/huggingface/unicode_classes.h"

namespace postnas {
namespace {

bool isNameStart(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}
bool isDigit(char c) { return c >= '0' && c <= '9'; }
bool isTagSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/// \r\n and \r become \n; one trailing newline goes unless it is to be kept.
std::string normalizeNewlines(std::string_view source, bool keepTrailing)
{
    std::string out;
    out.reserve(source.size());
    for (std::size_t i = 0; i < source.size(); ++i) {
        if (source[i] == '\r') {
            out += '\n';
            if (i + 1 < source.size() && source[i + 1] == '\n')
                ++i;
        } else {
            out += source[i];
        }
    }
    if (!keepTrailing && !out.empty() && out.back() == '\n')
        out.pop_back();
    return out;
}

std::size_t stripEnd(std::string_view text)
{
    std::size_t end = text.size();
    while (end > 0) {
        std::size_t start = end - 1;
        while (start > 0 && (static_cast<unsigned char>(text[start]) & 0xC0) == 0x80)
            --start;
        if (!isPythonSpace(codePointAt(text, start)))
            break;
        end = start;
    }
    return end;
}

class Lexer {
public:
    Lexer(std::string_view source, const JinjaDialect& dialect)
        : m_source(normalizeNewlines(source, dialect.keepTrailingNewline))
        , m_dialect(dialect)
    {
    }

    std::vector<JinjaToken> run()
    {
        while (m_pos < m_source.size())
            scanData();
        add(JinjaTokenKind::End);
        return std::move(m_tokens);
    }

private:
    [[noreturn]] void fail(const std::string& message) const { throw JinjaSyntaxError(message, m_line); }

    JinjaToken& add(JinjaTokenKind kind, std::string text = {})
    {
        m_tokens.push_back({kind, m_line, std::move(text)});
        return m_tokens.back();
    }

    char at(std::size_t pos) const { return pos < m_source.size() ? m_source[pos] : '\0'; }
    bool startsWith(std::size_t pos, std::string_view what) const { return m_source.compare(pos, what.size(), what) == 0; }

    void advanceTo(std::size_t pos)
    {
        m_line += static_cast<int>(std::count(m_source.begin() + static_cast<std::ptrdiff_t>(m_pos),
                                              m_source.begin() + static_cast<std::ptrdiff_t>(pos), '\n'));
        m_lineStarting = pos > 0 && m_source[pos - 1] == '\n';
        m_pos = pos;
    }

    std::size_t skipSpace(std::size_t pos) const
    {
        while (pos < m_source.size() && isPythonSpace(codePointAt(m_source, pos)))
            pos += utf8Length(m_source[pos]);
        return pos;
    }

    /// Text up to the tag at `tag`, cut as the tag's sign (`-`, `+` or none) and lstrip_blocks want it.
    void addText(std::size_t tag, bool isVariable)
    {
        std::string_view text = std::string_view(m_source).substr(m_pos, tag - m_pos);
        const char sign = at(tag + 2);
        if (sign == '-') {
            text = text.substr(0, stripEnd(text));
        } else if (!(sign == '+' && !isVariable) && m_dialect.lstripBlocks && !isVariable) {
            const std::size_t newline = text.rfind('\n');
            const std::size_t lineStart = newline == std::string_view::npos ? 0 : newline + 1;
            if ((lineStart > 0 || m_lineStarting) && stripEnd(text.substr(lineStart)) == 0)
                text = text.substr(0, lineStart);
        }
        if (!text.empty())
            add(JinjaTokenKind::Data, std::string(text));
    }

    /// After a tag that ends at `pos`: `-` eats all white space, otherwise trim_blocks eats one newline.
    std::size_t afterTag(std::size_t pos, char sign, bool trims) const
    {
        if (sign == '-')
            return skipSpace(pos);
        if (sign != '+' && trims && m_dialect.trimBlocks && at(pos) == '\n')
            return pos + 1;
        return pos;
    }

    void scanData()
    {
        std::size_t tag = m_pos;
        for (;; ++tag) {
            tag = m_source.find('{', tag);
            if (tag == std::string::npos || at(tag + 1) == '{' || at(tag + 1) == '%' || at(tag + 1) == '#')
                break;
        }
        if (tag == std::string::npos) {
            add(JinjaTokenKind::Data, m_source.substr(m_pos));
            advanceTo(m_source.size());
            return;
        }
        const char kind = at(tag + 1);
        addText(tag, kind == '{');
        const bool signedTag = at(tag + 2) == '-' || (at(tag + 2) == '+' && kind != '{');
        const std::size_t inside = tag + 2 + (signedTag ? 1 : 0);
        if (kind == '#')
            scanComment(tag, inside);
        else if (kind == '%' && rawTagEnd(inside, "raw") != std::string::npos)
            scanRaw(tag, inside);
        else
            scanTag(inside, kind == '{');
    }

    void scanComment(std::size_t tag, std::size_t inside)
    {
        const std::size_t end = m_source.find("#}", inside);
        if (end == std::string::npos)
            fail("a comment is not closed");
        advanceTo(tag);
        const char sign = end > inside ? at(end - 1) : '\0';
        advanceTo(afterTag(end + 2, sign, true));
    }

    /// The position of the tag's end when a tag of just `word` starts at `inside`: that of its sign, or of the "%}".
    std::size_t rawTagEnd(std::size_t inside, std::string_view word) const
    {
        std::size_t pos = skipSpace(inside);
        if (!startsWith(pos, word))
            return std::string::npos;
        pos = skipSpace(pos + word.size());
        const bool signedEnd = at(pos) == '-' || (at(pos) == '+' && word == "endraw");
        return startsWith(pos + (signedEnd ? 1 : 0), "%}") ? pos : std::string::npos;
    }

    void scanRaw(std::size_t tag, std::size_t inside)
    {
        std::size_t end = rawTagEnd(inside, "raw");
        char sign = at(end);
        advanceTo(tag);
        advanceTo(afterTag(end + (sign == '%' ? 2 : 3), sign, false));
        for (std::size_t close = m_source.find("{%", m_pos); close != std::string::npos; close = m_source.find("{%", close + 2)) {
            const std::size_t word = close + 2 + (at(close + 2) == '-' || at(close + 2) == '+' ? 1 : 0);
            end = rawTagEnd(word, "endraw");
            if (end == std::string::npos)
                continue;
            addText(close, false);
            sign = at(end);
            advanceTo(afterTag(end + (sign == '%' ? 2 : 3), sign, true));
            return;
        }
        fail("a raw block is not closed");
    }

    void scanTag(std::size_t inside, bool isVariable)
    {
        advanceTo(inside);
        add(isVariable ? JinjaTokenKind::VariableBegin : JinjaTokenKind::BlockBegin);
        const std::string_view close = isVariable ? "}}" : "%}";
        std::string open; // brackets that wait for their partner
        for (;;) {
            while (isTagSpace(at(m_pos)))
                advanceTo(m_pos + 1);
            if (m_pos >= m_source.size())
                fail(isVariable ? "an expression is not closed with }}" : "a tag is not closed with %}");
            if (open.empty()) {
                const char sign = at(m_pos);
                const bool signedEnd = sign == '-' || (sign == '+' && !isVariable);
                const std::size_t end = m_pos + (signedEnd ? 1 : 0);
                if (startsWith(end, close)) {
                    add(isVariable ? JinjaTokenKind::VariableEnd : JinjaTokenKind::BlockEnd);
                    advanceTo(afterTag(end + 2, signedEnd ? sign : '\0', !isVariable));
                    return;
                }
            }
            scanToken(open);
        }
    }

    void scanToken(std::string& open)
    {
        const char c = at(m_pos);
        if (c == '"' || c == '\'')
            return scanString(c);
        if (isDigit(c))
            return scanNumber();
        if (isNameStart(c)) {
            std::size_t end = m_pos;
            while (isNameStart(at(end)) || isDigit(at(end)))
                ++end;
            add(JinjaTokenKind::Name, m_source.substr(m_pos, end - m_pos));
            return advanceTo(end);
        }
        static constexpr std::string_view kOperators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
                                                          "]",  "(",  ")",  ">",  "<",  "=",  ".", ":", "|", ",", "{", "}", ";"};
        for (const std::string_view op : kOperators) {
            if (!startsWith(m_pos, op))
                continue;
            if (c == '(' || c == '[' || c == '{') {
                open += c == '(' ? ')' : c == '[' ? ']' : '}';
            } else if (c == ')' || c == ']' || c == '}') {
                if (open.empty() || open.back() != c)
                    fail(std::string("unexpected '") + c + "'");
                open.pop_back();
            }
            add(JinjaTokenKind::Operator, std::string(op));
            return advanceTo(m_pos + op.size());
        }
        fail("unexpected character '" + m_source.substr(m_pos, utf8Length(c)) + "'");
    }

    void scanNumber()
    {
        std::string digits;
        std::size_t pos = m_pos;
        int base = 10;
        if (at(pos) == '0' && (at(pos + 1) == 'x' || at(pos + 1) == 'X' || at(pos + 1) == 'o' || at(pos + 1) == 'O'
                               || at(pos + 1) == 'b' || at(pos + 1) == 'B')) {
            base = (at(pos + 1) | 0x20) == 'x' ? 16 : (at(pos + 1) | 0x20) == 'o' ? 8 : 2;
            pos += 2;
        }
        const auto takeDigits = [&] {
            while (isDigit(at(pos)) || at(pos) == '_' || (base == 16 && std::isxdigit(static_cast<unsigned char>(at(pos))))) {
                if (at(pos) != '_')
                    digits += at(pos);
                ++pos;
            }
        };
        takeDigits();
        bool isFloat = false;
        const bool isAttribute = m_pos > 0 && at(m_pos - 1) == '.'; // x.0.1 is two lookups
        if (base == 10 && !isAttribute) {
            if (at(pos) == '.' && isDigit(at(pos + 1))) {
                isFloat = true;
                digits += '.';
                ++pos;
                takeDigits();
            }
            const std::size_t exponent = pos + 1 + (at(pos + 1) == '+' || at(pos + 1) == '-' ? 1 : 0);
            if ((at(pos) == 'e' || at(pos) == 'E') && isDigit(at(exponent))) {
                isFloat = true;
                digits += m_source.substr(pos, exponent - pos);
                pos = exponent;
                takeDigits();
            }
        }
        JinjaToken& token = add(isFloat ? JinjaTokenKind::Float : JinjaTokenKind::Integer);
        if (isFloat) {
            token.number = std::strtod(digits.c_str(), nullptr);
        } else {
            const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), token.integer, base);
            if (result.ec != std::errc() || result.ptr != digits.data() + digits.size())
                fail("a number is not valid or too large");
        }
        advanceTo(pos);
    }

    void scanString(char quote)
    {
        std::size_t end = m_pos + 1;
        while (end < m_source.size() && m_source[end] != quote)
            end += m_source[end] == '\\' ? 2 : 1;
        if (end >= m_source.size())
            fail("a string is not closed");
        add(JinjaTokenKind::String, unescape(std::string_view(m_source).substr(m_pos + 1, end - m_pos - 1)));
        advanceTo(end + 1);
    }

    /// Python's escapes.
    std::string unescape(std::string_view text) const
    {
        std::string out;
        for (std::size_t i = 0; i < text.size(); ++i) {
            if (text[i] != '\\') {
                out += text[i];
                continue;
            }
            const char c = text[++i];
            static constexpr std::string_view kFrom = "\\'\"abfnrtv";
            static constexpr std::string_view kTo = "\\'\"\a\b\f\n\r\t\v";
            if (const std::size_t simple = kFrom.find(c); simple != std::string_view::npos) {
                out += kTo[simple];
            } else if (c == 'x' || c == 'u' || c == 'U') {
                const std::size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : 8;
                appendEscape(out, text.substr(i + 1, digits), digits, 16);
                i += digits;
            } else if (c >= '0' && c <= '7') {
                std::size_t digits = 1;
                while (digits < 3 && i + digits < text.size() && text[i + digits] >= '0' && text[i + digits] <= '7')
                    ++digits;
                appendEscape(out, text.substr(i, digits), digits, 8);
                i += digits - 1;
            } else if (c != '\n') { // an escaped newline joins the lines
                out += '\\';
                out += c;
            }
        }
        return out;
    }

    void appendEscape(std::string& out, std::string_view digits, std::size_t expected, int base) const
    {
        std::uint32_t code = 0;
        const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), code, base);
        if (digits.size() != expected || result.ec != std::errc() || result.ptr != digits.data() + digits.size() || code > 0x10FFFF
            || (code >= 0xD800 && code <= 0xDFFF))
            fail("a string has a broken escape");
        unicode::appendUtf8(out, code);
    }

    std::string m_source;
    const JinjaDialect& m_dialect;
    std::vector<JinjaToken> m_tokens;
    std::size_t m_pos = 0;
    int m_line = 1;
    bool m_lineStarting = true;
};

} // namespace

std::vector<JinjaToken> lexJinja(std::string_view source, const JinjaDialect& dialect)
{
    return Lexer(source, dialect).run();
}

} // namespace postnas
