// Events: what is written is what is read, and wrong ones are refused by name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <ctime>
#include <limits>

#include "core/jobs/event_reader.h"

namespace postnas {
namespace {

using namespace event;

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

/// A line of the largest kind whose object at the end of `head` has `count` keys of its own.
std::string lineOfManyKeys(const std::string& head, int count, const std::string& value, const std::string& tail)
{
    std::string line = R"({"v":1,"seq":1,"t":"","event":)" + head;
    for (int i = 0; i < count; ++i)
        line += (i > 0 ? ",\"k" : "\"k") + std::to_string(i) + "\":" + value;
    return line + tail;
}

TEST(Event, ManyKeysCostTimeInProportion)
{
    constexpr int kCount = 300'000;
    const std::clock_t start = std::clock();
    for (const std::string& line : {lineOfManyKeys(R"("candidate","id":"a","placement":[],"scores":{)", kCount, "{}", "}}"),
                                    lineOfManyKeys(R"("candidate","id":"a","placement":[],"scores":{"t":{)", kCount, "1", "}}}"),
                                    lineOfManyKeys(R"("hello","versions":{)", kCount, "\"1\"", "}}"), lineOfManyKeys(R"("later",)", kCount, "1", "}")}) {
        std::vector<Event> events;
        EventParser parser;
        ASSERT_TRUE(parser.parseLine(line, events)) << parser.lastProblem();
        EXPECT_GT(dumpJson(toJson(events.at(0))).size(), 7u);
    }
    // Processor time: about two seconds in a release build, more with sanitizers; quadratic time would be minutes.
    EXPECT_LT(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC, 40.0);
}

TEST(Event, ScoresMustBeNumbers)
{
    std::vector<Event> events;
    EventParser parser("log");
    EXPECT_FALSE(parser.parseLine(R"({"v":1,"seq":1,"event":"candidate","id":"a","placement":[],"scores":{"t":{"m":"x"}}})", events));
    EXPECT_THAT(parser.lastProblem(), testing::HasSubstr("log: key \"scores.t.m\" must be a number"));
    EXPECT_FALSE(parser.parseLine(R"({"v":1,"seq":1,"event":"candidate","id":"a","placement":[],"scores":{"t":3}})", events));
    EXPECT_THAT(parser.lastProblem(), testing::HasSubstr("\"scores.t\" must be a JSON object"));
    EXPECT_TRUE(parser.parseLine(R"({"v":1,"seq":1,"event":"candidate","id":"a","placement":[],"scores":{"t":{"m":null,"n":2}}})", events));
    EXPECT_TRUE(std::isnan(std::get<Candidate>(events.at(0).body).scores.at("t").at("m")));
    EXPECT_EQ(std::get<Candidate>(events.at(0).body).scores.at("t").at("n"), 2.0);
}

} // namespace
} // namespace postnas
