// generation_config.json: defaults of transformers, the config's special ids as fallback, and ranges.
#include "core/huggingface/generation_config.h"

#include <gmock/gmock.h>

#include "tests/core/huggingface/model_files.h"

namespace postnas {
namespace {

using test::inputErrorOf;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

Architecture tiny() { return parseModelConfig(test::tinyQwen2(), "t"); }

GenerationConfig parse(const std::string& text) { return parseGenerationConfig(parseJson(text, "g.json"), "g.json", tiny()); }

TEST(GenerationConfig, ReadsTheFormOfQwen)
{
    const GenerationConfig g = parse(R"({"bos_token_id":3,"do_sample":true,"eos_token_id":[5,4],"pad_token_id":3,
        "repetition_penalty":1.05,"temperature":0.7,"top_p":0.8,"top_k":20,"transformers_version":"4.37.0"})");
    EXPECT_TRUE(g.doSample);
    EXPECT_THAT(g.eosTokenIds, ElementsAre(5, 4));
    EXPECT_EQ(g.temperature, 0.7);
    EXPECT_EQ(g.topK, 20);
    EXPECT_EQ(g.topP, 0.8);
    EXPECT_EQ(g.repetitionPenalty, 1.05);
    EXPECT_EQ(g.padTokenId, 3);
    const GenerationConfig back = parse(dumpJson(writeGenerationConfig(g)));
    EXPECT_EQ(back.eosTokenIds, g.eosTokenIds);
    EXPECT_EQ(back.temperature, g.temperature);
    EXPECT_EQ(back.topK, g.topK);
    EXPECT_EQ(back.doSample, g.doSample);
}

TEST(GenerationConfig, FallsBackToTheConfigsIds)
{
    EXPECT_THAT(parse("{}").eosTokenIds, ElementsAre(1));
    EXPECT_THAT(parse(R"({"eos_token_id":7})").eosTokenIds, ElementsAre(7));
    const test::TemporaryFolder folder;
    EXPECT_THAT(readGenerationConfig(folder.path(), tiny()).eosTokenIds, ElementsAre(1));
    EXPECT_FALSE(readGenerationConfig(folder.path(), tiny()).doSample);
    EXPECT_EQ(parse("{}").topK, 50);
    EXPECT_EQ(parse(R"({"top_k":null})").topK, 0);
    EXPECT_FALSE(parse(R"({"do_sample":true,"temperature":0.0})").doSample);
}

TEST(GenerationConfig, RefusesWhatCannotBe)
{
    for (const char* text : {R"({"temperature":-1})", R"({"temperature":"hot"})", R"({"top_p":0})", R"({"top_p":1.5})", R"({"top_k":-1})",
                             R"({"min_p":2})", R"({"repetition_penalty":0})", R"({"max_new_tokens":0})", R"({"eos_token_id":[1.5]})",
                             R"({"eos_token_id":-3})", R"({"do_sample":"yes"})"}) {
        const std::string key = parseJson(text, "t").begin().key();
        EXPECT_THAT(inputErrorOf([&] { parse(text); }), AllOf(HasSubstr("g.json"), HasSubstr(key))) << text;
    }
}

} // namespace
} // namespace postnas
