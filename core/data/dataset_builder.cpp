// The pipeline behind dataset building: one reader, several tokenising threads, results stored in the order of reading.
#include "core/data/dataset_builder.h"

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <deque>
#include <exception>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "core/base/error.h"
#include "core/base/version.h"
#include "core/data/shard_writer.h"

namespace postnas {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kBatchBytes = std::size_t {1} << 19;
constexpr std::size_t kBatchLines = 4096;

struct Work {
    std::int64_t number = 0;
    fs::path file;
    CorpusFormat format = CorpusFormat::JsonLines;
    std::int64_t firstLine = 0;
    std::vector<std::string> lines;
    std::int64_t bytesRead = 0; ///< of all files, when this batch was complete
};

struct Encoded {
    std::vector<EncodedDocument> documents;
    std::int64_t bytesRead = 0;
    std::exception_ptr error; ///< of the first document that failed; the ones before it are there
};

std::uint8_t quantise(double weight) { return static_cast<std::uint8_t>(std::lround(std::clamp(weight, 0.0, 1.0) * 255.0)); }

EncodedDocument encodeParts(const std::vector<DocumentPart>& parts, const BuilderTokenizer& tokenizer, const BuildOptions& options,
                            const std::string& source)
{
    std::vector<TextSegment> segments;
    bool weighted = false;
    for (const DocumentPart& part : parts) {
        segments.push_back({part.text, part.trusted || options.controlTokens});
        weighted = weighted || part.weight != 1;
    }
    TokenizedDocument tokens = tokenizer.encode(segments);
    if (tokens.begins.size() != tokens.ids.size())
        throw internalError(source + ": the tokenizer gave " + std::to_string(tokens.begins.size()) + " offsets for "
                            + std::to_string(tokens.ids.size()) + " tokens");
    EncodedDocument out;
    if (weighted) {
        // Offsets rise, so one walk over the parts finds the part in which each token begins.
        std::size_t part = 0;
        std::int64_t end = static_cast<std::int64_t>(parts[0].text.size());
        out.weights.reserve(tokens.ids.size());
        for (const std::int64_t begin : tokens.begins) {
            while (begin >= end && part + 1 < parts.size())
                end += static_cast<std::int64_t>(parts[++part].text.size());
            out.weights.push_back(quantise(parts[part].weight));
        }
    }
    out.ids = std::move(tokens.ids);
    if (options.appendEndOfText && tokenizer.endOfText >= 0) {
        out.ids.push_back(tokenizer.endOfText);
        if (weighted)
            out.weights.push_back(out.weights.empty() ? 255 : out.weights.back());
    }
    return out;
}

EncodedDocument encodeLine(const std::string& line, CorpusFormat format, const std::string& source, const BuilderTokenizer& tokenizer,
                           const BuildOptions& options)
{
    if (format == CorpusFormat::Text)
        return encodeParts({{line, 1, false}}, tokenizer, options, source);
    const Document document = parseDocument(line, source, options.promptWeight);
    if (document.messages.empty())
        return encodeParts(document.parts, tokenizer, options, source);
    // What a conversation says is data; only the template's own text may hold control tokens.
    BuildOptions chat = options;
    chat.controlTokens = false;
    return encodeParts(renderConversation(tokenizer, document.messages, options.promptWeight, source), tokenizer, chat, source);
}

Encoded encodeBatch(const Work& work, const BuilderTokenizer& tokenizer, const BuildOptions& options)
{
    Encoded out;
    out.bytesRead = work.bytesRead;
    out.documents.reserve(work.lines.size());
    try {
        for (std::size_t i = 0; i < work.lines.size(); ++i) {
            if (work.lines[i].find_first_not_of(" \t") == std::string::npos)
                continue;
            const std::string source = work.file.string() + " line " + std::to_string(work.firstLine + static_cast<std::int64_t>(i));
            try {
                out.documents.push_back(encodeLine(work.lines[i], work.format, source, tokenizer, options));
            } catch (const Error& error) {
                // The tokenizer knows nothing of lines.
                const std::string what = error.what();
                throw Error(error.errorClass(), what.rfind(source, 0) == 0 ? what : source + ": " + what, error.hint());
            }
        }
    } catch (...) {
        out.error = std::current_exception();
    }
    return out;
}

/// Bounded hand-over between the reader, the workers and the storing thread.
class Pipeline {
public:
    explicit Pipeline(std::int64_t depth)
        : m_depth(depth)
    {
    }

    /// False when the work is to stop.
    bool push(Work work)
    {
        std::unique_lock lock(m_mutex);
        m_changed.wait(lock, [&] { return m_stopped || work.number < m_stored + m_depth; });
        if (m_stopped)
            return false;
        m_queue.push_back(std::move(work));
        lock.unlock();
        m_changed.notify_all();
        return true;
    }
    void finishReading(std::int64_t total, std::exception_ptr error)
    {
        const std::lock_guard lock(m_mutex);
        m_total = total;
        m_readError = std::move(error);
        m_changed.notify_all();
    }
    std::optional<Work> pop()
    {
        std::unique_lock lock(m_mutex);
        m_changed.wait(lock, [&] { return m_stopped || !m_queue.empty() || m_total >= 0; });
        if (m_stopped || m_queue.empty())
            return std::nullopt;
        Work work = std::move(m_queue.front());
        m_queue.pop_front();
        return work;
    }
    void deliver(std::int64_t number, Encoded encoded)
    {
        {
            const std::lock_guard lock(m_mutex);
            m_results.emplace(number, std::move(encoded));
        }
        m_changed.notify_all();
    }
    /// The next result in order; nothing after the last. Throws the reader's error once everything before it is stored.
    std::optional<Encoded> take(const CancellationToken& cancellation)
    {
        std::unique_lock lock(m_mutex);
        while (true) {
            cancellation.throwIfCancelled();
            if (const auto it = m_results.find(m_stored); it != m_results.end()) {
                Encoded out = std::move(it->second);
                m_results.erase(it);
                ++m_stored;
                lock.unlock();
                m_changed.notify_all();
                return out;
            }
            if (m_total >= 0 && m_stored >= m_total) {
                if (m_readError)
                    std::rethrow_exception(m_readError);
                return std::nullopt;
            }
            m_changed.wait_for(lock, std::chrono::milliseconds(100));
        }
    }
    void stop()
    {
        const std::lock_guard lock(m_mutex);
        m_stopped = true;
        m_changed.notify_all();
    }

private:
    std::mutex m_mutex;
    std::condition_variable m_changed;
    std::deque<Work> m_queue;
    std::map<std::int64_t, Encoded> m_results;
    const std::int64_t m_depth;
    std::int64_t m_stored = 0;
    std::int64_t m_total = -1;
    bool m_stopped = false;
    std::exception_ptr m_readError;
};

void readFiles(const std::vector<fs::path>& files, Pipeline& pipeline)
{
    std::int64_t number = 0;
    std::exception_ptr error;
    std::int64_t finished = 0;
    try {
        for (const fs::path& file : files) {
            LineReader reader(file);
            const CorpusFormat format = corpusFormat(file);
            std::string line;
            bool more = true;
            while (more) {
                Work work {number, file, format, reader.lineNumber() + 1, {}, 0};
                std::size_t bytes = 0;
                while (bytes < kBatchBytes && work.lines.size() < kBatchLines && (more = reader.next(line))) {
                    bytes += line.size();
                    work.lines.push_back(std::move(line));
                }
                if (work.lines.empty())
                    break;
                work.bytesRead = finished + reader.bytesRead();
                if (!pipeline.push(std::move(work)))
                    return;
                ++number;
            }
            finished += reader.bytesRead();
        }
    } catch (...) {
        error = std::current_exception();
    }
    pipeline.finishReading(number, error);
}

std::string joined(const std::vector<TextSegment>& segments)
{
    std::string out;
    for (const TextSegment& segment : segments)
        out += segment.text;
    return out;
}

} // namespace

std::vector<DocumentPart> renderConversation(const BuilderTokenizer& tokenizer, const std::vector<ChatMessage>& messages,
                                             double promptWeight, const std::string& source)
{
    if (!tokenizer.renderChat)
        throw inputError(source + ": key \"messages\" needs a chat template, and the tokenizer has none",
                         "Use a tokenizer folder with a chat template, or give \"prompt\" and \"completion\".");
    const std::vector<TextSegment> segments = tokenizer.renderChat(messages, false);
    const std::string whole = joined(segments);
    // Where each assistant's turn lies: from the end of the rendering with a generation prompt to the end of the turn.
    std::vector<std::pair<std::size_t, std::size_t>> answers;
    for (std::size_t i = 0; i < messages.size(); ++i) {
        if (messages[i].role != "assistant")
            continue;
        const std::vector<ChatMessage> before(messages.begin(), messages.begin() + static_cast<std::ptrdiff_t>(i));
        const std::vector<ChatMessage> until(messages.begin(), messages.begin() + static_cast<std::ptrdiff_t>(i) + 1);
        const std::string prompt = joined(tokenizer.renderChat(before, true));
        const std::string turn = i + 1 == messages.size() ? whole : joined(tokenizer.renderChat(until, false));
        if (turn.rfind(prompt, 0) != 0 || whole.rfind(turn, 0) != 0)
            throw inputError(source + ": the chat template does not render the beginning of a conversation as in the whole one, "
                                      "so the assistant's turns cannot be told apart",
                             "Give the documents as \"parts\" with weights.");
        answers.emplace_back(prompt.size(), turn.size());
    }
    // Cut the segments at the borders of the answers.
    std::vector<DocumentPart> out;
    std::size_t at = 0;
    for (const TextSegment& segment : segments) {
        std::size_t inside = 0;
        while (inside < segment.text.size()) {
            std::size_t border = at + segment.text.size() - inside;
            double weight = promptWeight;
            for (const auto& [begin, end] : answers) {
                if (at >= begin && at < end)
                    weight = 1;
                for (const std::size_t edge : {begin, end})
                    if (edge > at)
                        border = std::min(border, edge);
            }
            out.push_back({segment.text.substr(inside, border - at), weight, segment.trusted});
            inside += border - at;
            at = border;
        }
    }
    return out;
}

DatasetInfo buildDataset(const std::vector<fs::path>& files, const fs::path& output, const BuilderTokenizer& tokenizer,
                         const BuildOptions& options)
{
    if (files.empty())
        throw usageError("no input files were given");
    if (options.appendEndOfText && tokenizer.endOfText < 0)
        throw inputError("the tokenizer has no end-of-text token to end documents with");
    std::int64_t totalBytes = 0;
    Json sources = Json::array();
    for (const fs::path& file : files) {
        corpusFormat(file);
        std::error_code code;
        const auto size = fs::file_size(file, code);
        if (code)
            throw inputError(file.string() + ": cannot be read: " + code.message());
        totalBytes += static_cast<std::int64_t>(size);
        sources.push_back({{"file", file.filename().string()}, {"bytes", size}});
    }
    DatasetInfo info;
    info.vocabularySize = tokenizer.vocabularySize;
    info.tokenizerHash = tokenizer.hash;
    info.endOfText = tokenizer.endOfText;
    info.provenance = {{"program", std::string("postnas ") + kVersion},
                       {"sources", std::move(sources)},
                       {"prompt_weight", options.promptWeight},
                       {"control_tokens", options.controlTokens},
                       {"append_end_of_text", options.appendEndOfText}};
    ShardWriter writer(output, std::move(info), options.shardTokens);

    const int threads = options.threads > 0 ? options.threads : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
    Pipeline pipeline(4 * static_cast<std::int64_t>(threads));
    std::vector<std::thread> pool;
    struct Joiner {
        Pipeline& pipeline;
        std::vector<std::thread>& pool;
        ~Joiner()
        {
            pipeline.stop();
            for (std::thread& thread : pool)
                thread.join();
        }
    } joiner {pipeline, pool};
    pool.emplace_back([&] { readFiles(files, pipeline); });
    for (int i = 0; i < threads; ++i)
        pool.emplace_back([&] {
            while (auto work = pipeline.pop())
                pipeline.deliver(work->number, encodeBatch(*work, tokenizer, options));
        });

    while (auto encoded = pipeline.take(options.cancellation)) {
        for (const EncodedDocument& document : encoded->documents) {
            writer.add(document);
            if (options.maxDocuments > 0 && writer.documents() >= options.maxDocuments)
                return writer.finish();
        }
        if (encoded->error)
            std::rethrow_exception(encoded->error);
        if (options.progress)
            options.progress(writer.documents(), writer.tokens(), encoded->bytesRead, totalBytes);
    }
    if (writer.documents() == 0)
        throw inputError(files.front().string() + ": no documents were found in the input");
    return writer.finish();
}

} // namespace postnas
