// Appending of event lines with recovery from torn ones.
#include "core/jobs/event_writer.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/files.h"
#include "core/base/text.h"
#include "core/jobs/event_reader.h"

namespace postnas {
namespace {

constexpr std::int64_t kMaxRecovery = 512 << 20;

std::string reason(int code) { return std::strerror(code); }

/// Writes everything unless an error stops it. A pipe that is full and set to non-blocking is waited for.
bool writeAll(int descriptor, std::string_view text, std::size_t& done)
{
    done = 0;
    while (done < text.size()) {
        const ssize_t n = ::write(descriptor, text.data() + done, text.size() - done);
        if (n >= 0) {
            done += static_cast<std::size_t>(n);
        } else if (errno == EAGAIN) {
            pollfd waiting {descriptor, POLLOUT, 0};
            ::poll(&waiting, 1, 1000);
        } else if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

std::string readRange(int descriptor, std::int64_t from, std::int64_t to)
{
    std::string text(static_cast<std::size_t>(to - from), '\0');
    std::size_t done = 0;
    while (done < text.size()) {
        const ssize_t n = ::pread(descriptor, text.data() + done, text.size() - done, from + static_cast<std::int64_t>(done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += static_cast<std::size_t>(n);
    }
    text.resize(done);
    return text;
}

} // namespace

EventWriter::EventWriter(const std::filesystem::path& file, int echoDescriptor)
    : m_file(file)
    , m_echo(echoDescriptor)
    , m_owned(true)
{
    m_descriptor = ::open(file.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (m_descriptor < 0)
        throw resourceError(file.string() + ": cannot be opened for writing: " + reason(errno),
                            "Check that the run folder exists and is writable.");
    try {
        recover();
    } catch (...) {
        ::close(m_descriptor);
        throw;
    }
}

EventWriter::EventWriter(int descriptor)
    : m_descriptor(descriptor)
{
}

EventWriter::~EventWriter()
{
    if (m_owned)
        ::close(m_descriptor);
}

void EventWriter::recover()
{
    struct stat info {};
    if (::fstat(m_descriptor, &info) != 0 || !S_ISREG(info.st_mode))
        throw inputError(m_file.string() + ": is not a regular file");
    // Backwards in growing windows: only the end of a long log is looked at.
    const std::int64_t size = info.st_size;
    std::int64_t window = 64 << 10;
    m_size = 0;
    m_seq = 0;
    while (size > 0) {
        const std::int64_t from = std::max<std::int64_t>(0, size - window);
        const std::string tail = readRange(m_descriptor, from, size);
        const std::size_t lastEnd = tail.rfind('\n');
        if (lastEnd != std::string::npos) {
            m_size = from + static_cast<std::int64_t>(lastEnd) + 1;
            // The last line that is an event says where the numbering stands; garbage before it is left to the reader.
            std::size_t end = lastEnd;
            while (m_seq == 0) {
                const std::size_t newline = end == 0 ? std::string::npos : tail.rfind('\n', end - 1);
                if (newline == std::string::npos && from > 0)
                    break;
                const std::size_t begin = newline == std::string::npos ? 0 : newline + 1;
                EventParser parser(m_file.string());
                std::vector<Event> events;
                if (parser.parseLine(std::string_view(tail).substr(begin, end - begin), events))
                    m_seq = events.front().seq;
                if (newline == std::string::npos)
                    break;
                end = newline;
            }
        }
        if (m_seq > 0 || from == 0)
            break;
        window *= 8;
        if (window > kMaxRecovery)
            throw inputError(m_file.string() + ": its last " + std::to_string(kMaxRecovery) + " bytes hold no event",
                             "Move the file away; the run's checkpoints do not depend on it.");
    }
    m_torn = m_size < size;
    repairTornLine();
}

void EventWriter::repairTornLine()
{
    if (!m_torn)
        return;
    if (::ftruncate(m_descriptor, m_size) != 0)
        throw resourceError(m_file.string() + ": a torn last line cannot be cut off: " + reason(errno));
    m_torn = false;
}

std::int64_t EventWriter::write(const event::Body& body)
{
    const std::lock_guard lock(m_mutex);
    if (m_owned)
        repairTornLine();
    Event event;
    event.seq = m_seq + 1;
    event.time = utcTimestamp();
    event.body = body;
    const std::string line = dumpJson(toJson(event)) + "\n";
    std::size_t done = 0;
    if (!writeAll(m_descriptor, line, done)) {
        const int code = errno;
        if (m_owned && done > 0) {
            m_torn = true;
            // Cutting off needs no space; should it fail too, the next write or the next start does it.
            if (::ftruncate(m_descriptor, m_size) == 0)
                m_torn = false;
        }
        const bool full = code == ENOSPC || code == EDQUOT || code == EFBIG;
        if (m_file.empty())
            throw resourceError("an event cannot be written: " + reason(code),
                                code == EPIPE ? "The program that reads the events has ended." : "");
        throw resourceError(m_file.string() + ": an event cannot be written: " + reason(code),
                            full ? "Free some disk space and resume the run." : "");
    }
    m_size += static_cast<std::int64_t>(line.size());
    m_seq = event.seq;
    if (m_echo >= 0) {
        std::size_t echoed = 0;
        if (!writeAll(m_echo, line, echoed))
            m_echo = -1;
    }
    return m_seq;
}

std::int64_t EventWriter::lastSeq() const
{
    const std::lock_guard lock(m_mutex);
    return m_seq;
}

void EventWriter::sync()
{
    const std::lock_guard lock(m_mutex);
    if (m_owned && ::fdatasync(m_descriptor) != 0)
        throw resourceError(m_file.string() + ": cannot be made durable: " + reason(errno));
}

ProtocolStream::ProtocolStream()
{
    m_descriptor = ::fcntl(1, F_DUPFD_CLOEXEC, 3);
    if (m_descriptor < 0)
        throw resourceError("standard output cannot be duplicated: " + reason(errno), "Start the program with an open standard output.");
    std::fflush(stdout);
    if (::dup2(2, 1) < 0) {
        const int code = errno;
        ::close(m_descriptor);
        throw resourceError("standard output cannot be pointed at standard error: " + reason(code));
    }
}

ProtocolStream::~ProtocolStream()
{
    std::fflush(stdout);
    ::dup2(m_descriptor, 1);
    ::close(m_descriptor);
}

} // namespace postnas
