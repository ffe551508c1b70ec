// UTF-8 edges: what streaming may send, and what a terminal may see.
#include "core/base/text.h"

#include <gtest/gtest.h>

namespace postnas {
namespace {

TEST(Utf8, FindsOverlongSurrogateAndTruncatedSequences)
{
    EXPECT_EQ(findInvalidUtf8("plain \u00e9 \U0001F642"), std::string_view::npos);
    EXPECT_EQ(findInvalidUtf8("ab\xC0\xAF"), 2u);
    EXPECT_EQ(findInvalidUtf8("\xED\xA0\x80"), 0u);
    EXPECT_EQ(findInvalidUtf8("x\xF0\x9F\x99"), 1u);
    EXPECT_EQ(findInvalidUtf8("\xF4\x90\x80\x80"), 0u);
}

TEST(Utf8, HoldsBackOnlyWhatCanStillBecomeACharacter)
{
    const std::string smile = "\U0001F642";
    for (std::size_t cut = 1; cut < smile.size(); ++cut)
        EXPECT_EQ(completeUtf8Prefix("ab" + smile.substr(0, cut)), 2u) << cut;
    EXPECT_EQ(completeUtf8Prefix("ab" + smile), 6u);
    EXPECT_EQ(completeUtf8Prefix("ab\xFF"), 3u);
    EXPECT_EQ(completeUtf8Prefix("ab\x80"), 3u);
    EXPECT_EQ(completeUtf8Prefix(""), 0u);
}

TEST(Utf8, RepairsLikePythonsReplace)
{
    EXPECT_EQ(repairUtf8("a\xF0\x9F\x99z"), "a\uFFFDz");
    EXPECT_EQ(repairUtf8("\xC0\xAF"), "\uFFFD\uFFFD");
    EXPECT_EQ(repairUtf8("\xED\xA0\x80"), "\uFFFD\uFFFD\uFFFD");
}

TEST(Terminal, DropsEscapesAndBidiControlsButKeepsLines)
{
    EXPECT_EQ(sanitizeForTerminal("a\x1b[31mred\n\tb\u202Ec\u200F\x07\u009b1m"), "a[31mred\n\tbc1m");
}

TEST(Numbers, AreGroupedAndInBinaryUnits)
{
    EXPECT_EQ(groupThousands(1964806208), "1,964,806,208");
    EXPECT_EQ(groupThousands(-1000), "-1,000");
    EXPECT_EQ(groupThousands(7), "7");
    EXPECT_EQ(formatBytes(1792.0 * 1024 * 1024), "1792.00 MiB");
}

} // namespace
} // namespace postnas
