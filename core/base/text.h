// Text helpers: UTF-8 checks, cleaning for terminals, human-readable numbers, UTC time stamps.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace postnas {

/// Byte offset of the first invalid UTF-8 sequence (surrogates and overlong forms included), or npos.
std::size_t findInvalidUtf8(std::string_view text);

/// Length of the longest prefix that ends on a complete UTF-8 sequence: what may be streamed out now.
std::size_t completeUtf8Prefix(std::string_view text);

/// Invalid bytes replaced by U+FFFD, one per maximal broken part, as Python's decode(errors="replace") does.
std::string repairUtf8(std::string_view text);

/// Removes control characters other than newline and tab, and bidirectional controls: safe to print on a terminal.
std::string sanitizeForTerminal(std::string_view text);

/// "1,964,806,208"
std::string groupThousands(std::int64_t value);
/// "157.25 MiB", "3.1 KiB", "12 bytes"
std::string formatBytes(double bytes);

/// Now in UTC as 2026-01-01T00:00:00.000Z.
std::string utcTimestamp();

} // namespace postnas
