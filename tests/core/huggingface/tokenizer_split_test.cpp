// The hand-written scanners cut exactly as PCRE2 does with the same classes, on random text of all kinds of characters.
#include "core/huggingface/split_pattern.h"

#include <chrono>
#include <random>

#include <gmock/gmock.h>

#include "core/base/error.h"
#include "core/huggingface/unicode_classes.h"
#include "core/huggingface/unicode_nfc.h"

namespace postnas {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> pieces(const SplitPattern& pattern, std::string_view text)
{
    struct Sink : PieceSink {
        std::string_view text;
        std::size_t done = 0;
        std::vector<std::string> out;
        void piece(std::size_t begin, std::size_t end) override
        {
            EXPECT_EQ(begin, done);
            EXPECT_GT(end, begin);
            done = end;
            out.emplace_back(text.substr(begin, end - begin));
        }
    } sink;
    sink.text = text;
    pattern.split(text, sink);
    EXPECT_EQ(sink.done, text.size());
    return std::move(sink.out);
}

/// Random text in which the interesting characters are frequent and every code point is possible.
std::string randomText(std::mt19937& rng)
{
    static const std::vector<std::string> kCommon = {"'", "'", "s", "S", "t", "re", "VE", "ll", "m", "D", "\xC5\xBF", " ", " ", "  ", "\n", "\r",
                                                     "\r\n", "\t", "\xC2\xA0", "\xE3\x80\x80", "\xC2\x85", "1", "23", "\xD9\xA3", "a", "Zz",
                                                     "\xC3\xA9", "\xCC\x81", "!", "?!", "_", ".", "\xE4\xBD\xA0", "\xF0\x9F\x91\x8D"};
    std::string out;
    const std::size_t count = 1 + rng() % 40;
    for (std::size_t i = 0; i < count; ++i) {
        if (rng() % 5 != 0) {
            out += kCommon[rng() % kCommon.size()];
        } else {
            char32_t c = rng() % (rng() % 3 == 0 ? 0x110000 : 0x3000);
            if (c >= 0xD800 && c <= 0xDFFF)
                c = 'x';
            unicode::appendUtf8(out, c);
        }
    }
    return out;
}

class ScannerOracle : public testing::TestWithParam<std::string_view> {};

TEST_P(ScannerOracle, CutsAsPcre2)
{
    const auto scanner = makeScanner(GetParam());
    ASSERT_NE(scanner, nullptr);
    const auto oracle = makePcre2Pattern(GetParam(), "test");
    for (const unsigned seed : {1u, 2u, 3u}) {
        std::mt19937 rng(seed);
        for (int i = 0; i < 4000; ++i) {
            const std::string text = randomText(rng);
            ASSERT_EQ(pieces(*scanner, text), pieces(*oracle, text)) << "seed " << seed << ": " << text;
        }
    }
}

TEST_P(ScannerOracle, CutsEveryCodePointAsPcre2)
{
    const auto scanner = makeScanner(GetParam());
    const auto oracle = makePcre2Pattern(GetParam(), "test");
    for (char32_t first = 0; first < 0x110000; first += 64) {
        if (first >= 0xD800 && first <= 0xDFFF)
            continue;
        std::string text;
        for (char32_t c = first; c < first + 64; ++c) {
            text += "b ";
            unicode::appendUtf8(text, c);
            text += "!";
        }
        ASSERT_EQ(pieces(*scanner, text), pieces(*oracle, text)) << std::hex << static_cast<unsigned>(first);
    }
}

INSTANTIATE_TEST_SUITE_P(Split, ScannerOracle, testing::Values(kQwen2Pattern, kLlama3Pattern, kGpt2Pattern),
                         [](const auto& info) {
                             return std::string(info.param == kQwen2Pattern ? "Qwen2" : info.param == kLlama3Pattern ? "Llama3" : "Gpt2");
                         });

TEST(SplitPattern, CutsAsWrittenDown)
{
    EXPECT_THAT(pieces(*makeScanner(kQwen2Pattern), "I'LL go\n\n  x 12"),
                ElementsAre("I", "'LL", " go", "\n\n", " ", " x", " ", "1", "2"));
    EXPECT_THAT(pieces(*makeScanner(kLlama3Pattern), "1234 5"), ElementsAre("123", "4", " ", "5"));
    EXPECT_THAT(pieces(*makeScanner(kGpt2Pattern), "I'LL it's 1234"), ElementsAre("I", "'", "LL", " it", "'s", " 1234"));
    // A letter of Unicode 16 (Garay), which PCRE2 10.42 does not know.
    EXPECT_THAT(pieces(*makePcre2Pattern(R"(\p{L}+|\P{L}+)", "test"), "a\xF0\x90\xB5\x90!"), ElementsAre("a\xF0\x90\xB5\x90", "!"));
    EXPECT_THAT(pieces(*makePcre2Pattern(R"([^\S\n]+)", "test"), "a \t\nb"), ElementsAre("a", " \t", "\nb"));
    EXPECT_THAT(pieces(*makePcre2Pattern("(?=b)", "test"), "abab"), ElementsAre("a", "ba", "b"));
    EXPECT_THAT(pieces(*makePcre2Pattern(escapePattern("a.b[x]"), "test"), "1a.b[x]2"), ElementsAre("1", "a.b[x]", "2"));
}

TEST(SplitPattern, RefusesWhatTheEnginesReadDifferently)
{
    const auto problem = [](const std::string& pattern) -> std::string {
        try {
            makePcre2Pattern(pattern, "t.json: key \"k\"");
        } catch (const Error& e) {
            EXPECT_EQ(e.errorClass(), ErrorClass::Input);
            return e.what();
        }
        return "no error";
    };
    EXPECT_THAT(problem("(a"), HasSubstr("t.json: key \"k\" is not a pattern that can be compiled"));
    EXPECT_THAT(problem("[a-z&&[^b]]"), HasSubstr("intersection"));
    EXPECT_THAT(problem("[a[b]]"), HasSubstr("class inside a class"));
    EXPECT_THAT(problem("(?m).+"), HasSubstr("(?...) group"));
    EXPECT_THAT(problem("(?R)"), HasSubstr("(?...) group"));
    EXPECT_THAT(problem("\\h+"), HasSubstr("\\h"));
    EXPECT_THAT(problem("\\C"), HasSubstr("\\C is disabled"));
    EXPECT_THAT(problem("a\\"), HasSubstr("backslash"));
    EXPECT_THAT(problem(std::string(20'000, 'a')), HasSubstr("longer than"));
    EXPECT_EQ(problem("[[:alpha:]]+|[]x]|(?i:y)|(?<!z)q"), "no error");
}

TEST(SplitPattern, StopsAPatternThatTakesForever)
{
    const auto pattern = makePcre2Pattern("(a+)+$x|(a|aa)+b", "t.json: key \"k\"");
    const auto start = std::chrono::steady_clock::now();
    EXPECT_THROW(pieces(*pattern, std::string(5000, 'a')), Error);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60));
}

TEST(Nfc, ComposesAndReordersAsHuggingFaceDoes)
{
    const auto nfc = [](const std::string& text) {
        unicode::NormalizedText out;
        return unicode::normalizeNfc(text, out) ? out.text : text;
    };
    EXPECT_EQ(nfc("e\u0301"), "\u00e9");
    EXPECT_EQ(nfc("a\u0307\u0323"), "\u1ea1\u0307");
    EXPECT_EQ(nfc("\u1e3b\u0327"), "\u013c\u0331");       // a mark comes between the parts of the base
    EXPECT_EQ(nfc("\u1112\u1161\u11ab"), "\ud55c");       // Hangul
    EXPECT_EQ(nfc("\u212b \u2126"), "\u00c5 \u03a9");
    EXPECT_EQ(nfc("\u0915\u093c"), "\u0915\u093c");       // excluded from composition
    EXPECT_EQ(nfc("\U00011935\U00011930"), "\U00011935\U00011930"); // newer than Hugging Face's Unicode 9
    EXPECT_EQ(nfc("plain text"), "plain text");
}

TEST(Nfc, MapsOffsetsToTheOriginal)
{
    unicode::NormalizedText out;
    ASSERT_TRUE(unicode::normalizeNfc("ab e\u0301 \u00e9x", out));
    EXPECT_EQ(out.text, "ab \u00e9 \u00e9x");
    EXPECT_EQ(out.originalOffset(0), 0u);
    EXPECT_EQ(out.originalOffset(3), 3u);
    EXPECT_EQ(out.originalOffset(4), 3u); // within the composed character
    EXPECT_EQ(out.originalOffset(5), 6u);
    EXPECT_EQ(out.originalOffset(8), 9u);
    EXPECT_EQ(out.originalOffset(9), 10u);
}

} // namespace
} // namespace postnas
