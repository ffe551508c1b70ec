// Building, reading and checking of token shards.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <fstream>

#include <sys/resource.h>

#include "core/base/error.h"
#include "core/data/dataset_builder.h"
#include "core/data/shard_writer.h"
#include "core/data/token_dataset.h"
#include "core/data/tokenizer_adapter.h"
#include "tests/support/support.h"

namespace postnas {
namespace {

namespace fs = std::filesystem;
using test::readFile;
using test::TemporaryFolder;
using test::writeFile;

/// One token a byte; "<e>" in trusted text is token 256. A chat template in the usual manner.
BuilderTokenizer byteTokenizer(std::int64_t vocabulary = 300)
{
    BuilderTokenizer out;
    out.vocabularySize = vocabulary;
    out.endOfText = 257;
    out.hash = "bytes";
    out.encode = [](const std::vector<TextSegment>& segments) {
        TokenizedDocument document;
        std::int64_t at = 0;
        for (const TextSegment& segment : segments)
            for (std::size_t i = 0; i < segment.text.size();) {
                const bool control = segment.trusted && segment.text.compare(i, 3, "<e>") == 0;
                document.ids.push_back(control ? 256 : static_cast<unsigned char>(segment.text[i]));
                document.begins.push_back(at);
                i += control ? 3 : 1;
                at += control ? 3 : 1;
            }
        return document;
    };
    out.renderChat = [](const std::vector<ChatMessage>& messages, bool prompt) {
        std::vector<TextSegment> segments;
        for (const ChatMessage& message : messages) {
            segments.push_back({message.role + ":", true});
            segments.push_back({message.content, false});
            segments.push_back({"<e>", true});
        }
        if (prompt)
            segments.push_back({"assistant:", true});
        return segments;
    };
    return out;
}

struct Row {
    std::vector<std::int32_t> ids;
    std::vector<float> weights;
    bool operator==(const Row&) const = default;
};

std::vector<Row> rows(const TokenDataset& dataset)
{
    std::vector<Row> out;
    for (std::int64_t d = 0; d < dataset.documentCount(); ++d) {
        Row row;
        row.ids.resize(static_cast<std::size_t>(dataset.documentLength(d)));
        row.weights.resize(row.ids.size());
        dataset.read(d, 0, row.ids, row.weights);
        out.push_back(std::move(row));
    }
    return out;
}

std::string text(const Row& row)
{
    std::string out;
    for (const std::int32_t id : row.ids)
        out += id == 256 ? std::string("[E]") : id == 257 ? std::string("[T]") : std::string(1, static_cast<char>(id));
    return out;
}

TEST(BuildDataset, StoresEveryFormWithItsWeights)
{
    const TemporaryFolder folder;
    writeFile(folder / "a.jsonl", R"({"text": "plain<e>"})" "\n\n"
                                  R"({"parts": [{"text": "qu", "weight": 0}, {"text": "", "weight": 1}, {"text": "an", "weight": 0.5}]})" "\n"
                                  R"({"prompt": "p", "completion": "cc"})" "\n"
                                  R"({"messages": [{"role": "user", "content": "hi<e>"}, {"role": "assistant", "content": "yo"}, )"
                                  R"({"role": "user", "content": "x"}, {"role": "assistant", "content": "z"}]})" "\n"
                                  R"({"text": ""})" "\n");
    writeFile(folder / "b.txt", "last");
    BuildOptions options;
    options.threads = 2;
    options.promptWeight = 0.2;
    const DatasetInfo info = buildDataset({folder / "a.jsonl", folder / "b.txt"}, folder / "out", byteTokenizer(), options);
    EXPECT_EQ(info.documents, 6);
    const auto dataset = TokenDataset::open(folder / "out", true);
    EXPECT_EQ(dataset->info().tokens, info.tokens);
    EXPECT_EQ(dataset->info().tokenizerHash, "bytes");
    EXPECT_TRUE(dataset->info().weighted);
    const auto all = rows(*dataset);
    ASSERT_EQ(all.size(), 6u);
    EXPECT_EQ(text(all[0]), "plain<e>") << "control tokens of a data file stay text";
    EXPECT_THAT(all[0].weights, testing::Each(1.0f));
    EXPECT_EQ(text(all[1]), "quan");
    EXPECT_EQ(all[1].weights[1], 0.0f);
    EXPECT_NEAR(all[1].weights[2], 0.5, 0.002);
    EXPECT_NEAR(all[2].weights[0], 0.2, 0.002);
    EXPECT_EQ(all[2].weights[1], 1.0f);
    EXPECT_EQ(text(all[3]), "user:hi<e>[E]assistant:yo[E]user:x[E]assistant:z[E]");
    std::string marks;
    for (const float w : all[3].weights)
        marks += w == 1.0f ? '1' : '.';
    EXPECT_EQ(marks, "...................." ".111......." "..........11");
    EXPECT_TRUE(all[4].ids.empty());
    EXPECT_EQ(text(all[5]), "last");
}

TEST(BuildDataset, ControlTokensAndEndOfTextOnRequest)
{
    const TemporaryFolder folder;
    writeFile(folder / "a.txt", "one<e>\ntwo\n");
    BuildOptions options;
    options.controlTokens = true;
    options.appendEndOfText = true;
    buildDataset({folder / "a.txt"}, folder / "out", byteTokenizer(), options);
    const auto all = rows(*TokenDataset::open(folder / "out"));
    EXPECT_EQ(text(all[0]), "one[E][T]");
    EXPECT_EQ(text(all[1]), "two[T]");
}

TEST(BuildDataset, DoesNotDependOnThreadsOrShardSize)
{
    const TemporaryFolder folder;
    std::string input;
    for (int i = 0; i < 20'000; ++i)
        input += R"({"prompt": "question )" + std::to_string(i) + R"(", "completion": ")" + std::string(static_cast<std::size_t>(i % 300), 'a') + "\"}\n";
    writeFile(folder / "a.jsonl", input);
    BuildOptions options;
    options.threads = 1;
    buildDataset({folder / "a.jsonl"}, folder / "one", byteTokenizer(), options);
    options.threads = 5;
    buildDataset({folder / "a.jsonl"}, folder / "five", byteTokenizer(), options);
    for (const auto& entry : fs::directory_iterator(folder / "one"))
        EXPECT_EQ(readFile(entry.path()), readFile(folder / "five" / entry.path().filename().string())) << entry.path();
    options.shardTokens = 100'000;
    const DatasetInfo info = buildDataset({folder / "a.jsonl"}, folder / "many", byteTokenizer(), options);
    EXPECT_GT(info.shards, 20);
    EXPECT_EQ(rows(*TokenDataset::open(folder / "one")), rows(*TokenDataset::open(folder / "many")));
    options.maxDocuments = 7;
    EXPECT_EQ(buildDataset({folder / "a.jsonl"}, folder / "few", byteTokenizer(), options).documents, 7);
    const auto wide = buildDataset({folder / "a.jsonl"}, folder / "wide", byteTokenizer(100'000), options);
    EXPECT_EQ(rows(*TokenDataset::open(folder / "wide")), rows(*TokenDataset::open(folder / "few")));
}

TEST(BuildDataset, MistakesNameFileAndLineAndLeaveNothing)
{
    const TemporaryFolder folder;
    std::string input;
    for (int i = 0; i < 9000; ++i)
        input += "{\"text\": \"" + std::string(100, 'a') + "\"}\n";
    writeFile(folder / "a.jsonl", input + "{\"text\": 5}\n" + input);
    BuildOptions options;
    options.shardTokens = 1000;
    try {
        buildDataset({folder / "a.jsonl"}, folder / "out", byteTokenizer(), options);
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.errorClass(), ErrorClass::Input);
        EXPECT_THAT(error.what(), testing::AllOf(testing::HasSubstr("a.jsonl line 9001"), testing::HasSubstr("text")));
    }
    EXPECT_FALSE(fs::exists(folder / "out"));
    EXPECT_THROW(buildDataset({folder / "none.jsonl"}, folder / "out", byteTokenizer()), Error);
    EXPECT_THROW(buildDataset({}, folder / "out", byteTokenizer()), Error);
    writeFile(folder / "empty.jsonl", "\n\n");
    EXPECT_THROW(buildDataset({folder / "empty.jsonl"}, folder / "out", byteTokenizer()), Error);
    writeFile(folder / "full" / "x", "");
    EXPECT_THROW(buildDataset({folder / "a.jsonl"}, folder / "full", byteTokenizer()), Error);
    EXPECT_TRUE(fs::exists(folder / "full" / "x"));
    writeFile(folder / "b.txt", "\xC3\xA9");
    EXPECT_THROW(buildDataset({folder / "b.txt"}, folder / "out", byteTokenizer(100)), Error) << "an id outside of the vocabulary";
    options.cancellation.cancel();
    try {
        buildDataset({folder / "b.txt"}, folder / "out", byteTokenizer(), options);
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.errorClass(), ErrorClass::Interrupted);
    }
    EXPECT_FALSE(fs::exists(folder / "out"));
}

TEST(BuildDataset, AFullDiskLeavesNothing)
{
    const TemporaryFolder folder;
    std::string input;
    for (int i = 0; i < 2000; ++i)
        input += std::string(100, 'a') + "\n";
    writeFile(folder / "a.txt", input);
    std::signal(SIGXFSZ, SIG_IGN);
    rlimit old {};
    getrlimit(RLIMIT_FSIZE, &old);
    rlimit limited = old;
    limited.rlim_cur = 100'000;
    setrlimit(RLIMIT_FSIZE, &limited);
    ErrorClass errorClass = ErrorClass::Internal;
    try {
        buildDataset({folder / "a.txt"}, folder / "out", byteTokenizer());
    } catch (const Error& error) {
        errorClass = error.errorClass();
    }
    setrlimit(RLIMIT_FSIZE, &old);
    EXPECT_EQ(errorClass, ErrorClass::Resource);
    EXPECT_FALSE(fs::exists(folder / "out"));
}

TEST(RenderConversation, ATemplateThatRewritesItsPastIsRefused)
{
    BuilderTokenizer tokenizer = byteTokenizer();
    const auto inner = tokenizer.renderChat;
    tokenizer.renderChat = [inner](const std::vector<ChatMessage>& messages, bool prompt) {
        auto segments = inner(messages, prompt);
        segments.insert(segments.begin(), {std::to_string(messages.size()), true});
        return segments;
    };
    EXPECT_THROW(renderConversation(tokenizer, {{"user", "a"}, {"assistant", "b"}}, 0, "f"), Error);
    tokenizer.renderChat = nullptr;
    EXPECT_THROW(renderConversation(tokenizer, {{"user", "a"}}, 0, "f"), Error);
}

struct TokenDatasetFault : testing::Test {
    TemporaryFolder folder;
    void SetUp() override
    {
        DatasetInfo info;
        info.vocabularySize = 1000;
        ShardWriter writer(folder / "d", info, 10);
        for (int i = 0; i < 6; ++i)
            writer.add({std::vector<std::int32_t>(5, i * 10), std::vector<std::uint8_t>(5, 255)});
        writer.finish();
        ASSERT_TRUE(fs::exists(shard(2)));
        TokenDataset::open(folder / "d", true);
    }
    fs::path shard(int i) const { return folder.path() / "d" / ("shard-0000" + std::to_string(i) + ".safetensors"); }
    void changeIndex(const std::function<void(Json&)>& change)
    {
        Json index = parseJson(readFile(folder / "d/index.json"), "index");
        change(index);
        writeFile(folder / "d/index.json", dumpJson(index));
    }
    std::string failure(bool verify = false)
    {
        try {
            TokenDataset::open(folder / "d", verify);
        } catch (const Error& error) {
            EXPECT_EQ(error.errorClass(), ErrorClass::Input);
            return error.what();
        }
        return "";
    }
};

TEST_F(TokenDatasetFault, TruncatedShard)
{
    fs::resize_file(shard(1), fs::file_size(shard(1)) - 1);
    EXPECT_THAT(failure(), testing::HasSubstr("shard-00001"));
}

TEST_F(TokenDatasetFault, MissingShard)
{
    fs::remove(shard(0));
    EXPECT_THAT(failure(), testing::HasSubstr("shard-00000"));
}

TEST_F(TokenDatasetFault, ChangedBytesAreFoundByHash)
{
    std::string bytes = readFile(shard(2));
    bytes.back() = '\x01';
    writeFile(shard(2), bytes);
    EXPECT_EQ(failure(false), "") << "a weight of another value is well-formed";
    EXPECT_THAT(failure(true), testing::HasSubstr("shard-00002"));
}

TEST_F(TokenDatasetFault, OffsetsThatFall)
{
    std::string bytes = readFile(shard(0));
    const std::size_t data = bytes.size() - (3 * 8 + 10 * 2 + 10);
    bytes[data + 8] = 11;
    writeFile(shard(0), bytes);
    EXPECT_THAT(failure(), testing::HasSubstr("offsets"));
}

TEST_F(TokenDatasetFault, IdsOutsideTheVocabulary)
{
    changeIndex([](Json& index) { index["vocabulary_size"] = 45; });
    EXPECT_THAT(failure(), testing::HasSubstr("vocabulary"));
}

TEST_F(TokenDatasetFault, IndexesThatDoNotFit)
{
    const std::string good = readFile(folder / "d/index.json");
    const std::vector<std::pair<std::function<void(Json&)>, const char*>> cases {
        {[](Json& i) { i["tokens"] = 31; }, "tokens"},
        {[](Json& i) { i["shards"][0]["tokens"] = 9; }, "shard-00000"},
        {[](Json& i) { i["shards"][0]["documents"] = 3; }, "offsets"},
        {[](Json& i) { i["shards"][0]["documents"] = std::int64_t {1} << 47; }, "offsets"},
        {[](Json& i) { i["shards"][0]["file"] = "../shard"; }, "file"},
        {[](Json& i) { i["shards"] = 3; }, "shards"},
        {[](Json& i) { i["format"] = 2; }, "format"},
        {[](Json& i) { i.erase("vocabulary_size"); }, "vocabulary_size"},
        {[](Json& i) { i["end_of_text"] = 1000; }, "end_of_text"},
    };
    for (const auto& [change, part] : cases) {
        writeFile(folder / "d/index.json", good);
        changeIndex(change);
        EXPECT_THAT(failure(), testing::HasSubstr(part));
    }
    fs::remove(folder / "d/index.json");
    EXPECT_THAT(failure(), testing::HasSubstr("index.json"));
}

TEST(TokenizerAdapter, AConversationInTheRealTokenizer)
{
    const auto qwen = test::qwenTokenizerFolder();
    if (!qwen)
        GTEST_SKIP() << "skipped: the Qwen2.5 tokenizer is not here";
    const TemporaryFolder folder;
    writeFile(folder / "a.jsonl", R"({"messages": [{"role": "user", "content": "hi <|im_end|>"}, {"role": "assistant", "content": "yo"}]})");
    const DatasetInfo info = buildDataset({folder / "a.jsonl"}, folder / "out", loadBuilderTokenizer(*qwen));
    EXPECT_GT(info.vocabularySize, 150'000);
    const Row row = rows(*TokenDataset::open(folder / "out")).at(0);
    const std::int32_t end = 151645; // <|im_end|>
    EXPECT_EQ(std::count(row.ids.begin(), row.ids.end(), end), 3) << "system, user, assistant; not what the user typed";
    // Weight 1: "yo", <|im_end|> and the line's end.
    EXPECT_EQ(std::count(row.weights.begin(), row.weights.end(), 1.0f), 3);
    EXPECT_EQ(row.weights[row.weights.size() - 2], 1.0f);
    EXPECT_EQ(row.ids[row.ids.size() - 2], end);
    EXPECT_EQ(row.weights.front(), 0.0f);
}

} // namespace
} // namespace postnas
