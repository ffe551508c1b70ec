// `postnas tokenize` and `detokenize`, run as users run them.
#include <algorithm>
#include <sstream>

#include <gmock/gmock.h>

#include "core/base/json.h"
#include "tests/support/support.h"

namespace postnas {
namespace {

using testing::HasSubstr;

test::ProcessResult postnas(std::vector<std::string> arguments, const std::string& input)
{
    arguments.insert(arguments.begin(), (test::programFolder() / "postnas").string());
    arguments.insert(arguments.begin() + 2, (test::testData("tokenizer-fixtures") / "qwen").string());
    return test::runProcess(arguments, input);
}

TEST(TokenizeCommand, JsonLinesAreTheReference)
{
    const std::string cases = test::readFile(test::testData("tokenizer-fixtures") / "qwen" / "cases.jsonl");
    const auto result = postnas({"tokenize", "--jsonl"}, cases);
    ASSERT_EQ(result.exitCode, 0) << result.errors;
    std::istringstream expected(cases);
    std::istringstream got(result.output);
    std::string a;
    std::string b;
    std::size_t lines = 0;
    for (; std::getline(expected, a); ++lines) {
        ASSERT_TRUE(std::getline(got, b));
        const Json want = parseJson(a, "cases");
        const Json have = parseJson(b, "output");
        ASSERT_EQ(have["ids"], want["ids"]) << a;
        ASSERT_EQ(have["decoded"], want["decoded"]) << a;
    }
    EXPECT_GT(lines, 100u);
    EXPECT_FALSE(std::getline(got, b));
}

TEST(TokenizeCommand, PlainIdsGoThereAndBack)
{
    const std::string text = "Hello, world <|im_end|>\n\xE4\xBD\xA0";
    const auto ids = postnas({"tokenize"}, text);
    ASSERT_EQ(ids.exitCode, 0) << ids.errors;
    EXPECT_EQ(std::count(ids.output.begin(), ids.output.end(), '\n'), 1);
    EXPECT_EQ(postnas({"detokenize"}, ids.output).output, text);
    EXPECT_EQ(postnas({"detokenize", "--skip-special"}, ids.output).output, "Hello, world \n\xE4\xBD\xA0");
    EXPECT_NE(postnas({"tokenize", "--as-text"}, text).output, ids.output);
}

TEST(TokenizeCommand, BadInputIsExitCode3WithItsPlace)
{
    const auto invalid = postnas({"tokenize"}, "ab\xFF");
    EXPECT_EQ(invalid.exitCode, 3);
    EXPECT_THAT(invalid.errors, HasSubstr("error: standard input: no valid UTF-8 at byte 2"));
    const auto key = postnas({"tokenize", "--jsonl"}, "{\"text\":\"a\"}\n{\"txt\":\"a\"}\n");
    EXPECT_EQ(key.exitCode, 3);
    EXPECT_THAT(key.errors, HasSubstr("line 2: key \"text\" is missing"));
    EXPECT_EQ(postnas({"detokenize"}, "12 x").exitCode, 3);
    EXPECT_EQ(postnas({"detokenize"}, "99999999").exitCode, 3);
    EXPECT_EQ(postnas({"detokenize", "--jsonl"}, "{\"ids\":[-1]}").exitCode, 3);
    EXPECT_EQ(postnas({"tokenize", "--input", "/nowhere/text"}, "").exitCode, 3);
}

} // namespace
} // namespace postnas
