// Writes events: append only, numbered, one write(2) a line, so that a reader never sees two lines mixed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <mutex>

#include "core/jobs/event.h"

namespace postnas {

/// Thread-safe. Every failed write throws Error(Resource) and leaves the file with whole lines only.
class EventWriter {
public:
    /// Appends to `file` and continues its numbering. A torn last line (the writer was killed, the disk was full) is cut
    /// off. Each line is copied to `echoDescriptor` when that is not negative; the caller keeps that descriptor open, and
    /// a failing echo is given up silently: the file is the truth.
    explicit EventWriter(const std::filesystem::path& file, int echoDescriptor = -1);

    /// Writes to an open descriptor (a pipe), numbering from 1. The caller keeps the descriptor open.
    explicit EventWriter(int descriptor);

    ~EventWriter();
    EventWriter(const EventWriter&) = delete;
    EventWriter& operator=(const EventWriter&) = delete;

    /// Writes one event now, with the next number and the current time; returns the number. Takes any struct of
    /// namespace event.
    std::int64_t write(const event::Body& body);

    /// The number of the last event written (or found in the file).
    std::int64_t lastSeq() const;

    /// Makes everything written so far durable (fdatasync); nothing for pipes.
    void sync();

private:
    void recover();
    void repairTornLine();

    mutable std::mutex m_mutex;
    std::filesystem::path m_file; ///< empty for the descriptor form
    int m_descriptor = -1;
    int m_echo = -1;
    bool m_owned = false;
    bool m_torn = false;
    std::int64_t m_size = 0; ///< bytes of whole lines in the file
    std::int64_t m_seq = 0;
};

/// Keeps standard output clean for events: duplicates descriptor 1 and points 1 at 2, so that whatever a library prints
/// goes to the log. Make one at the start of `main`, before any output. The destructor restores descriptor 1.
class ProtocolStream {
public:
    ProtocolStream();
    ~ProtocolStream();
    ProtocolStream(const ProtocolStream&) = delete;
    ProtocolStream& operator=(const ProtocolStream&) = delete;

    /// The former standard output; close-on-exec.
    int descriptor() const { return m_descriptor; }

private:
    int m_descriptor = -1;
};

} // namespace postnas
