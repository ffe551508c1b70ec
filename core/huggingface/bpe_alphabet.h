// The alphabet in which byte-level vocabularies are written: every byte is one printable character (GPT-2's table).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace postnas {

/// Code point that stands for `byte`: itself when it is printable in Latin-1, otherwise 256 and up in order.
char32_t alphabetCharacter(std::uint8_t byte);

/// The bytes that a vocabulary entry stands for, or nothing when it has a character outside the alphabet.
std::optional<std::string> alphabetToBytes(std::string_view token);

/// `bytes` written in the alphabet.
std::string bytesToAlphabet(std::string_view bytes);

} // namespace postnas
