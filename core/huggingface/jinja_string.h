// Text that remembers, byte range by byte range, whether it came from a template or from a user.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "core/huggingface/text_segment.h"

namespace postnas {

/// Any failure inside a template; JinjaTemplate turns it into an Error(Input) that names the template and the line.
class JinjaFailure : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// UTF-8 text made of trusted and untrusted runs. Offsets are bytes; Python's semantics of indices (code points) are
/// provided by `codePoints` and `offsetOfCodePoint`. Never longer than kMaxBytes: appending more throws JinjaFailure.
class JinjaString {
public:
    static constexpr std::size_t kMaxBytes = 64u << 20;
    static constexpr std::size_t kMaxRuns = 1u << 20;

    JinjaString() = default;
    JinjaString(std::string_view text, bool trusted) { append(text, trusted); }

    const std::string& text() const { return m_text; }
    std::size_t size() const { return m_text.size(); }
    bool empty() const { return m_text.empty(); }
    /// Whether every byte is trusted; true for the empty text.
    bool trusted() const { return m_runs.empty() || (m_runs.size() == 1 && m_runs[0].trusted); }
    bool trustedAt(std::size_t offset) const;

    void append(std::string_view text, bool trusted);
    void append(const JinjaString& other) { appendSlice(other, 0, other.size()); }
    /// Appends bytes [begin, end) of `other` with their trust.
    void appendSlice(const JinjaString& other, std::size_t begin, std::size_t end);
    JinjaString slice(std::size_t begin, std::size_t end) const;

    /// Byte offset of `needle` at or after `from`, or npos; linear in the worst case.
    std::size_t find(std::string_view needle, std::size_t from = 0) const;

    std::size_t codePoints() const;
    /// Byte offset of the code point with this index; size() when there are fewer.
    std::size_t offsetOfCodePoint(std::size_t index) const;

    /// Neighbouring runs of the same trust are one segment; no segment is empty.
    std::vector<TextSegment> segments() const;

private:
    struct Run {
        std::size_t end = 0;
        bool trusted = false;
    };
    std::size_t runAt(std::size_t offset) const;
    void extendRun(std::size_t end, bool trusted);

    std::string m_text;
    std::vector<Run> m_runs; ///< ascending ends, alternating trust; the last end is size()
};

/// Length in bytes of the UTF-8 sequence that starts with `lead` (the text is known to be valid).
inline std::size_t utf8Length(char lead)
{
    const auto byte = static_cast<unsigned char>(lead);
    return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

/// The code point that starts at `offset` of valid UTF-8.
char32_t codePointAt(std::string_view text, std::size_t offset);

/// What Python's str.isspace and str.strip take for white space.
bool isPythonSpace(char32_t codePoint);

} // namespace postnas
