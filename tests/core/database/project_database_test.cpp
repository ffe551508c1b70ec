// The project database: imports that can be repeated, and everything about runs rebuilt from the folders.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/base/error.h"
#include "core/database/project_database.h"
#include "core/jobs/event_writer.h"
#include "tests/support/support.h"

namespace postnas {
namespace {

namespace fs = std::filesystem;
using namespace event;
using test::readFile;
using test::TemporaryFolder;
using test::writeFile;

Candidate makeCandidate(int layer, double accuracy, const std::string& origin = "heatmap")
{
    Candidate c;
    c.id = origin + std::to_string(layer);
    c.placement = std::vector<std::string>(4, "gla");
    if (layer >= 0)
        c.placement[static_cast<std::size_t>(layer)] = "attention";
    c.scores = {{"retrieval", {{"accuracy", accuracy}}}, {"robert'); DROP TABLE runs;--", {{"negative_loss", -accuracy}}}};
    c.cost.stateBytes = 1000 + layer;
    c.cost.parameters = 5000;
    c.origin = origin;
    c.layer = origin == "heatmap" ? layer : -1;
    return c;
}

void writeRun(const RunFolder& run, bool finish = true)
{
    EventWriter writer(run.eventsFile());
    writer.write(Hello {{{"postnas", "0.1.0"}}, "cpu", 1, "placement"});
    writer.write(Stage {"training", 0, 2});
    for (int step = 1; step <= 10; ++step)
        writer.write(Metric {"loss", step == 5 ? kUnknown : 1.0 / step, step});
    writer.write(Progress {10, 10, "steps", 2, 0});
    writer.write(Stage {"heatmap", 1, 2});
    for (int layer = 0; layer < 4; ++layer)
        writer.write(makeCandidate(layer, 0.1 * layer));
    writer.write(makeCandidate(2, 0.9, "beam"));
    writer.write(Progress {4, 4, "placements", 1, 0});
    writer.write(Warning {"<b>careful</b>", ""});
    if (finish) {
        writer.write(Bye {0, "done"});
        run.writeExit({0, "done", false, {}});
    }
}

/// Everything the queries say about runs, to compare two states of the database.
std::string snapshot(ProjectDatabase& database)
{
    Json out = Json::array();
    for (const RunRow& run : database.runs()) {
        Json entry {{"id", run.id},          {"stage", run.stage},        {"created", run.created}, {"updated", run.updated},
                    {"device", run.device},  {"seq", run.lastSeq},        {"bad", run.badLines},    {"exit", run.exitCode.value_or(-99)},
                    {"reason", run.exitReason}, {"now", run.currentStage}, {"done", run.done},       {"total", run.total}, {"note", run.note}};
        for (const std::string& name : database.metricNames(run.id))
            for (const MetricRow& row : database.metrics(run.id, name))
                entry["metrics"].push_back({name, row.step, row.value});
        for (const CandidateRow& row : database.candidates(run.id)) {
            Event event;
            event.seq = row.seq;
            event.body = row.candidate;
            entry["candidates"].push_back(toJson(event));
        }
        for (const HeatmapRow& cell : database.heatmap(run.id))
            entry["heatmap"].push_back({cell.layer, cell.task, cell.metric, cell.value});
        for (const EventRow& row : database.events(run.id))
            entry["events"].push_back(row.json);
        out.push_back(entry);
    }
    return dumpJson(out, 1);
}

struct ProjectDatabaseTest : testing::Test {
    TemporaryFolder folder;
    Project project = Project::create(folder / "p", "p");
    RunFolder run = project.newRun("placement", Json {{"stage", "placement"}});
};

TEST_F(ProjectDatabaseTest, RunsAreImportedOnce)
{
    writeRun(run);
    ProjectDatabase database(project.databaseFile());
    EXPECT_EQ(database.importRun(run), 22);
    const std::string first = snapshot(database);
    EXPECT_EQ(database.importRun(run), 0);
    EXPECT_EQ(snapshot(database), first);

    const auto row = database.run(run.id());
    ASSERT_TRUE(row);
    EXPECT_EQ(row->stage, "placement");
    EXPECT_EQ(row->exitCode, 0);
    EXPECT_EQ(row->currentStage, "heatmap");
    EXPECT_EQ(row->done, 4);
    EXPECT_EQ(row->device, "cpu");
    const auto loss = database.metrics(run.id(), "loss");
    ASSERT_EQ(loss.size(), 10u);
    EXPECT_TRUE(std::isnan(loss[4].value));
    EXPECT_EQ(loss[9].value, 0.1);
    EXPECT_EQ(database.metrics(run.id(), "loss", 8).size(), 2u);
    EXPECT_EQ(database.candidates(run.id()).size(), 5u);
    const auto beam = database.candidates(run.id(), "beam");
    ASSERT_EQ(beam.size(), 1u);
    EXPECT_EQ(beam[0].candidate.scores.at("retrieval").at("accuracy"), 0.9);
    EXPECT_EQ(beam[0].candidate.placement[2], "attention");
    EXPECT_FALSE(beam[0].candidate.cost.decodeTokensPerSecond);
    EXPECT_EQ(database.heatmap(run.id()).size(), 8u);
    EXPECT_EQ(database.events(run.id()).size(), 5u);
}

TEST_F(ProjectDatabaseTest, AGrowingRunIsFollowedWithATornLine)
{
    writeRun(run, false);
    const std::string whole = readFile(run.eventsFile());
    ProjectDatabase database(project.databaseFile());
    std::int64_t imported = 0;
    for (std::size_t size = 0; size < whole.size(); size += 97) {
        writeFile(run.eventsFile(), whole.substr(0, size));
        imported += database.importRun(run);
    }
    writeFile(run.eventsFile(), whole);
    imported += database.importRun(run);
    EXPECT_EQ(imported, 21);
    EXPECT_EQ(database.run(run.id())->badLines, 0);
    EXPECT_FALSE(database.run(run.id())->exitCode);
    ProjectDatabase fresh(folder / "fresh.db");
    fresh.importRun(run);
    EXPECT_EQ(snapshot(fresh), snapshot(database));
}

TEST_F(ProjectDatabaseTest, ResumedRunsReplaceWhatTheyDoAgain)
{
    {
        EventWriter writer(run.eventsFile());
        writer.write(Metric {"loss", 1, 1});
        writer.write(Metric {"loss", 0.9, 2});
        writer.write(makeCandidate(1, 0.2));
    }
    ProjectDatabase database(project.databaseFile());
    database.importRun(run);
    {
        EventWriter writer(run.eventsFile());
        writer.write(Metric {"loss", 0.8, 2});
        Candidate again = makeCandidate(1, 0.3);
        again.origin = "beam"; // the search came by the same placement: it stays the heatmap's cell
        writer.write(again);
    }
    EXPECT_EQ(database.importRun(run), 2);
    EXPECT_EQ(database.metrics(run.id(), "loss").back().value, 0.8);
    ASSERT_EQ(database.candidates(run.id()).size(), 1u);
    EXPECT_EQ(database.candidates(run.id())[0].candidate.scores["retrieval"]["accuracy"], 0.3);
    EXPECT_EQ(database.heatmap(run.id()).size(), 2u);
}

TEST_F(ProjectDatabaseTest, GarbageInTheLogIsCountedOnce)
{
    writeRun(run, false);
    writeFile(run.eventsFile(), "garbage\n" + readFile(run.eventsFile()) + "{}\n");
    ProjectDatabase database(project.databaseFile());
    EXPECT_EQ(database.importRun(run), 21);
    database.importRun(run);
    EXPECT_EQ(database.run(run.id())->badLines, 2);
}

TEST_F(ProjectDatabaseTest, AReplacedLogIsImportedAnew)
{
    writeRun(run);
    ProjectDatabase database(project.databaseFile());
    database.importRun(run);
    database.setRunNote(run.id(), "mine");
    writeFile(run.eventsFile(), "");
    {
        EventWriter writer(run.eventsFile());
        writer.write(Metric {"other", 1, 1});
    }
    EXPECT_EQ(database.importRun(run), 1);
    EXPECT_EQ(database.metricNames(run.id()), std::vector<std::string> {"other"});
    EXPECT_TRUE(database.candidates(run.id()).empty());
    EXPECT_EQ(database.run(run.id())->note, "mine");
}

TEST_F(ProjectDatabaseTest, RebuildGivesTheSame)
{
    writeRun(run);
    const RunFolder second = project.newRun("pretrain", Json {{"stage", "pretrain"}});
    writeRun(second, false);
    const auto database = ProjectDatabase::openFor(project);
    EXPECT_TRUE(database->notice().empty());
    database->setRunNote(second.id(), "a note");
    const std::string before = snapshot(*database);
    EXPECT_TRUE(database->rebuild(project).empty());
    EXPECT_EQ(snapshot(*database), before);
    fs::remove_all(second.path());
    writeFile(project.runsFolder() / "zz-broken" / "spec.json", "{");
    EXPECT_EQ(database->rebuild(project).size(), 1u);
    EXPECT_EQ(database->runs().size(), 1u);
    database->removeRun(run.id());
    EXPECT_TRUE(database->runs().empty());
    EXPECT_TRUE(database->metrics(run.id(), "loss").empty());
}

TEST_F(ProjectDatabaseTest, ADamagedFileIsMovedAsideAndRebuilt)
{
    writeRun(run);
    std::string before;
    {
        const auto database = ProjectDatabase::openFor(project);
        const auto id = database->addConversation("kept", Json {{"models", {"a", "b"}}});
        database->addMessage({0, id, -1, "user", "hello", "", "", Json::object()});
        database->setSetting("layout", "wide");
        before = snapshot(*database);
    }
    // Overwrite a page in the middle: the header stays readable.
    std::string bytes = readFile(project.databaseFile());
    ASSERT_GT(bytes.size(), 5 * 4096u);
    const std::size_t runsPage = bytes.find("device TEXT");
    ASSERT_NE(runsPage, std::string::npos);
    for (const bool everything : {false, true}) {
        std::string damaged = bytes;
        if (everything)
            std::fill(damaged.begin(), damaged.end(), 'x');
        else
            std::fill(damaged.begin() + 4096, damaged.begin() + 2 * 4096, '\xA5');
        writeFile(project.databaseFile(), damaged);
        const auto database = ProjectDatabase::openFor(project);
        EXPECT_THAT(database->notice(), testing::HasSubstr("damaged"));
        EXPECT_EQ(snapshot(*database), before);
        if (!everything) {
            ASSERT_EQ(database->conversations().size(), 1u);
            EXPECT_EQ(database->messages(database->conversations()[0].id).at(0).text, "hello");
            EXPECT_EQ(database->setting("layout"), "wide");
        }
    }
    int aside = 0;
    for (const auto& entry : fs::directory_iterator(project.path()))
        aside += entry.path().filename().string().find(".corrupt-") != std::string::npos ? 1 : 0;
    EXPECT_EQ(aside, 2);
}

TEST_F(ProjectDatabaseTest, ANewerFileIsLeftAlone)
{
    {
        ProjectDatabase database(project.databaseFile());
        database.connection().execute("PRAGMA user_version = 999");
    }
    const std::string bytes = readFile(project.databaseFile());
    EXPECT_THROW(ProjectDatabase database(project.databaseFile()), Error);
    EXPECT_EQ(readFile(project.databaseFile()), bytes);
}

TEST_F(ProjectDatabaseTest, ChatsBenchmarksAndSettingsAreKept)
{
    {
        ProjectDatabase database(project.databaseFile());
        const auto id = database.addConversation("T'); DROP TABLE messages;--", Json {{"temperature", 0.7}});
        const auto other = database.addConversation("other", Json::object());
        database.addMessage({0, id, -1, "user", "<script>", "", "", Json::object()});
        database.addMessage({0, id, 0, "assistant", "a\xF0\x9F\x98\x80", "teacher", "", Json {{"tokens_per_second", 12.5}}});
        EXPECT_THROW(database.addMessage({0, 12345, 0, "user", "nowhere", "", "", Json::object()}), Error);
        database.removeConversation(other);
        database.addBenchmark({0, "", "throughput", "/m", Json {{"decode", 3}}});
        database.setSetting("window", Json {{"width", 800}});
        database.setSetting("window", Json {{"width", 900}});
    }
    ProjectDatabase database(project.databaseFile());
    ASSERT_EQ(database.conversations().size(), 1u);
    const auto messages = database.messages(database.conversations()[0].id);
    ASSERT_EQ(messages.size(), 2u);
    EXPECT_EQ(messages[0].column, -1);
    EXPECT_EQ(messages[1].text, "a\xF0\x9F\x98\x80");
    EXPECT_EQ(messages[1].values["tokens_per_second"], 12.5);
    EXPECT_EQ(database.benchmarks("throughput").at(0).values["decode"], 3);
    EXPECT_TRUE(database.benchmarks("kernels").empty());
    EXPECT_EQ(database.setting("window")["width"], 900);
    EXPECT_EQ(database.setting("absent", 5), 5);
    database.removeSetting("window");
    EXPECT_TRUE(database.setting("window").is_null());
}

} // namespace
} // namespace postnas
