// Writing of events: whatever happens to the writer or the disk, whole lines with numbers that go on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <thread>

#include <csignal>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/jobs/event_reader.h"
#include "core/jobs/event_writer.h"
#include "tests/support/support.h"

namespace postnas {
namespace {

using namespace event;
using test::readFile;
using test::TemporaryFolder;
using test::writeFile;

TEST(EventWriter, NumbersGoOnAfterReopening)
{
    const TemporaryFolder folder;
    for (int i = 0; i < 3; ++i) {
        EventWriter writer(folder / "events.jsonl");
        EXPECT_EQ(writer.lastSeq(), 2 * i);
        writer.write(Metric {"loss", 1.0 * i, i});
        EXPECT_EQ(writer.write(Stage {"s", i, 3}), 2 * i + 2);
    }
    EventReader reader(folder / "events.jsonl");
    const auto events = reader.readNew();
    ASSERT_EQ(events.size(), 6u);
    for (std::size_t i = 0; i < 6; ++i)
        EXPECT_EQ(events[i].seq, static_cast<std::int64_t>(i) + 1);
    EXPECT_EQ(reader.badLines(), 0);
}

TEST(EventWriter, CutsATornLastLineOff)
{
    const TemporaryFolder folder;
    const auto file = folder / "events.jsonl";
    {
        EventWriter writer(file);
        writer.write(Metric {"loss", 1, 1});
        writer.write(Metric {"loss", 2, 2});
    }
    const std::string whole = readFile(file);
    for (std::size_t cut = 1; cut <= whole.size(); ++cut) {
        writeFile(file, whole.substr(0, cut));
        const auto lines = static_cast<std::int64_t>(std::count(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(cut), '\n'));
        {
            EventWriter writer(file);
            EXPECT_EQ(writer.lastSeq(), lines);
            writer.write(Bye {0, "done"});
        }
        EventReader reader(file);
        const auto events = reader.readNew();
        ASSERT_EQ(static_cast<std::int64_t>(events.size()), lines + 1) << "cut at " << cut;
        EXPECT_EQ(events.back().seq, lines + 1);
        EXPECT_EQ(reader.badLines(), 0);
    }
}

TEST(EventWriter, ATornLineLongerThanTheFirstLookIsFound)
{
    const TemporaryFolder folder;
    const auto file = folder / "events.jsonl";
    {
        EventWriter writer(file);
        writer.write(Warning {"first", ""});
    }
    const std::string good = readFile(file);
    writeFile(file, good + std::string(300'000, 'x'));
    {
        EventWriter writer(file);
        EXPECT_EQ(writer.lastSeq(), 1);
        writer.write(Warning {std::string(200'000, 'y'), ""});
    }
    EXPECT_EQ(EventWriter(file).lastSeq(), 2);
    EventReader reader(file);
    EXPECT_EQ(reader.readNew().size(), 2u);
}

/// A child writes until it is killed; whatever instant that is, the next writer and every reader see whole lines without
/// a gap or a repetition in the numbers.
TEST(EventWriter, SurvivesBeingKilledAtAnyMoment)
{
    const TemporaryFolder folder;
    const auto file = folder / "events.jsonl";
    std::mt19937 random(1);
    std::int64_t before = 0;
    for (int round = 0; round < 25; ++round) {
        const pid_t child = ::fork();
        if (child == 0) {
            EventWriter writer(file);
            for (std::int64_t i = 0;; ++i)
                writer.write(Metric {"loss " + std::string(static_cast<std::size_t>(i % 3000), 'z'), 1.0, i});
        }
        ::usleep(random() % 20'000);
        ::kill(child, SIGKILL);
        ::waitpid(child, nullptr, 0);
        const std::int64_t last = EventWriter(file).lastSeq();
        EXPECT_GE(last, before);
        before = last;
    }
    EventReader reader(file);
    std::int64_t expected = 0;
    for (auto events = reader.readNew(); !events.empty(); events = reader.readNew())
        for (const Event& event : events)
            ASSERT_EQ(event.seq, ++expected);
    EXPECT_EQ(expected, before);
    EXPECT_GT(expected, 25);
    EXPECT_EQ(reader.badLines(), 0);
}

TEST(EventWriter, AFullDiskIsAnErrorAndLeavesWholeLines)
{
    const TemporaryFolder folder;
    const auto file = folder / "events.jsonl";
    std::signal(SIGXFSZ, SIG_IGN);
    rlimit old {};
    getrlimit(RLIMIT_FSIZE, &old);
    EventWriter writer(file);
    rlimit limited = old;
    limited.rlim_cur = 1000;
    setrlimit(RLIMIT_FSIZE, &limited);
    std::int64_t written = 0;
    bool failed = false;
    try {
        for (int i = 0; i < 100; ++i)
            written = writer.write(Metric {"loss", 0.5, i});
    } catch (const Error& error) {
        failed = true;
        EXPECT_EQ(error.errorClass(), ErrorClass::Resource);
    }
    setrlimit(RLIMIT_FSIZE, &old);
    EXPECT_TRUE(failed);
    EXPECT_GT(written, 3);
    EXPECT_EQ(readFile(file).back(), '\n');
    EXPECT_EQ(writer.write(Bye {4, "disk full"}), written + 1);
    EventReader reader(file);
    EXPECT_EQ(static_cast<std::int64_t>(reader.readNew().size()), written + 1);
    EXPECT_EQ(reader.badLines(), 0);
}

TEST(EventWriter, AFullDeviceAndAGoneReaderAreErrors)
{
    const int full = ::open("/dev/full", O_WRONLY);
    ASSERT_GE(full, 0);
    EventWriter writer(full);
    EXPECT_THROW(writer.write(Bye {0, "done"}), Error);
    ::close(full);

    std::signal(SIGPIPE, SIG_IGN);
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    ::close(ends[0]);
    EventWriter piped(ends[1]);
    EXPECT_THROW(piped.write(Bye {0, "done"}), Error);
    // As an echo it does no harm.
    const TemporaryFolder folder;
    EventWriter echoing(folder / "events.jsonl", ends[1]);
    EXPECT_EQ(echoing.write(Bye {0, "done"}), 1);
    ::close(ends[1]);
}

TEST(EventWriter, ThreadsNeverMixLines)
{
    const TemporaryFolder folder;
    EventWriter writer(folder / "events.jsonl");
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&, t] {
            for (int i = 0; i < 250; ++i)
                writer.write(Metric {"m" + std::to_string(t), 1.0 * i, i});
        });
    for (std::thread& thread : threads)
        thread.join();
    EventReader reader(folder / "events.jsonl");
    const auto events = reader.readNew();
    ASSERT_EQ(events.size(), 1000u);
    for (std::size_t i = 0; i < events.size(); ++i)
        EXPECT_EQ(events[i].seq, static_cast<std::int64_t>(i) + 1);
}

TEST(ProtocolStream, PrintsOfLibrariesDoNotReachTheEvents)
{
    int out[2], err[2];
    ASSERT_EQ(::pipe(out), 0);
    ASSERT_EQ(::pipe(err), 0);
    const pid_t child = ::fork();
    if (child == 0) {
        ::dup2(out[1], 1);
        ::dup2(err[1], 2);
        {
            ProtocolStream stream;
            EventWriter writer(stream.descriptor());
            writer.write(Stage {"one", 0, 1});
            std::printf("a library says hello\n");
            std::fflush(stdout);
            writer.write(Bye {0, "done"});
        }
        ::_exit(0);
    }
    ::close(out[1]);
    ::close(err[1]);
    char buffer[4096];
    std::string events, log;
    for (ssize_t n; (n = ::read(out[0], buffer, sizeof buffer)) > 0;)
        events.append(buffer, static_cast<std::size_t>(n));
    for (ssize_t n; (n = ::read(err[0], buffer, sizeof buffer)) > 0;)
        log.append(buffer, static_cast<std::size_t>(n));
    ::close(out[0]);
    ::close(err[0]);
    ::waitpid(child, nullptr, 0);
    std::vector<Event> parsed;
    EventParser parser;
    parser.feed(events, parsed);
    EXPECT_EQ(parsed.size(), 2u);
    EXPECT_EQ(parser.badLines(), 0);
    EXPECT_EQ(log, "a library says hello\n");
}

} // namespace
} // namespace postnas
