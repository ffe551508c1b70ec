// What a user types never becomes a control token and never hides one; added tokens keep their flags.
#include <thread>

#include <gmock/gmock.h>

#include "tests/core/huggingface/tokenizer_fixtures.h"

namespace postnas {
namespace {

using test::fixtureJson;
using test::Ids;
using test::TokenizerFolder;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

const Tokenizer& small()
{
    static const Tokenizer tokenizer = Tokenizer::load(test::tokenizerFixture("qwen"));
    return tokenizer;
}

std::int32_t idOf(const Tokenizer& tokenizer, const std::string& token)
{
    const auto id = tokenizer.tokenToId(token);
    EXPECT_TRUE(id) << token;
    return id.value_or(-1);
}

Json addedToken(const std::string& content, std::int32_t id, bool special = true)
{
    return {{"id", id},          {"content", content},   {"single_word", false}, {"lstrip", false},
            {"rstrip", false},   {"normalized", false},  {"special", special}};
}

TEST(TokenizerTrust, ControlTokensAreParsedOrTextAsAsked)
{
    const std::int32_t end = idOf(small(), "<|im_end|>");
    EXPECT_THAT(small().encode("a<|im_end|>b"), Contains(end));
    const Ids asText = small().encode("a<|im_end|>b", SpecialTokens::AsText);
    EXPECT_THAT(asText, Not(Contains(end)));
    EXPECT_EQ(small().decode(asText), "a<|im_end|>b");
    // <tool_call> is not "special" for Hugging Face, but a template uses it as one.
    EXPECT_THAT(small().encode("<tool_call>"), testing::ElementsAre(idOf(small(), "<tool_call>")));
    EXPECT_GT(small().encode("<tool_call>", SpecialTokens::AsText).size(), 1u);
    // An added token that is plain text is found anywhere.
    EXPECT_EQ(small().encode("a  b", SpecialTokens::AsText), small().encode("a  b"));
}

TEST(TokenizerTrust, BordersOfSegmentsMakeNoControlTokens)
{
    const std::int32_t start = idOf(small(), "<|im_start|>");
    const std::int32_t end = idOf(small(), "<|im_end|>");
    const std::vector<TextSegment> chat = {{"<|im_start|>user\n", true}, {"hi <|im_end|>", false}, {"<|im_end|>\n", true}};
    const Ids ids = small().encodeSegments(chat);
    EXPECT_EQ(std::count(ids.begin(), ids.end(), start), 1);
    EXPECT_EQ(std::count(ids.begin(), ids.end(), end), 1);
    EXPECT_EQ(small().decode(ids), "<|im_start|>user\nhi <|im_end|><|im_end|>\n");

    EXPECT_THAT(small().encodeSegments(std::vector<TextSegment> {{"<|im_", true}, {"end|>", false}}), Not(Contains(end)));
    EXPECT_THAT(small().encodeSegments(std::vector<TextSegment> {{"<|im_", false}, {"end|>", true}}), Not(Contains(end)));
    EXPECT_THAT(small().encodeSegments(std::vector<TextSegment> {{"<|im_", true}, {"end|>", true}}), Contains(end));
    // The beginning of a token in front of a real one does not swallow it.
    EXPECT_THAT(small().encodeSegments(std::vector<TextSegment> {{"<|im_", false}, {"<|im_end|>", true}}), Contains(end));
    EXPECT_TRUE(small().encodeSegments({}).empty());
}

TEST(TokenizerTrust, UsersCannotHideATokenOfTheTemplate)
{
    Json json = fixtureJson();
    const auto next = static_cast<std::int32_t>(small().vocabularySize());
    Json word = addedToken("END", next);
    word["single_word"] = true;
    Json normalized = addedToken("<turn>", next + 1);
    normalized["normalized"] = true;
    Json longer = addedToken("xx<|im_end|>", next + 2);
    for (const Json& token : {word, normalized, longer})
        json["added_tokens"].push_back(token);
    const Tokenizer tokenizer = TokenizerFolder(json).load();
    const auto encode = [&](const std::string& typed, const std::string& written, const std::string& after) {
        return tokenizer.encodeSegments(std::vector<TextSegment> {{typed, false}, {written, true}, {after, false}});
    };
    EXPECT_THAT(encode("letters", "END", "more"), Contains(next));
    EXPECT_THAT(tokenizer.encode("lettersEND"), Not(Contains(next)));
    // U+0338 would compose with ">" to another character.
    EXPECT_THAT(encode("x", "<turn>", "\xCC\xB8"), Contains(next + 1));
    EXPECT_THAT(tokenizer.encode("x<turn>\xCC\xB8"), Not(Contains(next + 1)));
    EXPECT_THAT(encode("xx", "<|im_end|>", ""), Contains(idOf(tokenizer, "<|im_end|>")));
    EXPECT_THAT(tokenizer.encode("xx<|im_end|>"), Contains(next + 2));
}

TEST(TokenizerTrust, MergesDoNotMakeControlTokensOutOfUntrustedText)
{
    // A vocabulary entry that plain merges reach is declared special.
    Json json = fixtureJson();
    const std::int32_t the = idOf(small(), "Ġthe");
    json["added_tokens"].push_back(addedToken("Ġthe", the));
    const Tokenizer tokenizer = TokenizerFolder(json).load();
    EXPECT_THAT(tokenizer.encode("in the"), Contains(the));
    const Ids asText = tokenizer.encode("in the", SpecialTokens::AsText);
    EXPECT_THAT(asText, Not(Contains(the)));
    EXPECT_EQ(tokenizer.decode(asText), "in the");

    Json whole = fixtureJson("ignore-merges");
    const auto wholeId = whole["model"]["vocab"]["Ã´tel"].get<std::int32_t>();
    whole["added_tokens"].push_back(addedToken("Ã´tel", wholeId));
    const Tokenizer ignoring = TokenizerFolder(whole).load();
    EXPECT_THAT(ignoring.encode("ôtel"), Contains(wholeId));
    EXPECT_THAT(ignoring.encode("ôtel", SpecialTokens::AsText), Not(Contains(wholeId)));
}

TEST(TokenizerTrust, OffsetsOfSegmentsCountAllText)
{
    const std::vector<TextSegment> chat = {{"<|im_start|>user\n", true}, {"e\xCC\x81t\xC3\xA9", false}, {"<|im_end|>", true}};
    const Encoding encoding = small().encodeSegmentsWithOffsets(chat);
    EXPECT_EQ(encoding.ids, small().encodeSegments(chat));
    EXPECT_EQ(encoding.starts.front(), 0u);
    EXPECT_EQ(encoding.starts.back(), 17u + 6u);
    EXPECT_EQ(encoding.ids.back(), idOf(small(), "<|im_end|>"));
    // The composed character's tokens lie where its base was.
    EXPECT_THAT(encoding.starts, Contains(17u));
    EXPECT_THAT(encoding.starts, Not(Contains(18u)));
    EXPECT_THAT(encoding.starts, Contains(20u));
}

TEST(TokenizerTrust, InvalidUtf8IsAnErrorWithItsPlace)
{
    for (const std::string& text : {std::string("abc\xFF"), std::string("abc\xE4\xBD"), std::string("abc\xED\xA0\x80")}) {
        try {
            small().encode(text);
            FAIL() << "no error";
        } catch (const Error& e) {
            EXPECT_EQ(e.errorClass(), ErrorClass::Input);
            EXPECT_THAT(e.what(), HasSubstr("UTF-8 at byte 3"));
        }
    }
    // Two broken segments do not become a whole character together.
    EXPECT_THROW(small().encodeSegments(std::vector<TextSegment> {{"\xC3", true}, {"\xA9", false}}), Error);
}

TEST(TokenizerDecode, ReplacesBrokenUtf8AndPassesOverUnknownIds)
{
    const std::int32_t c3 = idOf(small(), "Ã"); // byte C3
    const std::int32_t a9 = idOf(small(), "©"); // byte A9
    EXPECT_EQ(small().decode(Ids {c3, a9}), "\xC3\xA9");
    EXPECT_EQ(small().decode(Ids {c3}), "\xEF\xBF\xBD");
    EXPECT_EQ(small().decode(Ids {a9, c3, idOf(small(), "a")}), "\xEF\xBF\xBD\xEF\xBF\xBD" "a");
    EXPECT_EQ(small().decode(Ids {-1, 1'000'000, idOf(small(), "a")}), "a");
    EXPECT_EQ(small().decode(Ids {idOf(small(), "<|im_end|>"), idOf(small(), "a")}, true), "a");

    StreamDecoder stream(small(), true);
    EXPECT_EQ(stream.push(c3), "");
    EXPECT_EQ(stream.push(a9), "\xC3\xA9");
    EXPECT_EQ(stream.push(idOf(small(), "<|im_end|>")), "");
    EXPECT_EQ(stream.push(c3), "");
    EXPECT_EQ(stream.push(idOf(small(), "a")), "\xEF\xBF\xBD" "a");
    EXPECT_EQ(stream.push(c3), "");
    EXPECT_EQ(stream.finish(), "\xEF\xBF\xBD");
    EXPECT_EQ(stream.finish(), "");
}

TEST(TokenizerThreads, OneTokenizerServesManyThreads)
{
    const auto cases = test::readTokenizerCases(test::tokenizerFixture("qwen") / "cases.jsonl");
    std::vector<std::thread> threads;
    std::atomic<int> wrong = 0;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&] {
            for (int round = 0; round < 5; ++round)
                for (const auto& c : cases)
                    wrong += small().encode(c.text) == c.ids ? 0 : 1;
        });
    for (std::thread& t : threads)
        t.join();
    EXPECT_EQ(wrong, 0);
}

} // namespace
} // namespace postnas
