// The desktop program where there is no display.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/support.h"

namespace postnas {
namespace {

using testing::HasSubstr;

test::ProcessResult withoutDisplay(std::vector<std::string> arguments)
{
    const test::TemporaryFolder settings;
    std::vector<std::string> command = {"env",
                                        "-u",
                                        "DISPLAY",
                                        "-u",
                                        "WAYLAND_DISPLAY",
                                        "-u",
                                        "QT_QPA_PLATFORM",
                                        "XDG_CONFIG_HOME=" + settings.path().string(),
                                        (test::programFolder() / "postnas-workbench").string()};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return test::runProcess(command);
}

TEST(ProgramWithoutDisplay, SaysThatAWindowNeedsOne)
{
    const auto run = withoutDisplay({});
    EXPECT_EQ(run.exitCode, 4);
    EXPECT_THAT(run.errors, testing::AllOf(testing::StartsWith("error: there is no display"), HasSubstr("hint: ")));
}

TEST(ProgramWithoutDisplay, TellsItsOptions)
{
    const auto run = withoutDisplay({"--help"});
    EXPECT_EQ(run.exitCode, 0) << run.errors;
    EXPECT_THAT(run.output, HasSubstr("--screenshot"));
}

TEST(ProgramWithoutDisplay, DrawsAPicture)
{
    const test::TemporaryFolder folder;
    const auto run = withoutDisplay({"--screenshot", (folder / "window.png").string(), "--size", "900x600"});
    EXPECT_EQ(run.exitCode, 0) << run.errors;
    EXPECT_THAT(test::readFile(folder / "window.png"), testing::StartsWith("\x89PNG"));
}

} // namespace
} // namespace postnas
