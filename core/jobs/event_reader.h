// Reads events while they are written: from a growing file or from the bytes of a pipe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "core/jobs/event.h"

namespace postnas {

inline constexpr std::size_t kMaxEventLine = std::size_t {16} << 20;

/// Cuts a byte stream into lines and lines into events. Lines that are no event (garbage, too long, wrong fields) are
/// counted and skipped. Use it for pipes; EventReader is for files.
class EventParser {
public:
    explicit EventParser(std::string source = "events", std::size_t maxLine = kMaxEventLine);

    /// Adds bytes and appends the events that became complete to `out`.
    void feed(std::string_view bytes, std::vector<Event>& out);

    /// Parses one whole line (without its newline); false and a note when it is no event. Empty lines give false quietly.
    bool parseLine(std::string_view line, std::vector<Event>& out);
    void noteBadLine(const std::string& problem);

    std::int64_t badLines() const { return m_badLines; }
    const std::string& lastProblem() const { return m_lastProblem; } ///< a sentence about the last bad line
    std::size_t pendingBytes() const { return m_pending.size(); }    ///< of a line that is not complete yet
    std::size_t maxLine() const { return m_maxLine; }

private:
    std::string m_source;
    std::size_t m_maxLine;
    std::string m_pending;
    bool m_skipping = false;
    std::int64_t m_badLines = 0;
    std::string m_lastProblem;
};

/// Follows events.jsonl of a run. Never blocks; a file that does not exist yet simply has no events.
class EventReader {
public:
    explicit EventReader(std::filesystem::path file, std::int64_t offset = 0);

    /// The events completed since the last call, at most about `maxBytes` of them (call again while it returns some).
    /// Throws Error(Input) only when the file exists but is no regular file or cannot be read.
    std::vector<Event> readNew(std::size_t maxBytes = std::size_t {8} << 20);

    /// Byte offset behind the last complete line that was read: pass it to a later reader to go on there.
    std::int64_t offset() const { return m_complete; }
    std::int64_t badLines() const { return m_parser.badLines(); }
    const std::string& lastProblem() const { return m_parser.lastProblem(); }
    /// How often the file had become shorter than what was read, or another one; reading then starts again at its beginning, and events
    /// come again with the numbers they have in the file.
    int restarts() const { return m_restarts; }

private:
    std::filesystem::path m_file;
    std::int64_t m_offset = 0;
    std::int64_t m_complete = 0; ///< m_offset, or the beginning of the too long line that is being left behind
    bool m_skipping = false;
    int m_restarts = 0;
    EventParser m_parser;
};

} // namespace postnas
