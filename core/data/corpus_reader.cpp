// Decompression, line splitting and the document forms.
#include "core/data/corpus_reader.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zlib.h>
#include <zstd.h>

#include "core/base/error.h"

namespace postnas {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kChunk = std::size_t {1} << 18;
constexpr std::size_t kMaxParts = 100'000;
constexpr std::size_t kMaxMessages = 1000; ///< each assistant's turn renders the conversation up to it

/// A stream of decompressed bytes.
class ByteSource {
public:
    explicit ByteSource(const fs::path& file)
        : m_file(file)
        , m_input(kChunk)
    {
        m_descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (m_descriptor < 0)
            throw inputError(file.string() + ": cannot be opened: " + std::strerror(errno));
        struct stat info {};
        if (::fstat(m_descriptor, &info) != 0 || !S_ISREG(info.st_mode)) {
            ::close(m_descriptor);
            throw inputError(file.string() + ": is not a regular file");
        }
    }
    virtual ~ByteSource() { ::close(m_descriptor); }
    ByteSource(const ByteSource&) = delete;
    ByteSource& operator=(const ByteSource&) = delete;

    /// Up to `size` bytes; 0 only at the end.
    virtual std::size_t read(char* out, std::size_t size) = 0;
    std::int64_t bytesRead() const { return m_bytes; }

protected:
    [[noreturn]] void fail(const std::string& problem) const { throw inputError(m_file.string() + ": " + problem); }
    std::size_t readRaw(char* out, std::size_t size)
    {
        while (true) {
            const ssize_t n = ::read(m_descriptor, out, size);
            if (n < 0 && errno == EINTR)
                continue;
            if (n < 0)
                fail(std::string("cannot be read: ") + std::strerror(errno));
            m_bytes += n;
            return static_cast<std::size_t>(n);
        }
    }
    std::size_t refill() { return readRaw(m_input.data(), m_input.size()); }

    fs::path m_file;
    std::vector<char> m_input;

private:
    int m_descriptor = -1;
    std::int64_t m_bytes = 0;
};

class PlainSource : public ByteSource {
public:
    using ByteSource::ByteSource;
    std::size_t read(char* out, std::size_t size) override { return readRaw(out, size); }
};

class GzipSource : public ByteSource {
public:
    explicit GzipSource(const fs::path& file)
        : ByteSource(file)
    {
        if (inflateInit2(&m_stream, 15 + 16) != Z_OK)
            throw resourceError("zlib cannot start");
    }
    ~GzipSource() override { inflateEnd(&m_stream); }

    std::size_t read(char* out, std::size_t size) override
    {
        m_stream.next_out = reinterpret_cast<Bytef*>(out);
        m_stream.avail_out = static_cast<uInt>(size);
        while (m_stream.avail_out == size) {
            if (m_stream.avail_in == 0) {
                m_stream.avail_in = static_cast<uInt>(refill());
                m_stream.next_in = reinterpret_cast<Bytef*>(m_input.data());
                if (m_stream.avail_in == 0) {
                    if (m_inMember)
                        fail("ends in the middle of its gzip stream");
                    return 0;
                }
            }
            m_inMember = true;
            const int result = inflate(&m_stream, Z_NO_FLUSH);
            if (result == Z_STREAM_END) {
                // A file may be several members, one after the other.
                m_inMember = false;
                inflateReset(&m_stream);
            } else if (result != Z_OK && result != Z_BUF_ERROR) {
                fail(std::string("is no valid gzip file: ") + (m_stream.msg != nullptr ? m_stream.msg : "broken data"));
            }
        }
        return size - m_stream.avail_out;
    }

private:
    z_stream m_stream {};
    bool m_inMember = true;
};

class ZstdSource : public ByteSource {
public:
    explicit ZstdSource(const fs::path& file)
        : ByteSource(file)
        , m_stream(ZSTD_createDStream())
    {
        if (m_stream == nullptr)
            throw resourceError("zstd cannot start");
        // A frame may ask for a window this large and no larger.
        ZSTD_DCtx_setParameter(m_stream, ZSTD_d_windowLogMax, 27);
    }
    ~ZstdSource() override { ZSTD_freeDStream(m_stream); }

    std::size_t read(char* out, std::size_t size) override
    {
        ZSTD_outBuffer output {out, size, 0};
        while (output.pos == 0) {
            if (m_position.pos == m_position.size && !m_pending) {
                m_position = {m_input.data(), refill(), 0};
                if (m_position.size == 0) {
                    if (m_inFrame)
                        fail("ends in the middle of its zstd stream");
                    return 0;
                }
            }
            const std::size_t result = ZSTD_decompressStream(m_stream, &output, &m_position);
            if (ZSTD_isError(result) != 0)
                fail(std::string("is no valid zstd file: ") + ZSTD_getErrorName(result));
            m_inFrame = result != 0;
            // A full output may mean that the decoder still holds some.
            m_pending = output.pos == output.size && result != 0;
        }
        return output.pos;
    }

private:
    ZSTD_DStream* m_stream;
    ZSTD_inBuffer m_position {nullptr, 0, 0};
    bool m_inFrame = true;
    bool m_pending = false;
};

std::unique_ptr<ByteSource> openSource(const fs::path& file)
{
    if (file.extension() == ".gz")
        return std::make_unique<GzipSource>(file);
    if (file.extension() == ".zst")
        return std::make_unique<ZstdSource>(file);
    return std::make_unique<PlainSource>(file);
}

} // namespace

struct LineReader::State {
    std::unique_ptr<ByteSource> source;
    std::string name;
    std::size_t maxLine = 0;
    std::vector<char> buffer = std::vector<char>(kChunk);
    std::size_t begin = 0;
    std::size_t end = 0;
    std::int64_t line = 0;
};

LineReader::LineReader(const fs::path& file, std::size_t maxLine)
    : m_state(std::make_unique<State>())
{
    m_state->source = openSource(file);
    m_state->name = file.string();
    m_state->maxLine = maxLine;
}

LineReader::~LineReader() = default;
std::int64_t LineReader::lineNumber() const { return m_state->line; }
std::int64_t LineReader::bytesRead() const { return m_state->source->bytesRead(); }

bool LineReader::next(std::string& line)
{
    State& s = *m_state;
    line.clear();
    bool any = false;
    while (true) {
        if (s.begin == s.end) {
            s.begin = 0;
            s.end = s.source->read(s.buffer.data(), s.buffer.size());
            if (s.end == 0) {
                s.line += any ? 1 : 0;
                return any;
            }
        }
        any = true;
        const char* const from = s.buffer.data() + s.begin;
        const auto* const newline = static_cast<const char*>(std::memchr(from, '\n', s.end - s.begin));
        const std::size_t count = newline == nullptr ? s.end - s.begin : static_cast<std::size_t>(newline - from);
        if (line.size() + count > s.maxLine)
            throw inputError(s.name + ": line " + std::to_string(s.line + 1) + " is longer than " + std::to_string(s.maxLine) + " bytes",
                             "Split the document into smaller ones.");
        line.append(from, count);
        s.begin += count;
        if (newline == nullptr)
            continue;
        ++s.begin;
        ++s.line;
        if (!line.empty() && line.back() == '\r')
            line.pop_back();
        return true;
    }
}

CorpusFormat corpusFormat(const fs::path& file)
{
    fs::path name = file.filename();
    if (name.extension() == ".gz" || name.extension() == ".zst")
        name = name.stem();
    if (name.extension() == ".jsonl" || name.extension() == ".ndjson")
        return CorpusFormat::JsonLines;
    if (name.extension() == ".txt")
        return CorpusFormat::Text;
    throw usageError(file.string() + ": is neither .jsonl nor .txt (with or without .gz or .zst)");
}

Document parseDocument(const std::string& line, const std::string& source, double promptWeight)
{
    const Json json = parseJson(line, source);
    const JsonReader in(json, source);
    Document out;
    const auto list = [&](const std::string& key, std::size_t most) -> const Json& {
        const Json& value = in.value(key);
        if (!value.is_array() || value.size() > most)
            in.fail(key, "must be a list of at most " + std::to_string(most) + " entries");
        return value;
    };
    if (in.has("messages")) {
        const Json& messages = list("messages", kMaxMessages);
        for (std::size_t i = 0; i < messages.size(); ++i) {
            const JsonReader entry(messages[i], source, "messages[" + std::to_string(i) + "]");
            out.messages.push_back({entry.string("role"), entry.string("content")});
        }
        if (out.messages.empty())
            in.fail("messages", "is empty");
    } else if (in.has("parts")) {
        const Json& parts = list("parts", kMaxParts);
        for (std::size_t i = 0; i < parts.size(); ++i) {
            const JsonReader entry(parts[i], source, "parts[" + std::to_string(i) + "]");
            out.parts.push_back({entry.string("text"), entry.number("weight", 0, 1, 1)});
        }
    } else if (in.has("prompt") || in.has("completion")) {
        out.parts.push_back({in.string("prompt"), promptWeight});
        out.parts.push_back({in.string("completion"), 1});
    } else if (in.has("text")) {
        out.parts.push_back({in.string("text"), 1});
    } else {
        in.fail("text", "is missing", R"(A line has "text", "parts", "prompt" and "completion", or "messages".)");
    }
    return out;
}

} // namespace postnas
