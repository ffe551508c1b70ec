// A stretch of text together with whether it may be read for control tokens.
#pragma once

#include <string>

namespace postnas {

/// One run of UTF-8 text. `trusted` text comes from a template or the program itself, and control tokens
/// (such as <|im_start|>) are recognised in it; untrusted text was typed by a user or read from a data
/// file, and is always tokenised as plain text.
struct TextSegment {
  std::string text;
  bool trusted = false;

  bool operator==(const TextSegment&) const = default;
};

}  // namespace postnas
