// Reading of events while the file grows, is torn, is replaced or is no file of events at all.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/stat.h>

#include "core/jobs/event_reader.h"
#include "core/jobs/event_writer.h"
#include "tests/support/support.h"

namespace postnas {
namespace {

using namespace event;
using test::readFile;
using test::TemporaryFolder;
using test::writeFile;

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
