// Projects: created, reopened, moved, and refused when they are not what they say.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/project/project.h"
#include "tests/support/support.h"

namespace postnas {
namespace {

namespace fs = std::filesystem;
using test::TemporaryFolder;
using test::writeFile;

const Json kSpec {{"stage", "placement"}};

TEST(Project, ComesBackAsItWasCreated)
{
    const TemporaryFolder folder;
    Project project = Project::create(folder / "p", "My <project>", "/models/qwen");
    EXPECT_TRUE(Project::isProject(folder / "p"));
    EXPECT_FALSE(Project::isProject(folder.path()));
    ProjectInfo info = project.info();
    info.settings["context"] = 65536;
    project.setInfo(info);
    const Project again = Project::open(folder / "p/");
    EXPECT_EQ(again.info().name, "My <project>");
    EXPECT_EQ(again.teacher(), "/models/qwen");
    EXPECT_EQ(again.info().settings["context"], 65536);
    EXPECT_FALSE(again.info().created.empty());
    EXPECT_THAT(again.info().provenance["program"].get<std::string>(), testing::StartsWith("postnas "));
    EXPECT_THROW(Project::create(folder / "p", "again"), Error);
    writeFile(folder / "full" / "x", "");
    EXPECT_THROW(Project::create(folder / "full", "x"), Error);
}

TEST(Project, CanBeMovedWithItsCheckpoint)
{
    const TemporaryFolder folder;
    fs::create_directories(folder / "a");
    {
        Project project = Project::create(folder / "a" / "p", "p");
        writeFile(folder / "a" / "p" / "teacher" / "config.json", "{}");
        ProjectInfo info = project.info();
        info.teacher = folder / "a" / "p" / "teacher";
        project.setInfo(info);
        EXPECT_EQ(project.info().teacher, "teacher");
        project.newRun("placement", kSpec);
    }
    fs::rename(folder / "a", folder / "b");
    const Project moved = Project::open(folder / "b" / "p");
    EXPECT_EQ(moved.teacher(), folder / "b" / "p" / "teacher");
    EXPECT_EQ(moved.runs().size(), 1u);
}

TEST(Project, RunsAreListedFromTheFolders)
{
    const TemporaryFolder folder;
    const Project project = Project::create(folder / "p", "p");
    EXPECT_TRUE(project.runs().empty());
    const RunFolder first = project.newRun("placement", kSpec);
    const RunFolder second = project.newRun("placement", kSpec);
    EXPECT_NE(first.id(), second.id());
    EXPECT_THAT(first.id(), testing::MatchesRegex("[0-9]{8}-[0-9]{6}-placement.*"));
    fs::create_directories(project.runsFolder() / "zz-empty");
    writeFile(project.runsFolder() / "zz-broken" / "spec.json", "{");
    writeFile(project.runsFolder() / "a-file", "");
    fs::create_directories(project.runsFolder() / ".hidden");
    const auto runs = project.runs();
    ASSERT_EQ(runs.size(), 4u);
    EXPECT_EQ(runs[0].stage, "placement");
    EXPECT_TRUE(runs[0].problem.empty());
    EXPECT_EQ(runs[2].id, "zz-broken");
    EXPECT_FALSE(runs[2].problem.empty());
    EXPECT_EQ(project.run(first.id()).spec(), kSpec);
    EXPECT_THROW(project.run("../p"), Error);
    EXPECT_THROW(project.run("nothing"), Error);
    EXPECT_THROW(project.newRun("../x", kSpec), Error);
}

TEST(Project, BrokenOnesAreRefusedByKey)
{
    const TemporaryFolder folder;
    const std::vector<std::pair<std::string, std::string>> cases {
        {"{", "project.json"},
        {"[]", "project.json"},
        {R"({"name": "x"})", "format"},
        {R"({"format": 1})", "name"},
        {R"({"format": 99, "name": "x"})", "format"},
        {R"({"format": 1, "name": 3})", "name"},
        {R"({"format": 1, "name": "x", "settings": []})", "settings"},
        {R"({"format": 1, "name": "x", "teacher": 1})", "teacher"},
    };
    for (const auto& [text, part] : cases) {
        writeFile(folder / "p" / "project.json", text);
        try {
            Project::open(folder / "p");
            FAIL() << text;
        } catch (const Error& error) {
            EXPECT_EQ(error.errorClass(), ErrorClass::Input);
            EXPECT_THAT(error.what(), testing::HasSubstr(part));
        }
    }
    EXPECT_THROW(Project::open(folder / "none"), Error);
}

TEST(Provenance, NamesFilesWithSizesAndHashes)
{
    const TemporaryFolder folder;
    writeFile(folder / "m" / "config.json", "{}");
    writeFile(folder / "m" / "model.safetensors", "abc");
    const Json a = makeProvenance({folder / "m"});
    ASSERT_EQ(a["files"].size(), 2u);
    EXPECT_EQ(a["files"]["m/model.safetensors"]["bytes"], 3);
    writeFile(folder / "m" / "model.safetensors", "abd");
    EXPECT_NE(makeProvenance({folder / "m"})["files"]["m/model.safetensors"]["xxh3"], a["files"]["m/model.safetensors"]["xxh3"]);
}

} // namespace
} // namespace postnas
