// Starting, stopping, killing and finding again of a real child process that keeps the run folder's contract.
#include <csignal>

#include <QSignalSpy>

#include <gtest/gtest.h>

#include "core/project/project.h"
#include "tests/widgets/widget_test.h"
#include "widgets/services/event_tail.h"
#include "widgets/services/job_launcher.h"

namespace postnas {
namespace {

class JobLauncherTest : public ::testing::Test {
protected:
    void SetUp() override
    {
        qunsetenv("FAKE_WORKER_MODE");
        run = std::make_unique<RunFolder>(RunFolder::create(folder / "run-1", test::placementSpec(folder / "in", test::testData("qwen2-tiny"), 2000)));
    }
    void TearDown() override { qunsetenv("FAKE_WORKER_MODE"); }
    std::unique_ptr<JobLauncher> makeLauncher()
    {
        auto launcher = std::make_unique<JobLauncher>(*run);
        launcher->setProgram(test::fakeWorker());
        return launcher;
    }
    static bool waitFor(JobLauncher& launcher, RunState state)
    {
        return test::waitUntil([&] { return launcher.state() == state; });
    }
    /// Running and past its first events.
    static bool waitWorking(JobLauncher& launcher)
    {
        return waitFor(launcher, RunState::Running) && test::waitUntil([&] { return workerPid(launcher.run()) > 0; });
    }

    test::TemporaryFolder folder;
    std::unique_ptr<RunFolder> run;
};

TEST_F(JobLauncherTest, RunsToItsEnd)
{
    const RunFolder shortRun = RunFolder::create(folder / "run-2", test::placementSpec(folder / "in", test::testData("qwen2-tiny"), 5));
    JobLauncher launcher(shortRun);
    launcher.setProgram(test::fakeWorker());
    EXPECT_EQ(launcher.state(), RunState::Prepared);
    QSignalSpy ended(&launcher, &JobLauncher::ended);
    launcher.start();
    EXPECT_EQ(launcher.state(), RunState::Starting);
    ASSERT_TRUE(waitFor(launcher, RunState::Finished));
    EXPECT_EQ(ended.count(), 1);
    EXPECT_EQ(launcher.processId(), 0);
    EXPECT_TRUE(lastLogLines(shortRun).contains(QStringLiteral("library noise that belongs to the log")));
}

TEST_F(JobLauncherTest, StopsAndResumes)
{
    auto launcher = makeLauncher();
    launcher->start();
    ASSERT_TRUE(waitWorking(*launcher));
    launcher->stop();
    EXPECT_EQ(launcher->state(), RunState::Stopping);
    ASSERT_TRUE(waitFor(*launcher, RunState::Interrupted));
    EXPECT_TRUE(launcher->status().resumable);
    EXPECT_TRUE(launcher->status().sentence().contains(QStringLiteral("resumed")));
    launcher->start();
    ASSERT_TRUE(waitWorking(*launcher));
    launcher->stop();
    ASSERT_TRUE(waitFor(*launcher, RunState::Interrupted));
}

TEST_F(JobLauncherTest, AKilledWorkerIsExplained)
{
    auto launcher = makeLauncher();
    launcher->start();
    ASSERT_TRUE(waitWorking(*launcher));
    ASSERT_EQ(::kill(static_cast<pid_t>(launcher->processId()), SIGKILL), 0);
    ASSERT_TRUE(waitFor(*launcher, RunState::Interrupted));
    EXPECT_TRUE(launcher->status().problem.message.contains(QStringLiteral("SIGKILL")));
    EXPECT_TRUE(launcher->status().resumable);
}

TEST_F(JobLauncherTest, AWorkerThatIgnoresTheStopIsReportedAndCanBeKilled)
{
    qputenv("FAKE_WORKER_MODE", "stubborn");
    auto launcher = makeLauncher();
    launcher->setPatience(300);
    QSignalSpy slow(launcher.get(), &JobLauncher::stopTakesLong);
    launcher->start();
    ASSERT_TRUE(waitWorking(*launcher));
    launcher->stop();
    ASSERT_TRUE(test::waitUntil([&] { return slow.count() == 1; }));
    EXPECT_EQ(launcher->state(), RunState::Stopping);
    launcher->kill();
    ASSERT_TRUE(waitFor(*launcher, RunState::Interrupted));
}

TEST_F(JobLauncherTest, AFailureShowsItsReasonAndHint)
{
    qputenv("FAKE_WORKER_MODE", "fail");
    auto launcher = makeLauncher();
    launcher->start();
    ASSERT_TRUE(waitFor(*launcher, RunState::Failed));
    EXPECT_EQ(launcher->status().problem.message, QStringLiteral("tasks/broken.jsonl: line 7 is no JSON"));
    EXPECT_EQ(launcher->status().problem.hint, QStringLiteral("Repair the line."));
    EXPECT_FALSE(launcher->status().resumable);
    // A window that opens the project later says the same.
    const RunStatus later = inspectRun(*run);
    EXPECT_EQ(later.state, RunState::Failed);
    EXPECT_EQ(later.problem.hint, QStringLiteral("Repair the line."));
}

TEST_F(JobLauncherTest, AMissingProgramIsAProblemAndNoCrash)
{
    JobLauncher launcher(*run);
    launcher.setProgram(QStringLiteral("/nonexistent/postnas"));
    QSignalSpy ended(&launcher, &JobLauncher::ended);
    launcher.start();
    ASSERT_TRUE(test::waitUntil([&] { return ended.count() == 1; }));
    EXPECT_EQ(launcher.state(), RunState::Failed);
    EXPECT_FALSE(launcher.status().problem.message.isEmpty());
}

TEST_F(JobLauncherTest, AJobOutlivesItsLauncherAndIsFoundAgain)
{
    qint64 pid = 0;
    {
        auto first = makeLauncher();
        first->start();
        ASSERT_TRUE(waitWorking(*first));
        pid = first->processId();
    }
    EXPECT_EQ(::kill(static_cast<pid_t>(pid), 0), 0) << "the worker died with the launcher";
    auto second = makeLauncher();
    EXPECT_EQ(second->state(), RunState::Running);
    EXPECT_EQ(second->processId(), pid);
    second->stop();
    ASSERT_TRUE(waitFor(*second, RunState::Interrupted));
    EXPECT_TRUE(second->status().resumable);
}

TEST_F(JobLauncherTest, TheTailBringsEventsAndLogInOrder)
{
    EventTail tail;
    std::vector<std::int64_t> numbers;
    QStringList log;
    QObject::connect(&tail, &EventTail::events, &tail, [&](const EventBatch& batch) {
        for (const Event& event : *batch)
            numbers.push_back(event.seq);
    });
    QObject::connect(&tail, &EventTail::logLines, &tail, [&](const QStringList& lines) { log += lines; });
    tail.follow(*run); // before the first event exists
    auto launcher = makeLauncher();
    launcher->start();
    ASSERT_TRUE(test::waitUntil([&] { return numbers.size() > 50 && !log.isEmpty(); }));
    launcher->stop();
    ASSERT_TRUE(waitFor(*launcher, RunState::Interrupted));
    for (std::size_t i = 0; i < numbers.size(); ++i)
        ASSERT_EQ(numbers[i], static_cast<std::int64_t>(i + 1));
}

TEST(ProcessEnd, EveryEndIsASentence)
{
    const QString who = QStringLiteral("The worker");
    EXPECT_TRUE(describeProcessEnd({0, SIGSEGV, true}, who).message.contains(QStringLiteral("crashed")));
    EXPECT_TRUE(describeProcessEnd({137, 0, true}, who).message.contains(QStringLiteral("SIGKILL")));
    EXPECT_EQ(describeProcessEnd({4, 0, true}, who, {QStringLiteral("error: no memory left"), QStringLiteral("hint: use less")}).message,
              QStringLiteral("no memory left"));
    for (int code = 0; code < 256; ++code)
        EXPECT_FALSE(describeProcessEnd({code, 0, true}, who).message.isEmpty());
}

} // namespace
} // namespace postnas
