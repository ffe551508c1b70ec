// Where the program finds its resources.
#include "core/base/resources.h"

#include <cstdlib>

#include <gmock/gmock.h>

#include "core/base/error.h"
#include "tests/support/support.h"

namespace postnas {
namespace {

TEST(Resources, FindsTheSourceTreeWhenNotInstalled)
{
    ::unsetenv("POSTNAS_RESOURCES");
    EXPECT_THAT(builtInArchitectures(), testing::IsSupersetOf({"jet-nemotron-2b", "jet-nemotron-4b", "qwen2.5-1.5b", "qwen3-1.7b"}));
    EXPECT_TRUE(std::filesystem::exists(resourceFile("architectures/qwen3-1.7b.json")));
    EXPECT_THROW(resourceFile("architectures/none.json"), Error);
}

TEST(Resources, TheEnvironmentVariableWins)
{
    const test::TemporaryFolder folder;
    test::writeFile(folder / "architectures/mine.json", "{}");
    ::setenv("POSTNAS_RESOURCES", folder.path().c_str(), 1);
    EXPECT_EQ(builtInArchitectures(), std::vector<std::string>{"mine"});
    ::setenv("POSTNAS_RESOURCES", (folder / "none").c_str(), 1);
    EXPECT_THROW(resourcesFolder(), Error);
    EXPECT_TRUE(builtInArchitectures().empty());
    ::unsetenv("POSTNAS_RESOURCES");
}

} // namespace
} // namespace postnas
