// Reads documents from .jsonl and .txt files, also .gz and .zst, line by line with bounded memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "core/base/json.h"

namespace postnas {

struct DocumentPart {
    std::string text;
    double weight = 1;    ///< of the tokens that begin in it, in [0, 1]
    bool trusted = false; ///< control tokens are recognised in it
};

struct ChatMessage {
    std::string role;
    std::string content;
};

/// One document: weighted parts of one text, or a conversation that a chat template renders.
struct Document {
    std::vector<DocumentPart> parts;
    std::vector<ChatMessage> messages; ///< not empty: `parts` is empty
};

/// Decompresses by name (.gz, .zst, else plain) and yields lines. Throws Error(Input) for a broken or cut-off stream, and
/// for a line over `maxLine` bytes (so a decompression bomb without line ends stops there).
class LineReader {
public:
    explicit LineReader(const std::filesystem::path& file, std::size_t maxLine = std::size_t {64} << 20);
    ~LineReader();
    LineReader(const LineReader&) = delete;
    LineReader& operator=(const LineReader&) = delete;

    /// The next line without its end; false at the end of the file. A last line without an end counts.
    bool next(std::string& line);
    std::int64_t lineNumber() const; ///< of the last line, from 1
    std::int64_t bytesRead() const;  ///< of the (compressed) file

private:
    struct State;
    std::unique_ptr<State> m_state;
};

enum class CorpusFormat { JsonLines, Text };

/// From the name: .jsonl, .ndjson -> JsonLines; .txt -> Text; each also with .gz or .zst behind. Throws Error(Usage) for others.
CorpusFormat corpusFormat(const std::filesystem::path& file);

/// One line of a JSONL file: {"text"}, {"parts": [{"text", "weight"}]}, {"prompt", "completion"} or
/// {"messages": [{"role", "content"}]}. Other keys are ignored. Throws Error(Input) naming `source` and the key.
Document parseDocument(const std::string& line, const std::string& source, double promptWeight);

} // namespace postnas
