// Cutting text into pieces by a tokenizer's split pattern, before byte-pair encoding.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace postnas {

/// Receives the pieces of a text in order: [begin, end) in bytes, never empty, together the whole text.
class PieceSink {
public:
    virtual ~PieceSink() = default;
    virtual void piece(std::size_t begin, std::size_t end) = 0;
};

/// Safe to share between threads.
class SplitPattern {
public:
    virtual ~SplitPattern() = default;
    /// `text` is valid UTF-8. Matches are pieces, and so is what lies between matches (Hugging Face's "Isolated").
    virtual void split(std::string_view text, PieceSink& sink) const = 0;
};

/// What GPT-2 used and what ByteLevel with use_regex means.
inline constexpr std::string_view kGpt2Pattern
    = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
/// Qwen2, Qwen2.5 and Qwen3.
inline constexpr std::string_view kQwen2Pattern
    = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
/// cl100k and Llama 3: numbers in groups of up to three digits.
inline constexpr std::string_view kLlama3Pattern
    = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

/// A hand-written scanner when the pattern is one that is known, nothing otherwise.
std::unique_ptr<SplitPattern> makeScanner(std::string_view pattern);

/// Any pattern through PCRE2. `\p{L} \p{N} \p{M} \s` mean what they mean to Hugging Face, not to the installed PCRE2.
/// `where` names file and key in errors. Throws Error(Input) for a pattern that does not compile, that says something
/// else in Oniguruma than in PCRE2, or (from `split`) that takes too long.
std::unique_ptr<SplitPattern> makePcre2Pattern(std::string_view pattern, std::string where);

/// The scanner if there is one, else PCRE2.
std::unique_ptr<SplitPattern> makeSplitPattern(std::string_view pattern, std::string where);

/// A pattern that matches `text` literally.
std::string escapePattern(std::string_view text);

} // namespace postnas
