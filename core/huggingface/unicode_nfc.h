// Canonical composition (NFC) as Hugging Face's tokenizers do it, with a map back to the bytes of the original.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace postnas::unicode {

/// Text after NFC. Stretches that did not change map byte by byte; a changed stretch (a base with its marks) maps to where
/// its original began.
class NormalizedText {
public:
    std::string text;

    /// Byte offset in the original of byte `offset` of `text`; `text.size()` maps to the original's size.
    std::size_t originalOffset(std::size_t offset) const;

private:
    friend bool normalizeNfc(std::string_view, NormalizedText&);
    struct Stretch {
        std::size_t begin;    ///< in `text`
        std::size_t original; ///< in the input
        bool changed;
    };
    std::vector<Stretch> m_stretches;
    std::size_t m_originalSize = 0;
};

/// True when `text` (valid UTF-8) is not in NFC: `out` then holds its normal form. False, with `out` untouched, when there
/// is nothing to do; this is the fast path. Code points newer than Unicode 9 are left alone, as Hugging Face leaves them.
bool normalizeNfc(std::string_view text, NormalizedText& out);

} // namespace postnas::unicode
