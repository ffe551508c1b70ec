// Events: what is written is what is read, whatever happens to the writer and to the file in between.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <thread>

#include <csignal>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
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

Candidate sampleCandidate()
{
    Candidate c;
    c.id = "a-l-l";
    c.placement = {"attention", "gla", "sliding_window"};
    c.scores = {{"retrieval", {{"accuracy", 0.96}, {"negative_loss", -0.11}}}, {"arithmetic", {{"accuracy", 0.5}}}};
    c.cost = {1234567, 890, 45.5};
    c.origin = "heatmap";
    c.objective = "retrieval";
    c.layer = 0;
    return c;
}

Event roundTrip(const Body& body)
{
    Event in;
    in.seq = 7;
    in.time = "2026-01-01T00:00:00.000Z";
    in.body = body;
    return eventFromJson(parseJson(dumpJson(toJson(in)), "test"), "test");
}

TEST(Event, EveryKindComesBackEqual)
{
    Result result;
    result.artifact = "heatmap";
    result.path = "artifacts/heatmap.json";
    result.values = {{"best", 3}};
    const std::vector<Body> bodies {
        Hello {{{"postnas", "0.1.0"}, {"torch", "2.11.0"}}, "cpu (2 threads)", 42, "placement"},
        Stage {"beam", 2, 5},
        Progress {3, 10, "steps", 1.5, 4.75},
        Metric {"loss", 0.25, 100},
        sampleCandidate(),
        Token {17, "h\xC3\xA9", "hybrid", "r1", 3},
        Checkpoint {100, "checkpoints/step-100"},
        Warning {"slow", "use a GPU"},
        result,
        ErrorEvent {"input", "x.json: broken", "mend it", "r2"},
        Bye {130, "interrupted"},
    };
    for (const Body& body : bodies) {
        const Event back = roundTrip(body);
        EXPECT_EQ(back.seq, 7);
        EXPECT_EQ(back.time, "2026-01-01T00:00:00.000Z");
        EXPECT_EQ(back.body.index(), body.index()) << eventName(body);
        Event again = back;
        Event first = back;
        first.body = body;
        EXPECT_EQ(toJson(again), toJson(first)) << eventName(body);
    }
    const Event back = roundTrip(sampleCandidate());
    const auto& c = std::get<Candidate>(back.body);
    EXPECT_EQ(c.placement, sampleCandidate().placement);
    EXPECT_EQ(c.scores, sampleCandidate().scores);
    EXPECT_EQ(c.cost.decodeTokensPerSecond, 45.5);
    EXPECT_EQ(c.layer, 0);
}

TEST(Event, NumbersThatAreNoNumbersBecomeNull)
{
    Event event;
    event.seq = 1;
    event.body = Metric {"loss", std::numeric_limits<double>::infinity(), 1};
    EXPECT_TRUE(toJson(event)["value"].is_null());
    const Event back = roundTrip(Progress {1, 2, "steps", kUnknown, kUnknown});
    EXPECT_TRUE(std::isnan(std::get<Progress>(back.body).rate));
    Candidate c = sampleCandidate();
    c.scores["retrieval"]["accuracy"] = kUnknown;
    EXPECT_TRUE(std::isnan(std::get<Candidate>(roundTrip(c).body).scores["retrieval"]["accuracy"]));
}

TEST(Event, UnknownOnesAreKept)
{
    const Event event = eventFromJson(parseJson(R"({"v":1,"seq":3,"t":"x","event":"telepathy","depth":[1,2]})", "t"), "t");
    ASSERT_TRUE(std::holds_alternative<Unknown>(event.body));
    EXPECT_EQ(eventName(event.body), "telepathy");
    EXPECT_EQ(toJson(event)["depth"], Json::array({1, 2}));
}

TEST(Event, KnownOnesWithWrongFieldsAreRefusedByName)
{
    for (const char* text : {R"({"v":1,"seq":1,"t":"","event":"metric","value":1})", R"({"v":1,"seq":1,"t":"","event":"metric","name":5})",
                             R"({"v":1,"seq":0,"t":"","event":"bye","code":0})", R"({"v":1,"seq":1,"event":"candidate","id":"x","placement":"gla"})",
                             R"({"seq":1,"event":"bye","code":0})", "[]"})
        EXPECT_THROW(eventFromJson(parseJson(text, "t"), "t"), Error) << text;
    try {
        eventFromJson(parseJson(R"({"v":1,"seq":1,"event":"metric","name":5})", "log"), "log");
        FAIL();
    } catch (const Error& error) {
        EXPECT_THAT(error.what(), testing::AllOf(testing::HasSubstr("log"), testing::HasSubstr("\"name\"")));
    }
}

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

TEST(EventReader, FollowsAGrowingFileByteByByte)
{
    const TemporaryFolder folder;
    const auto source = folder / "source.jsonl";
    {
        EventWriter writer(source);
        for (int i = 0; i < 5; ++i)
            writer.write(Metric {"loss", 1.0 / (i + 1), i});
    }
    const std::string whole = readFile(source);
    const auto file = folder / "events.jsonl";
    EventReader reader(file);
    EXPECT_TRUE(reader.readNew().empty()) << "no file yet";
    std::vector<std::int64_t> seen;
    for (std::size_t size = 0; size <= whole.size(); ++size) {
        writeFile(file, whole.substr(0, size));
        for (const Event& event : reader.readNew())
            seen.push_back(event.seq);
        EXPECT_EQ(seen.size(), static_cast<std::size_t>(std::count(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size), '\n')));
    }
    EXPECT_THAT(seen, testing::ElementsAre(1, 2, 3, 4, 5));
    EXPECT_EQ(reader.badLines(), 0);
    EXPECT_EQ(reader.restarts(), 0);
    EXPECT_EQ(reader.offset(), static_cast<std::int64_t>(whole.size()));
}

TEST(EventReader, CountsGarbageAndGoesOn)
{
    const TemporaryFolder folder;
    const std::string good = R"({"v":1,"seq":1,"t":"","event":"bye","code":0,"reason":""})";
    const std::string zeros(10, '\0');
    writeFile(folder / "e", "garbage\n" + good + "\n{\"v\":1,\"seq\":\n\n" + zeros + "\n\xFF\xFE\n" + std::string(100, '[') + "\n" + good + "\r\n" + good);
    EventReader reader(folder / "e");
    EXPECT_EQ(reader.readNew().size(), 2u);
    EXPECT_EQ(reader.badLines(), 5);
    EXPECT_FALSE(reader.lastProblem().empty());
}

TEST(EventReader, LeavesTooLongLinesBehind)
{
    const TemporaryFolder folder;
    const std::string good = R"({"v":1,"seq":1,"t":"","event":"bye","code":0,"reason":""})";
    writeFile(folder / "e", good + "\n" + std::string(kMaxEventLine + 5'000'000, 'x') + "\n" + good + "\n");
    EventReader reader(folder / "e");
    std::size_t events = 0;
    for (int i = 0; i < 5; ++i)
        events += reader.readNew().size();
    EXPECT_EQ(events, 2u);
    EXPECT_EQ(reader.badLines(), 1);

    std::vector<Event> out;
    EventParser parser("pipe", 1000);
    for (int i = 0; i < 50; ++i)
        parser.feed(std::string(100, 'x'), out);
    EXPECT_LE(parser.pendingBytes(), 1000u);
    parser.feed("\n" + good + "\n", out);
    EXPECT_EQ(out.size(), 1u);
    EXPECT_EQ(parser.badLines(), 1);
}

TEST(EventReader, ATooLongLineWithoutEndIsNotHeldAndTheOffsetStaysAtALineStart)
{
    const TemporaryFolder folder;
    const std::string good = R"({"v":1,"seq":1,"t":"","event":"bye","code":0,"reason":""})" "\n";
    writeFile(folder / "e", good + std::string(kMaxEventLine + 1'000'000, 'x'));
    EventReader reader(folder / "e");
    EXPECT_EQ(reader.readNew().size(), 1u);
    EXPECT_EQ(reader.offset(), static_cast<std::int64_t>(good.size()));
    EventReader next(folder / "e", reader.offset());
    next.readNew();
    EXPECT_EQ(next.restarts(), 0);
}

TEST(EventReader, StartsAgainWhenTheFileBecameShorterOrAnother)
{
    const TemporaryFolder folder;
    const auto line = [](int seq) { return R"({"v":1,"seq":)" + std::to_string(seq) + R"(,"t":"","event":"bye","code":0,"reason":""})" "\n"; };
    writeFile(folder / "e", line(1) + line(2));
    EventReader reader(folder / "e");
    EXPECT_EQ(reader.readNew().size(), 2u);
    writeFile(folder / "e", line(1));
    EXPECT_EQ(reader.readNew().size(), 1u);
    EXPECT_EQ(reader.restarts(), 1);
    writeFile(folder / "e", std::string(200, ' ') + "\n" + line(1));
    EXPECT_EQ(reader.readNew().size(), 1u);
    EXPECT_EQ(reader.restarts(), 2);
}

TEST(EventReader, NeverBlocksOnAPipe)
{
    const TemporaryFolder folder;
    ASSERT_EQ(::mkfifo((folder / "fifo").c_str(), 0600), 0);
    EventReader reader(folder / "fifo");
    EXPECT_THROW(reader.readNew(), Error);
}

} // namespace
} // namespace postnas
