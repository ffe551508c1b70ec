// Ids and decoded text are those of Hugging Face's tokenizers, for the real Qwen2.5 tokenizer and for small ones.
#include <random>

#include <gmock/gmock.h>

#include "core/base/text.h"
#include "tests/core/huggingface/tokenizer_fixtures.h"

namespace postnas {
namespace {

using test::Ids;
using test::TokenizerCase;

void expectCases(const Tokenizer& tokenizer, const std::vector<TokenizerCase>& cases, bool withPlain)
{
    for (const TokenizerCase& c : cases) {
        const Ids ids = tokenizer.encode(c.text);
        ASSERT_EQ(ids, c.ids) << c.text;
        ASSERT_EQ(tokenizer.decode(ids), c.decoded);
        if (withPlain) {
            ASSERT_EQ(tokenizer.decode(ids, true), c.plain);
        }
    }
}

/// The tokens of untouched text, put one after the other, are the text; so their offsets are sums of their sizes.
void expectOffsets(const Tokenizer& tokenizer, const std::vector<TokenizerCase>& cases)
{
    for (const TokenizerCase& c : cases) {
        const Encoding encoding = tokenizer.encodeWithOffsets(c.text);
        ASSERT_EQ(encoding.ids, c.ids);
        ASSERT_EQ(encoding.starts.size(), encoding.ids.size());
        for (std::size_t i = 0; i < encoding.starts.size(); ++i) {
            ASSERT_LE(encoding.starts[i], c.text.size());
            if (i > 0) {
                ASSERT_LE(encoding.starts[i - 1], encoding.starts[i]) << c.text;
            }
            const std::string_view bytes = tokenizer.tokenBytes(encoding.ids[i]);
            if (c.decoded == c.text) { // nothing normalised, inserted, or taken along
                ASSERT_EQ(std::string_view(c.text).substr(encoding.starts[i], bytes.size()), bytes) << c.text;
            }
        }
    }
}

/// Streaming joins to the same text, and every piece is whole UTF-8.
void expectStreams(const Tokenizer& tokenizer, const std::vector<TokenizerCase>& cases)
{
    for (const TokenizerCase& c : cases) {
        StreamDecoder decoder(tokenizer);
        std::string joined;
        for (const std::int32_t id : c.ids) {
            const std::string piece = decoder.push(id);
            ASSERT_EQ(findInvalidUtf8(piece), std::string::npos);
            joined += piece;
        }
        ASSERT_EQ(joined + decoder.finish(), c.decoded);
    }
}

class FixtureParity : public testing::TestWithParam<const char*> {};

TEST_P(FixtureParity, IdsTextOffsetsAndStreamAreHuggingFaces)
{
    const Tokenizer tokenizer = Tokenizer::load(test::tokenizerFixture(GetParam()));
    const auto cases = test::readTokenizerCases(test::tokenizerFixture(GetParam()) / "cases.jsonl");
    ASSERT_GT(cases.size(), 100u);
    expectCases(tokenizer, cases, true);
    expectOffsets(tokenizer, cases);
    expectStreams(tokenizer, cases);
}

INSTANTIATE_TEST_SUITE_P(Tokenizer, FixtureParity,
                         testing::Values("qwen", "flags", "gpt2-prefix-space", "llama3-template", "ignore-merges", "pcre2-pattern",
                                         "missing-bytes"),
                         [](const auto& info) {
                             std::string name = info.param;
                             std::erase(name, '-');
                             return name;
                         });

class QwenTokenizer : public testing::Test {
protected:
    void SetUp() override
    {
        const auto folder = test::qwenTokenizerFolder();
        if (!folder)
            GTEST_SKIP() << "skipped: no Qwen2.5 tokenizer (POSTNAS_QWEN_TOKENIZER)";
        m_tokenizer = Tokenizer::load(*folder);
        m_cases = test::readTokenizerCases(test::testData("qwen2.5-tokenizer-cases") / "cases.jsonl");
        ASSERT_EQ(m_cases.size(), 600u);
    }
    const Tokenizer& tokenizer() const { return *m_tokenizer; }

    std::optional<Tokenizer> m_tokenizer;
    std::vector<TokenizerCase> m_cases;
};

TEST_F(QwenTokenizer, AllReferenceCasesAreEqual)
{
    expectCases(tokenizer(), m_cases, false);
    expectOffsets(tokenizer(), m_cases);
    expectStreams(tokenizer(), m_cases);
}

TEST_F(QwenTokenizer, KnowsItsSpecialTokens)
{
    EXPECT_EQ(tokenizer().vocabularySize(), 151665);
    EXPECT_EQ(tokenizer().tokenToId("<|im_end|>"), 151645);
    EXPECT_EQ(tokenizer().idToToken(151645), "<|im_end|>");
    EXPECT_EQ(tokenizer().idToToken(264), "Ġa");
    EXPECT_EQ(tokenizer().idToToken(151665), std::nullopt);
    EXPECT_EQ(tokenizer().eosId(), tokenizer().tokenToId("<|endoftext|>"));
    EXPECT_EQ(tokenizer().padId(), tokenizer().tokenToId("<|endoftext|>"));
    EXPECT_EQ(tokenizer().bosId(), std::nullopt);
    EXPECT_TRUE(tokenizer().isSpecial(151645));
    EXPECT_FALSE(tokenizer().isSpecial(*tokenizer().tokenToId("<tool_call>")));
    EXPECT_TRUE(tokenizer().isControl(*tokenizer().tokenToId("<tool_call>")));
    EXPECT_FALSE(tokenizer().isControl(264));
    EXPECT_EQ(tokenizer().addedTokens().size(), 22u);
    ASSERT_TRUE(tokenizer().chatTemplate());
    EXPECT_NE(tokenizer().chatTemplate()->find("<|im_start|>"), std::string::npos);
}

TEST_F(QwenTokenizer, SegmentsOfOneTrustAreOneText)
{
    std::mt19937 rng(5);
    for (const TokenizerCase& c : m_cases) {
        std::vector<TextSegment> segments;
        for (std::size_t begin = 0; begin < c.text.size();) {
            std::size_t end = std::min(c.text.size(), begin + 1 + rng() % 9);
            while (end < c.text.size() && (static_cast<unsigned char>(c.text[end]) & 0xC0) == 0x80)
                ++end;
            segments.push_back({c.text.substr(begin, end - begin), true});
            begin = end;
        }
        ASSERT_EQ(tokenizer().encodeSegments(segments), c.ids) << c.text;
        for (TextSegment& s : segments)
            s.trusted = false;
        const Ids asText = tokenizer().encode(c.text, SpecialTokens::AsText);
        ASSERT_EQ(tokenizer().encodeSegments(segments), asText);
        for (const std::int32_t id : asText)
            ASSERT_FALSE(tokenizer().isControl(id));
        // Only where the text holds a control token do trusted and untrusted differ; a border alone changes nothing.
        if (asText == c.ids) {
            for (std::size_t i = 0; i < segments.size(); ++i)
                segments[i].trusted = i % 2 == 0;
            ASSERT_EQ(tokenizer().encodeSegments(segments), c.ids);
        }
    }
}

} // namespace
} // namespace postnas
