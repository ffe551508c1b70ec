// A stretch of text together with whether it may be read for control tokens.
#pragma once

#include <string>

namespace postnas {

/// One run of UTF-8 text. `trusted` text comes from a template or from the program itself, and control tokens (such as
/// <|im_start|>) are recognised in it. Untrusted text was typed by a user or read from a data file: no control token is
/// ever recognised in it, nor across the border of two segments. Ordinary text on both sides of a border still belongs
/// together: a tokenizer joins neighbouring segments before it splits them into words.
struct TextSegment {
    std::string text;
    bool trusted = false;

    bool operator==(const TextSegment&) const = default;
};

} // namespace postnas
