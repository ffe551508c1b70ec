// Fuzz target: any bytes as a .jsonl, .txt, .gz or .zst data file (the first byte chooses); its lines are read with bounded memory,
// and made into documents and token shards or refused.
#include "core/data/corpus_reader.h"
#include "core/data/dataset_builder.h"
#include "tests/fuzz/fuzz.h"

#include <zlib.h>
#include <zstd.h>

using namespace postnas;

namespace {

const std::vector<std::string> kNames {"a.jsonl", "a.txt", "a.jsonl.gz", "a.txt.gz", "a.jsonl.zst", "a.txt.zst"};

std::string gzip(const std::string& text)
{
    std::string out(text.size() + 256, '\0');
    z_stream stream {};
    fuzz::require(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
    stream.avail_in = static_cast<uInt>(text.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    fuzz::require(deflate(&stream, Z_FINISH) == Z_STREAM_END);
    out.resize(stream.total_out);
    deflateEnd(&stream);
    return out;
}

std::string zstd(const std::string& text)
{
    std::string out(ZSTD_compressBound(text.size()), '\0');
    out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
    return out;
}

/// One token a byte, and a chat template.
BuilderTokenizer byteTokenizer()
{
    BuilderTokenizer out;
    out.vocabularySize = 256;
    out.encode = [](const std::vector<TextSegment>& segments) {
        TokenizedDocument document;
        for (const TextSegment& segment : segments)
            for (const char c : segment.text) {
                document.begins.push_back(static_cast<std::int64_t>(document.begins.size()));
                document.ids.push_back(static_cast<unsigned char>(c));
            }
        return document;
    };
    out.renderChat = [](const std::vector<ChatMessage>& messages, bool prompt) {
        std::vector<TextSegment> segments;
        for (const ChatMessage& message : messages) {
            segments.push_back({message.role + ":", true});
            segments.push_back({message.content + "\n", false});
        }
        if (prompt)
            segments.push_back({"assistant:", true});
        return segments;
    };
    return out;
}

} // namespace

std::vector<std::string> fuzzSeeds()
{
    const std::string json = R"({"text": "a \u00e9"})" "\n" R"({"parts": [{"text": "x", "weight": 0.5}, {"text": "y"}]})" "\n"
        R"({"prompt": "p", "completion": "c"})" "\n" R"({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]})" "\r\n";
    const std::string text = "one\n\ntwo \xc3\xa9\r\nthree";
    return {"0" + json, "1" + text, "2" + gzip(json), "3" + gzip(text) + gzip("member\n"), "4" + zstd(json), "5" + zstd(text) + zstd("frame\n")};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    static const test::TemporaryFolder folder;
    static const BuilderTokenizer tokenizer = byteTokenizer();
    if (size == 0)
        return 0;
    const std::filesystem::path file = folder / kNames[data[0] % kNames.size()];
    test::writeFile(file, {reinterpret_cast<const char*>(data) + 1, size - 1});
    fuzz::accepted([&] {
        LineReader reader(file, 1 << 16);
        std::string line;
        for (std::int64_t count = 1; reader.next(line); ++count) {
            fuzz::require(line.size() <= (1 << 16) && line.find('\n') == std::string::npos && reader.lineNumber() == count);
            if (count > 100'000)
                break; // a compression bomb of many lines
            if (corpusFormat(file) == CorpusFormat::Text)
                continue;
            fuzz::accepted([&] {
                const Document document = parseDocument(line, "line", 0.25);
                fuzz::require(document.parts.empty() != document.messages.empty() || line.find("parts") != std::string::npos);
                for (const DocumentPart& part : document.parts)
                    fuzz::require(part.weight >= 0 && part.weight <= 1 && !part.trusted);
            });
        }
    });
    BuildOptions options;
    options.threads = 1;
    options.maxDocuments = 1000;
    const std::filesystem::path output = folder / "shards";
    std::filesystem::remove_all(output);
    fuzz::accepted([&] {
        const DatasetInfo info = buildDataset({file}, output, tokenizer, options);
        fuzz::require(TokenDataset::open(output)->tokenCount() == info.tokens);
    });
    return 0;
}
