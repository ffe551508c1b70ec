// Broken and hostile tokenizer files are refused with file and key; hostile texts take no more than their time.
#include <ctime>

#include <gmock/gmock.h>

#include "tests/core/huggingface/tokenizer_fixtures.h"

namespace postnas {
namespace {

using test::fixtureJson;
using test::Ids;
using test::TokenizerFolder;
using testing::AllOf;
using testing::HasSubstr;

/// What loading says after `change` was applied to the small tokenizer.
std::string problemAfter(const std::function<void(Json&)>& change)
{
    Json json = fixtureJson();
    change(json);
    return TokenizerFolder(json).problem();
}

TEST(TokenizerFile, RefusesBrokenMerges)
{
    EXPECT_THAT(problemAfter([](Json& j) { j["model"]["merges"][3] = {"Ġ", "nowhere"}; }),
                AllOf(HasSubstr("tokenizer.json: key \"model.merges[3]\" is broken"), HasSubstr("right part \"nowhere\"")));
    EXPECT_THAT(problemAfter([](Json& j) { j["model"]["merges"][2] = {"!", "~"}; }), HasSubstr("model.merges[2]\" is broken: its result \"!~\""));
    EXPECT_THAT(problemAfter([](Json& j) { j["model"]["merges"][0] = {"a"}; }), HasSubstr("model.merges[0]\" must have two parts"));
    EXPECT_THAT(problemAfter([](Json& j) { j["model"]["merges"][0] = {"a", "b", "c"}; }), HasSubstr("model.merges[0]\" must have two parts"));
    EXPECT_THAT(problemAfter([](Json& j) { j["model"]["merges"][1] = 7; }), HasSubstr("model.merges[1]\" must be a string or a pair"));
    EXPECT_THAT(problemAfter([](Json& j) { j["model"]["merges"][1] = {"a", 7}; }), HasSubstr("model.merges[1]\" must be a string or a pair"));
    EXPECT_THAT(problemAfter([](Json& j) { j["model"]["merges"][1] = "ab"; }), HasSubstr("one space between"));
    EXPECT_THAT(problemAfter([](Json& j) { j["model"]["merges"][1] = " ab"; }), HasSubstr("model.merges[1]\" is broken: its left part \"\""));
    EXPECT_THAT(problemAfter([](Json& j) { j["model"]["merges"][1] = "a b c"; }), HasSubstr("one space between"));
}

TEST(TokenizerFile, RefusesBrokenVocabularies)
{
    EXPECT_THAT(problemAfter([](Json& j) { j["model"]["vocab"]["zz"] = 3'000'000; }), AllOf(HasSubstr("model.vocab"), HasSubstr("\"zz\" has id 3000000")));
    EXPECT_THAT(problemAfter([](Json& j) { j["model"]["vocab"]["zz"] = -1; }), HasSubstr("\"zz\" must have a whole number"));
    EXPECT_THAT(problemAfter([](Json& j) { j["model"]["vocab"]["zz"] = "5"; }), HasSubstr("\"zz\" must have a whole number"));
    EXPECT_THAT(problemAfter([](Json& j) { j["model"]["vocab"]["zz"] = Json::object(); }), HasSubstr("\"zz\" must have a whole number"));
    EXPECT_THAT(problemAfter([](Json& j) { j["model"]["vocab"]["zz"] = 5; }), HasSubstr("\"zz\" has id 5, which"));
    EXPECT_THAT(problemAfter([](Json& j) { j["model"]["vocab"] = Json::array(); }), HasSubstr("\"model.vocab\" is missing or no object"));
    EXPECT_THAT(problemAfter([](Json& j) { j["model"]["vocab"] = Json::object(); }), HasSubstr("\"model.vocab\" is empty"));
    EXPECT_THAT(problemAfter([](Json& j) { j["model"].erase("vocab"); }), HasSubstr("model.vocab"));
    EXPECT_THAT(TokenizerFolder(R"({"model":{"vocab":{"a":0,"a":1},"merges":[]}})").problem(),
                HasSubstr("key \"a\" appears twice in one object"));
    EXPECT_THAT(TokenizerFolder(R"({"model":{"vocab":{"a":0}},"model":{}})").problem(), HasSubstr("key \"model\" appears twice"));
}

TEST(TokenizerFile, RefusesWhatIsNoTokenizer)
{
    EXPECT_THAT(TokenizerFolder(R"({"model":{"vocab":{"a":0})").problem(), HasSubstr("not valid JSON"));
    EXPECT_THAT(TokenizerFolder(std::string("{\"model\":{\"vocab\":{\"\xff\":0}}}")).problem(), HasSubstr("not valid JSON"));
    EXPECT_THAT(TokenizerFolder("[]").problem(), HasSubstr("must be a JSON object"));
    EXPECT_THAT(TokenizerFolder("{}").problem(), HasSubstr("\"model\" is missing"));
    EXPECT_THAT(TokenizerFolder("{\"x\":" + std::string(100'000, '[')).problem(), HasSubstr("nested deeper"));
    const test::TemporaryFolder empty;
    try {
        Tokenizer::load(empty.path());
        FAIL();
    } catch (const Error& e) {
        EXPECT_EQ(e.errorClass(), ErrorClass::Input);
        EXPECT_THAT(e.what(), HasSubstr("tokenizer.json is missing"));
    }
    EXPECT_THROW(Tokenizer::load(empty / "no.json"), Error);
}

TEST(TokenizerFile, LinksToThemselvesAndImpossiblePathsAreErrors)
{
    for (const char* name : {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja"}) {
        const TokenizerFolder folder(fixtureJson());
        std::filesystem::remove(folder.path() / name);
        std::filesystem::create_symlink(name, folder.path() / name);
        EXPECT_THAT(folder.problem(), AllOf(HasSubstr(name), HasSubstr("cannot be opened")));
    }
    EXPECT_THROW(Tokenizer::load(std::filesystem::path("/") / std::string(300, 'x')), Error);
}

TEST(TokenizerFile, NamesWhatIsNotSupported)
{
    EXPECT_THAT(problemAfter([](Json& j) { j["model"]["type"] = "Unigram"; }), HasSubstr("\"model.type\" is \"Unigram\""));
    EXPECT_THAT(problemAfter([](Json& j) { j["model"]["dropout"] = 0.1; }), HasSubstr("\"model.dropout\""));
    EXPECT_THAT(problemAfter([](Json& j) { j["model"]["end_of_word_suffix"] = "</w>"; }), HasSubstr("\"model.end_of_word_suffix\""));
    EXPECT_THAT(problemAfter([](Json& j) { j["normalizer"] = {{"type", "Lowercase"}}; }), HasSubstr("\"normalizer.type\" is \"Lowercase\""));
    EXPECT_THAT(problemAfter([](Json& j) { j["pre_tokenizer"] = {{"type", "Metaspace"}}; }), HasSubstr("\"pre_tokenizer.type\" is \"Metaspace\""));
    EXPECT_THAT(problemAfter([](Json& j) { j["pre_tokenizer"] = nullptr; }), HasSubstr("\"pre_tokenizer\" is missing"));
    EXPECT_THAT(problemAfter([](Json& j) { j["pre_tokenizer"]["pretokenizers"].erase(1); }), HasSubstr("no ByteLevel part"));
    EXPECT_THAT(problemAfter([](Json& j) { j["pre_tokenizer"]["pretokenizers"][0]["behavior"] = "Removed"; }),
                HasSubstr("pretokenizers[0].behavior\" is \"Removed\""));
    EXPECT_THAT(problemAfter([](Json& j) { j["pre_tokenizer"]["pretokenizers"][0]["invert"] = true; }), HasSubstr("pretokenizers[0].invert"));
    EXPECT_THAT(problemAfter([](Json& j) { j["pre_tokenizer"]["pretokenizers"][0]["pattern"] = {{"Regex", "(a"}}; }),
                HasSubstr("pretokenizers[0].pattern.Regex\" is not a pattern that can be compiled"));
    EXPECT_THAT(problemAfter([](Json& j) { j["decoder"] = {{"type", "WordPiece"}}; }), HasSubstr("\"decoder.type\""));
    EXPECT_THAT(problemAfter([](Json& j) { j["post_processor"] = {{"type", "BertProcessing"}}; }), HasSubstr("\"post_processor.type\""));
    EXPECT_THAT(problemAfter([](Json& j) {
                    j["post_processor"] = Json::parse(R"({"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},
                        {"Sequence":{"id":"A","type_id":0}}],"pair":[],"special_tokens":{"<s>":{"id":"<s>","ids":[99999],"tokens":["<s>"]}}})");
                }),
                HasSubstr("post_processor.special_tokens.<s>.ids\" has an id that no token has"));
}

TEST(TokenizerFile, RefusesContradictingAddedTokens)
{
    const auto added = [](const std::string& content, std::int64_t id) {
        return [=](Json& j) { j["added_tokens"].push_back({{"id", id}, {"content", content}, {"special", true}}); };
    };
    EXPECT_THAT(problemAfter(added("<new>", 5)), AllOf(HasSubstr("key \"added_tokens[5]\""), HasSubstr("which model.vocab has for")));
    EXPECT_THAT(problemAfter(added("<|im_end|>", 1000)), HasSubstr("but it is already"));
    EXPECT_THAT(problemAfter([](Json& j) { j["added_tokens"][1]["id"] = j["added_tokens"][0]["id"]; }), HasSubstr("has too"));
    EXPECT_THAT(problemAfter(added("<new>", 1ll << 40)), HasSubstr("added_tokens[5].id"));
    EXPECT_THAT(problemAfter(added("<new>", -1)), HasSubstr("added_tokens[5].id"));
    EXPECT_THAT(problemAfter(added(std::string(5000, 'x'), 1000)), HasSubstr("added_tokens[5].content\" is longer"));
    EXPECT_THAT(problemAfter([](Json& j) { j["added_tokens"] = 3; }), HasSubstr("\"added_tokens\" must be a list"));
    EXPECT_EQ(problemAfter(added("<new>", 1000)), "no error");
}

TEST(TokenizerSettings, ReadsNamedTokensAndTemplates)
{
    TokenizerFolder folder(fixtureJson());
    folder.add("tokenizer_config.json", R"({"eos_token":{"content":"<|im_end|>","special":true},"pad_token":"<|endoftext|>","bos_token":null,
        "unk_token":"nowhere","chat_template":[{"name":"tool_use","template":"T"},{"name":"default","template":"D"}],
        "added_tokens_decoder":{"9000":{"content":"<late>","special":true,"rstrip":true}}})");
    folder.add("special_tokens_map.json", R"({"bos_token":"<|im_start|>"})");
    const Tokenizer tokenizer = folder.load();
    EXPECT_EQ(tokenizer.eosId(), tokenizer.tokenToId("<|im_end|>"));
    EXPECT_EQ(tokenizer.padId(), tokenizer.tokenToId("<|endoftext|>"));
    EXPECT_EQ(tokenizer.bosId(), std::nullopt);
    EXPECT_EQ(tokenizer.unknownId(), std::nullopt);
    EXPECT_EQ(tokenizer.chatTemplate(), "D");
    EXPECT_EQ(tokenizer.vocabularySize(), 9001);
    EXPECT_TRUE(tokenizer.isSpecial(9000));
    EXPECT_THAT(tokenizer.encode("<late>  "), testing::ElementsAre(9000));

    folder.add("chat_template.jinja", "J");
    EXPECT_EQ(folder.load().chatTemplate(), "J");
    folder.add("chat_template.jinja", "\xff");
    EXPECT_THAT(folder.problem(), HasSubstr("chat_template.jinja: invalid UTF-8 at byte 0"));
}

TEST(TokenizerSettings, ReadsTheOlderFiles)
{
    TokenizerFolder folder(fixtureJson());
    folder.add("added_tokens.json", R"({"<old>":5000,"plain":5001})").add("special_tokens_map.json", R"({"eos_token":"<old>"})");
    const Tokenizer tokenizer = folder.load();
    EXPECT_EQ(tokenizer.eosId(), 5000);
    EXPECT_TRUE(tokenizer.isSpecial(5000));
    EXPECT_FALSE(tokenizer.isSpecial(5001));
    EXPECT_EQ(tokenizer.chatTemplate(), std::nullopt);
    folder.add("added_tokens.json", R"({"<old>":"5000"})");
    EXPECT_THAT(folder.problem(), HasSubstr("added_tokens.json: key \"<old>\" must be an id"));
}

TEST(TokenizerSettings, RefusesBrokenSettings)
{
    const auto problem = [](const std::string& config) { return TokenizerFolder(fixtureJson()).add("tokenizer_config.json", config).problem(); };
    EXPECT_THAT(problem("{"), HasSubstr("tokenizer_config.json: not valid JSON"));
    EXPECT_THAT(problem(R"({"eos_token":7})"), HasSubstr("tokenizer_config.json: key \"eos_token\" must be a string"));
    EXPECT_THAT(problem(R"({"chat_template":7})"), HasSubstr("key \"chat_template\""));
    EXPECT_THAT(problem(R"({"chat_template":[{"name":"default"}]})"), HasSubstr("\"chat_template[0].template\" is missing"));
    EXPECT_THAT(problem(R"({"added_tokens_decoder":{"x":{"content":"y"}}})"), HasSubstr("\"added_tokens_decoder.x\" is no id"));
    EXPECT_THAT(problem(R"({"added_tokens_decoder":{"3":{"content":"<new>"}}})"), HasSubstr("which model.vocab has for"));
    EXPECT_THAT(problem(R"({"a":1,"a":2})"), HasSubstr("appears twice"));
}

TEST(TokenizerFile, SlowPatternsEndAlsoWhenEachPieceIsQuick)
{
    // 2^20 ways to fail on each character, with nothing that tells so before: each is below every limit of one search, all of them would take
    // minutes.
    const TokenizerFolder folder([] {
        Json json = fixtureJson();
        json["pre_tokenizer"] = parseJson(R"json({"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": "[a-z]"}, "behavior": "Isolated", "invert": false},
            {"type": "Split", "pattern": {"Regex": "(?:|){20}a(?<=b)"}, "behavior": "Isolated", "invert": false},
            {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]})json",
                                          "patterns");
        return json;
    }());
    const Tokenizer tokenizer = folder.load();
    EXPECT_EQ(tokenizer.encode("aa").size(), 2u);
    try {
        tokenizer.encode(std::string(20'000, 'a'));
        FAIL() << "was not stopped";
    } catch (const Error& e) {
        EXPECT_EQ(e.errorClass(), ErrorClass::Input);
        EXPECT_THAT(e.what(), HasSubstr("take too long on this text"));
    }
}

class HostileText : public testing::TestWithParam<const char*> {};

TEST_P(HostileText, TakesLittleTime)
{
    const auto real = test::qwenTokenizerFolder();
    const Tokenizer tokenizer = Tokenizer::load(real ? *real : test::tokenizerFixture("qwen"));
    const std::string_view unit = GetParam();
    std::string text;
    while (text.size() < 1'000'000)
        text += unit;
    const std::clock_t start = std::clock();
    const Encoding encoding = tokenizer.encodeWithOffsets(text);
    // Processor time: below half a second in a release build, more with sanitizers; quadratic time would be minutes.
    EXPECT_LT(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC, 15.0);
    EXPECT_EQ(encoding.starts.size(), encoding.ids.size());
    EXPECT_FALSE(encoding.ids.empty());
}

INSTANTIATE_TEST_SUITE_P(Tokenizer, HostileText,
                         testing::Values("a", "ab", " ", "\n ", "'", "<|im_", "\u0301", "\u0301\u0323", "e\u0301", "9", "\u3000x", "\u4f60"));

} // namespace
} // namespace postnas
