// Incremental reading of event lines.
#include "core/jobs/event_reader.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace postnas {

EventParser::EventParser(std::string source, std::size_t maxLine)
    : m_source(std::move(source))
    , m_maxLine(maxLine)
{
}

void EventParser::noteBadLine(const std::string& problem)
{
    ++m_badLines;
    m_lastProblem = problem;
}

bool EventParser::parseLine(std::string_view line, std::vector<Event>& out)
{
    if (!line.empty() && line.back() == '\r')
        line.remove_suffix(1);
    if (line.empty())
        return false;
    if (line.size() > m_maxLine) {
        noteBadLine(m_source + ": a line is longer than " + std::to_string(m_maxLine) + " bytes");
        return false;
    }
    try {
        out.push_back(eventFromJson(parseJson(line, m_source), m_source));
        return true;
    } catch (const Error& error) {
        noteBadLine(error.what());
        return false;
    }
}

void EventParser::feed(std::string_view bytes, std::vector<Event>& out)
{
    while (!bytes.empty()) {
        const std::size_t newline = bytes.find('\n');
        const std::string_view part = bytes.substr(0, newline);
        const bool complete = newline != std::string_view::npos;
        if (m_skipping) {
            m_skipping = !complete;
        } else if (m_pending.size() + part.size() > m_maxLine) {
            noteBadLine(m_source + ": a line is longer than " + std::to_string(m_maxLine) + " bytes");
            m_pending = {};
            m_skipping = !complete;
        } else if (complete && m_pending.empty()) {
            parseLine(part, out);
        } else {
            m_pending.append(part);
            if (complete) {
                parseLine(m_pending, out);
                m_pending.clear();
            }
        }
        if (!complete)
            break;
        bytes.remove_prefix(newline + 1);
    }
}

EventReader::EventReader(std::filesystem::path file, std::int64_t offset)
    : m_file(std::move(file))
    , m_offset(std::max<std::int64_t>(0, offset))
    , m_complete(m_offset)
    , m_parser(m_file.string())
{
}

std::vector<Event> EventReader::readNew(std::size_t maxBytes)
{
    std::vector<Event> out;
    const int descriptor = ::open(m_file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) {
        if (errno == ENOENT)
            return out;
        throw inputError(m_file.string() + ": cannot be opened: " + std::strerror(errno));
    }
    struct Closer {
        int descriptor;
        ~Closer() { ::close(descriptor); }
    } closer {descriptor};
    struct stat info {};
    if (::fstat(descriptor, &info) != 0 || !S_ISREG(info.st_mode))
        throw inputError(m_file.string() + ": is not a regular file");
    // Behind a complete line is a newline; anything else means that the file is another one by now.
    char before = '\n';
    if (m_offset > 0 && !m_skipping && info.st_size >= m_offset && ::pread(descriptor, &before, 1, m_offset - 1) != 1)
        before = '\0';
    if (info.st_size < m_offset || before != '\n') {
        m_offset = 0;
        m_complete = 0;
        m_skipping = false;
        ++m_restarts;
    }
    // A line that is not complete is read again next time: it may still be cut off by a writer that recovers.
    std::string buffer;
    std::size_t consumed = 0;
    std::size_t scanned = 0;
    const auto finish = [&](std::size_t bytes) {
        m_offset += static_cast<std::int64_t>(bytes);
        consumed += bytes;
    };
    while (m_offset < info.st_size) {
        const std::size_t held = buffer.size();
        const std::size_t want = static_cast<std::size_t>(
            std::min<std::int64_t>(1 << 20, info.st_size - m_offset - static_cast<std::int64_t>(held)));
        if (want == 0)
            break;
        buffer.resize(held + want);
        const ssize_t n = ::pread(descriptor, buffer.data() + held, want, m_offset + static_cast<std::int64_t>(held));
        if (n < 0 && errno != EINTR)
            throw inputError(m_file.string() + ": cannot be read: " + std::strerror(errno));
        buffer.resize(held + static_cast<std::size_t>(std::max<ssize_t>(0, n)));
        if (n == 0)
            break;
        std::size_t begin = 0;
        for (std::size_t newline = buffer.find('\n', scanned); newline != std::string::npos; newline = buffer.find('\n', begin)) {
            if (m_skipping)
                m_skipping = false;
            else
                m_parser.parseLine(std::string_view(buffer).substr(begin, newline - begin), out);
            begin = newline + 1;
        }
        buffer.erase(0, begin);
        finish(begin);
        scanned = buffer.size();
        if (m_skipping || buffer.size() > m_parser.maxLine()) {
            // Too long to be an event: leave it behind without holding it.
            if (!m_skipping)
                m_parser.noteBadLine(m_file.string() + ": a line is longer than " + std::to_string(m_parser.maxLine()) + " bytes");
            m_skipping = true;
            finish(buffer.size());
            buffer.clear();
            scanned = 0;
        }
        if (!m_skipping)
            m_complete = m_offset;
        if (consumed >= maxBytes && !m_skipping)
            break;
    }
    return out;
}

} // namespace postnas
