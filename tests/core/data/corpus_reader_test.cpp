// Reading of text files: every form of document, compressed or not, and broken ones.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <zlib.h>
#include <zstd.h>

#include "core/base/error.h"
#include "core/data/corpus_reader.h"
#include "tests/support/support.h"

namespace postnas {
namespace {

using test::TemporaryFolder;
using test::writeFile;

std::string gzip(const std::string& text)
{
    z_stream stream {};
    deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
    std::string out(compressBound(text.size()) + 64, '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
    stream.avail_in = static_cast<uInt>(text.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    deflate(&stream, Z_FINISH);
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

std::vector<std::string> lines(const std::filesystem::path& file)
{
    LineReader reader(file);
    std::vector<std::string> out;
    for (std::string line; reader.next(line);)
        out.push_back(line);
    return out;
}

TEST(LineReader, ReadsPlainGzipAndZstdAlike)
{
    const TemporaryFolder folder;
    std::string text;
    std::vector<std::string> expected;
    for (int i = 0; i < 30'000; ++i) {
        expected.push_back("line " + std::to_string(i) + std::string(static_cast<std::size_t>(i % 97), 'x'));
        text += expected.back() + (i % 2 == 0 ? "\n" : "\r\n");
    }
    expected.push_back("last");
    text += "last";
    const std::size_t half = text.size() / 2;
    writeFile(folder / "a.txt", text);
    writeFile(folder / "a.txt.gz", gzip(text));
    writeFile(folder / "two.txt.gz", gzip(text.substr(0, half)) + gzip(text.substr(half)));
    writeFile(folder / "a.txt.zst", zstd(text));
    writeFile(folder / "two.txt.zst", zstd(text.substr(0, half)) + zstd(text.substr(half)));
    for (const char* name : {"a.txt", "a.txt.gz", "two.txt.gz", "a.txt.zst", "two.txt.zst"})
        EXPECT_EQ(lines(folder / name), expected) << name;
    writeFile(folder / "empty.txt", "");
    EXPECT_TRUE(lines(folder / "empty.txt").empty());
    writeFile(folder / "empty.txt.gz", gzip(""));
    EXPECT_TRUE(lines(folder / "empty.txt.gz").empty());
}

TEST(LineReader, CutOffAndBrokenStreamsAreErrors)
{
    const TemporaryFolder folder;
    std::string text;
    for (int i = 0; i < 1000; ++i)
        text += std::to_string(i * 7919) + "\n";
    for (const auto& [name, packed] : {std::pair<std::string, std::string> {"x.gz", gzip(text)}, {"x.zst", zstd(text)}}) {
        for (const double part : {0.0, 0.3, 0.99}) {
            writeFile(folder / name, packed.substr(0, static_cast<std::size_t>(static_cast<double>(packed.size()) * part)));
            EXPECT_THROW(lines(folder / name), Error) << name << " " << part;
        }
        writeFile(folder / name, "this is not compressed at all, and long enough to see it");
        EXPECT_THROW(lines(folder / name), Error) << name;
        std::string flipped = packed;
        flipped[flipped.size() / 2] = static_cast<char>(flipped[flipped.size() / 2] ^ 0x55);
        if (name == "x.gz") { // zstd frames made in one call carry no checksum
            writeFile(folder / name, flipped);
            EXPECT_THROW(lines(folder / name), Error) << name;
        }
    }
    EXPECT_THROW(lines(folder / "missing.txt"), Error);
    EXPECT_THROW(lines(folder.path()), Error);
}

TEST(LineReader, ABombOfOneLineStopsAtTheLimit)
{
    const TemporaryFolder folder;
    writeFile(folder / "bomb.gz", gzip(std::string(50'000'000, 'a')));
    LineReader reader(folder / "bomb.gz", 1 << 20);
    std::string line;
    try {
        reader.next(line);
        FAIL();
    } catch (const Error& error) {
        EXPECT_THAT(error.what(), testing::HasSubstr("line 1"));
        EXPECT_LE(line.capacity(), std::size_t {4} << 20);
    }
}

TEST(CorpusFormat, FollowsTheName)
{
    EXPECT_EQ(corpusFormat("a/b.jsonl"), CorpusFormat::JsonLines);
    EXPECT_EQ(corpusFormat("b.jsonl.gz"), CorpusFormat::JsonLines);
    EXPECT_EQ(corpusFormat("b.txt.zst"), CorpusFormat::Text);
    EXPECT_THROW(corpusFormat("b.parquet"), Error);
    EXPECT_THROW(corpusFormat("b.gz"), Error);
}

TEST(ParseDocument, KnowsTheForms)
{
    EXPECT_EQ(parseDocument(R"({"text": "a", "id": 5})", "f", 0).parts.at(0).text, "a");
    const Document parts = parseDocument(R"({"parts": [{"text": "q", "weight": 0}, {"text": "a"}]})", "f", 0.5);
    EXPECT_EQ(parts.parts.at(0).weight, 0);
    EXPECT_EQ(parts.parts.at(1).weight, 1);
    const Document prompt = parseDocument(R"({"prompt": "q", "completion": "a"})", "f", 0.25);
    EXPECT_EQ(prompt.parts.at(0).weight, 0.25);
    const Document chat = parseDocument(R"({"messages": [{"role": "user", "content": "hi"}]})", "f", 0);
    EXPECT_EQ(chat.messages.at(0).role, "user");
    for (const char* broken : {"{", "[]", "{}", R"({"text": 5})", R"({"text": "a", "text": "b"})", R"({"parts": {}})", R"({"parts": [{"text": "a", "weight": 2}]})",
                               R"({"prompt": "a"})", R"({"messages": []})", R"({"messages": [{"role": "user"}]})", "{\"text\": \"\xFF\"}"})
        EXPECT_THROW(parseDocument(broken, "f", 0), Error) << broken;
}

TEST(ParseDocument, ConversationsHaveALimit)
{
    const auto conversation = [](int turns) {
        std::string line = R"({"messages":[)";
        for (int i = 0; i < turns; ++i)
            line += std::string(i > 0 ? "," : "") + R"({"role":"assistant","content":"x"})";
        return line + "]}";
    };
    EXPECT_EQ(parseDocument(conversation(1000), "f line 1", 0).messages.size(), 1000u);
    EXPECT_THROW(parseDocument(conversation(1001), "f line 1", 0), Error);
}

} // namespace
} // namespace postnas
