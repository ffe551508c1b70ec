// Run folders: locks, checkpoints that survive kills and full disks, and honest answers about broken ones.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <random>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/jobs/run_folder.h"
#include "tests/support/support.h"

namespace postnas {
namespace {

namespace fs = std::filesystem;
using test::readFile;
using test::TemporaryFolder;
using test::writeFile;

const Json kSpec {{"stage", "placement"}, {"seed", 1}};

void addCheckpoint(const RunFolder& run, std::int64_t step, const std::string& content)
{
    CheckpointWriter writer = run.beginCheckpoint(step);
    writeFile(writer.folder() / "model.safetensors", content);
    writeFile(writer.folder() / "state.json", "{\"step\": " + std::to_string(step) + "}");
    writer.commit();
}

TEST(RunFolder, IsCreatedOnceAndKeepsItsSpec)
{
    const TemporaryFolder folder;
    const RunFolder run = RunFolder::create(folder / "runs" / "r1", kSpec);
    EXPECT_EQ(run.id(), "r1");
    EXPECT_EQ(run.stage(), "placement");
    EXPECT_EQ(RunFolder::open(folder / "runs" / "r1").spec(), kSpec);
    EXPECT_NO_THROW(RunFolder::create(folder / "runs" / "r1/", kSpec)) << "prepared with the same spec";
    EXPECT_THROW(RunFolder::create(folder / "runs" / "r1", Json {{"stage", "pretrain"}}), Error);
    writeFile(run.eventsFile(), "");
    EXPECT_THROW(RunFolder::create(folder / "runs" / "r1", kSpec), Error) << "it has started";
    writeFile(folder / "home" / "letter.txt", "dear");
    EXPECT_THROW(RunFolder::create(folder / "home", kSpec), Error);
    EXPECT_EQ(readFile(folder / "home" / "letter.txt"), "dear");
    EXPECT_THROW(RunFolder::open(folder / "nowhere"), Error);
}

TEST(RunFolder, OnlyOneWorkerWrites)
{
    const TemporaryFolder folder;
    const RunFolder run = RunFolder::create(folder / "r", kSpec);
    EXPECT_FALSE(run.isRunning());
    {
        const RunLock lock = run.lock();
        EXPECT_TRUE(run.isRunning());
        EXPECT_THROW(run.lock(), Error);
    }
    EXPECT_FALSE(run.isRunning());

    // The lock of a killed process is free at once.
    int ready[2];
    ASSERT_EQ(::pipe(ready), 0);
    const pid_t child = ::fork();
    if (child == 0) {
        const RunLock lock = run.lock();
        (void)!::write(ready[1], "x", 1);
        ::pause();
    }
    char byte = 0;
    ASSERT_EQ(::read(ready[0], &byte, 1), 1);
    EXPECT_TRUE(run.isRunning());
    EXPECT_THROW(run.lock(), Error);
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    EXPECT_FALSE(run.isRunning());
    EXPECT_NO_THROW(run.lock());
    ::close(ready[0]);
    ::close(ready[1]);
}

TEST(RunFolder, ExitRecordComesAndGoes)
{
    const TemporaryFolder folder;
    const RunFolder run = RunFolder::create(folder / "r", kSpec);
    EXPECT_FALSE(run.readExit());
    run.writeExit({130, "interrupted", true, {}});
    ASSERT_TRUE(run.readExit());
    EXPECT_EQ(run.readExit()->code, 130);
    EXPECT_TRUE(run.readExit()->resumable);
    EXPECT_FALSE(run.readExit()->time.empty());
    run.clearExit();
    EXPECT_FALSE(run.readExit());
    writeFile(run.exitFile(), "{\"code\": ");
    EXPECT_FALSE(run.readExit()) << "broken";
}

TEST(Checkpoints, NewestWholeOneIsTheTruth)
{
    const TemporaryFolder folder;
    const RunFolder run = RunFolder::create(folder / "r", kSpec);
    EXPECT_FALSE(run.newestCheckpoint());
    addCheckpoint(run, 5, "five");
    addCheckpoint(run, 100, "hundred");
    addCheckpoint(run, 20, "twenty");
    EXPECT_EQ(run.newestCheckpoint()->step, 100);
    EXPECT_EQ(run.checkpoints().size(), 3u);
    addCheckpoint(run, 100, "hundred again");
    EXPECT_EQ(readFile(run.newestCheckpoint()->folder / "model.safetensors"), "hundred again");
    run.pruneCheckpoints(2);
    const auto left = run.checkpoints();
    ASSERT_EQ(left.size(), 2u);
    EXPECT_EQ(left[0].step, 20);
    EXPECT_EQ(left[1].step, 100);
    run.pruneCheckpoints(0);
    EXPECT_EQ(run.checkpoints().size(), 1u) << "the last one is never removed";
}

TEST(Checkpoints, BrokenOnesAreSkippedAndNamed)
{
    const TemporaryFolder folder;
    const RunFolder run = RunFolder::create(folder / "r", kSpec);
    const auto checkpoint = [&](int step) { return run.checkpointsFolder() / ("step-" + std::to_string(step)); };
    for (int step = 1; step <= 8; ++step)
        addCheckpoint(run, step, "content of " + std::to_string(step));
    writeFile(checkpoint(8) / "model.safetensors", "content of 9");                    // same size, other bytes
    writeFile(checkpoint(7) / "model.safetensors", "content");                         // torn
    fs::remove(checkpoint(6) / "state.json");                                          // missing
    fs::remove(checkpoint(5) / "MANIFEST.json");                                       // no manifest
    writeFile(checkpoint(4) / "MANIFEST.json", "{\"format\": 1, \"files\"");           // torn manifest
    writeFile(checkpoint(3) / "MANIFEST.json", R"({"format": 1, "files": {"../../spec.json": {"bytes": 1, "xxh3": "0"}}})");
    fs::create_directories(run.checkpointsFolder() / "step-0099");
    fs::create_directories(run.checkpointsFolder() / "step-9x");
    std::vector<std::string> problems;
    const auto newest = run.newestCheckpoint(&problems);
    ASSERT_TRUE(newest);
    EXPECT_EQ(newest->step, 2);
    EXPECT_EQ(problems.size(), 6u);
    EXPECT_THAT(problems[0], testing::HasSubstr("step-8/model.safetensors"));
}

TEST(Checkpoints, UncommittedOnesVanish)
{
    const TemporaryFolder folder;
    const RunFolder run = RunFolder::create(folder / "r", kSpec);
    {
        CheckpointWriter writer = run.beginCheckpoint(1);
        writeFile(writer.folder() / "model.safetensors", "x");
    }
    EXPECT_TRUE(fs::is_empty(run.checkpointsFolder()));
    writeFile(run.checkpointsFolder() / ".tmp-step-7" / "model.safetensors", "left by a killed worker");
    writeFile(run.artifactsFolder() / ".heatmap.json.aB3dE6", "torn");
    writeFile(run.artifactsFolder() / "heatmap.json", "{}");
    run.removeStaleTemporaries();
    EXPECT_TRUE(fs::is_empty(run.checkpointsFolder()));
    EXPECT_FALSE(fs::exists(run.artifactsFolder() / ".heatmap.json.aB3dE6"));
    EXPECT_TRUE(fs::exists(run.artifactsFolder() / "heatmap.json"));
    EXPECT_TRUE(fs::exists(run.specFile()));
}

/// A child saves checkpoint after checkpoint (pruning all but two) until it is killed. At every such moment the newest
/// complete checkpoint holds exactly what belongs to its step, and it never goes back.
TEST(Checkpoints, SurviveKillsAtAnyMoment)
{
    const TemporaryFolder folder;
    const RunFolder run = RunFolder::create(folder / "r", kSpec);
    const auto content = [](std::int64_t step) { return std::string(static_cast<std::size_t>(50'000 + step), static_cast<char>('a' + step % 26)); };
    std::mt19937 random(7);
    std::int64_t newest = 0;
    for (int round = 0; round < 20; ++round) {
        const pid_t child = ::fork();
        if (child == 0) {
            const RunLock lock = run.lock();
            run.removeStaleTemporaries();
            for (std::int64_t step = newest + 1;; ++step) {
                addCheckpoint(run, step, content(step));
                run.pruneCheckpoints(2);
            }
        }
        ::usleep(5'000 + random() % 60'000);
        ::kill(child, SIGKILL);
        ::waitpid(child, nullptr, 0);
        std::vector<std::string> problems;
        const auto found = run.newestCheckpoint(&problems);
        EXPECT_THAT(problems, testing::IsEmpty());
        if (!found) {
            EXPECT_EQ(newest, 0);
            continue;
        }
        EXPECT_GE(found->step, newest);
        newest = found->step;
        EXPECT_EQ(readFile(found->folder / "model.safetensors"), content(newest));
    }
    EXPECT_GT(newest, 5);
}

TEST(Checkpoints, AFullDiskLeavesTheLastGoodOne)
{
    const TemporaryFolder folder;
    const RunFolder run = RunFolder::create(folder / "r", kSpec);
    addCheckpoint(run, 1, "good");
    std::signal(SIGXFSZ, SIG_IGN);
    rlimit old {};
    getrlimit(RLIMIT_FSIZE, &old);
    rlimit limited = old;
    limited.rlim_cur = 20; // the manifest does not fit
    bool failed = false;
    {
        CheckpointWriter writer = run.beginCheckpoint(2);
        writeFile(writer.folder() / "model.safetensors", "new");
        setrlimit(RLIMIT_FSIZE, &limited);
        try {
            writer.commit();
        } catch (const Error& error) {
            failed = true;
            EXPECT_EQ(error.errorClass(), ErrorClass::Resource);
        }
        setrlimit(RLIMIT_FSIZE, &old);
    }
    EXPECT_TRUE(failed);
    EXPECT_EQ(run.newestCheckpoint()->step, 1);
    EXPECT_FALSE(fs::exists(run.checkpointsFolder() / ".tmp-step-2"));
}

} // namespace
} // namespace postnas
