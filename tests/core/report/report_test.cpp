// Reports: the numbers of a run in every format, and nothing in them that a spreadsheet or a browser would run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/base/error.h"
#include "core/jobs/event_writer.h"
#include "core/report/run_report.h"
#include "tests/support/support.h"

namespace postnas {
namespace {

using test::TemporaryFolder;
using test::writeFile;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

const std::string kHostile = "<script>alert(1)</script>|`x`[l](javascript:1)";

void fillRun(const RunFolder& run)
{
    EventWriter writer(run.eventsFile());
    writer.write(event::Hello {{}, "cpu", 1, "placement"});
    writer.write(event::Metric {"loss", 2, 1});
    writer.write(event::Metric {"loss", 0.5, 2});
    for (int layer = 0; layer < 3; ++layer) {
        event::Candidate c;
        c.id = "f" + std::to_string(layer);
        c.placement = {"gla", "gla", "gla"};
        c.placement[static_cast<std::size_t>(layer)] = "attention";
        c.scores = {{"retrieval", {{"accuracy", 0.25 * layer}}}, {kHostile, {{"accuracy", layer == 1 ? event::kUnknown : 1.0 / 3}}}};
        c.cost.stateBytes = 4096;
        c.origin = "heatmap";
        c.layer = layer;
        writer.write(c);
        if (layer == 2) {
            c.origin = "=HYPERLINK(\"http://x\",\"y\")";
            c.scores["retrieval"]["accuracy"] = 0.875;
            writer.write(c);
        }
    }
    writer.write(event::Warning {kHostile, ""});
    run.writeExit({0, "done", false, {}});
    writeFile(run.artifactsFolder() / "results.json",
              R"({"comparison": [{"task": "retrieval", "found": 0.96, "uniform_best": 0.5, "gain_over_best_uniform": 0.46,)"
              R"( "rank": {"rank": 1, "of": 28}}, 5]})");
}

struct ReportTest : testing::Test {
    TemporaryFolder folder;
    Project project = Project::create(folder / "p", "My " + kHostile);
    RunFolder run = project.newRun("placement", Json {{"stage", "placement"}});
    void SetUp() override { fillRun(run); }
};

TEST_F(ReportTest, TablesHoldTheNumbersOfTheRun)
{
    const auto tables = reportTables(collectReport(run.path()));
    std::vector<std::string> names;
    for (const Table& table : tables) {
        names.push_back(table.name);
        for (const auto& row : table.rows)
            EXPECT_EQ(row.size(), table.columns.size()) << table.name;
    }
    EXPECT_THAT(names, testing::ElementsAre("runs", "comparison", "heatmap", "candidates", "metrics"));
    EXPECT_EQ(tables[2].rows.size(), 3u);
    EXPECT_EQ(cellText(tables[2].rows[2][2]), "0.875") << "the latest scores of a placement";
    EXPECT_EQ(cellText(tables[2].rows[1][1]), "") << "unknown";
    EXPECT_EQ(tables[3].rows.size(), 3u);
    EXPECT_EQ(cellText(tables[4].rows[0][2]), "0.5");
    EXPECT_EQ(cellText(tables[1].rows.at(0).back()), "28");
}

TEST_F(ReportTest, CsvIsQuotedAndHasNoFormulas)
{
    const std::string csv = renderReport(collectReport(run.path()), ReportFormat::Csv);
    EXPECT_THAT(csv, HasSubstr("\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\""));
    EXPECT_THAT(csv, HasSubstr("\r\n"));
    EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 4);
    Table table {"t", "t", {"a", "b"}, {{std::string("-1+1"), -1.5}, {std::string("  @x"), std::int64_t {-3}}, {std::string("a\"b\nc"), 0.1}}, {}};
    EXPECT_EQ(csvTable(table), "a,b\r\n'-1+1,-1.5\r\n'  @x,-3\r\n\"a\"\"b\nc\",0.1\r\n");
    EXPECT_THAT(renderReport(collectReport(run.path()), ReportFormat::Csv, "heatmap"), testing::StartsWith("layer,"));
}

TEST_F(ReportTest, HtmlAndMarkdownCarryNoMarkupOfTheInput)
{
    const Report report = collectReport(project.path());
    const std::string html = renderReport(report, ReportFormat::Html);
    EXPECT_THAT(html, AllOf(Not(HasSubstr("<script")), HasSubstr("&lt;script&gt;"), Not(HasSubstr("src=")), Not(HasSubstr("href="))));
    EXPECT_THAT(html, AllOf(HasSubstr("0.875"), HasSubstr("Content-Security-Policy"), HasSubstr("background:#fde737")));
    const std::string markdown = renderReport(report, ReportFormat::Markdown);
    EXPECT_THAT(markdown, AllOf(Not(HasSubstr("<script")), Not(HasSubstr("](javascript")), HasSubstr("\\|")));
    EXPECT_EQ(escapeHtml("\x1b[31m\xE2\x80\xAE\"'"), "[31m&quot;&#39;");
}

TEST_F(ReportTest, JsonIsReadBack)
{
    project.newRun("pretrain", Json {{"stage", "pretrain"}});
    writeFile(project.runsFolder() / "zz" / "spec.json", "{");
    const Json json = parseJson(renderReport(collectReport(project.path()), ReportFormat::JsonText), "report");
    EXPECT_EQ(json["tables"]["runs"].size(), 3u);
    EXPECT_EQ(json["tables"]["heatmap"][2]["retrieval accuracy"], 0.875);
    EXPECT_EQ(json["tables"]["heatmap"][2]["run"], run.id());
    EXPECT_TRUE(json["tables"]["heatmap"][1][kHostile + " accuracy"].is_null());
    EXPECT_EQ(json["specs"][run.id()]["stage"], "placement");
    EXPECT_EQ(json["notes"].size(), 2u);
}

TEST_F(ReportTest, WrongRequestsAreErrors)
{
    EXPECT_EQ(reportFormat("a/b.HTML"), ReportFormat::Html);
    EXPECT_THROW(reportFormat("report.pdf"), Error);
    EXPECT_THROW(collectReport(folder / "nowhere"), Error);
    EXPECT_THROW(collectReport(folder.path()), Error);
    EXPECT_THROW(renderReport(collectReport(run.path()), ReportFormat::Csv, "none"), Error);
    writeFile(run.artifactsFolder() / "results.json", "{");
    EXPECT_EQ(collectReport(run.path()).runs[0].notes.size(), 2u);
}

TEST_F(ReportTest, ALogOfManyTasksDoesNotChooseTheNumberOfCells)
{
    Report report = collectReport(run.path());
    report.runs.at(0).candidates.clear();
    for (int i = 0; i < 2000; ++i) {
        event::Candidate c;
        c.id = std::to_string(i);
        c.scores["task" + c.id]["accuracy"] = 1;
        report.runs[0].candidates.push_back(c);
    }
    for (const Table& table : reportTables(report))
        EXPECT_LT(table.columns.size(), 300u) << table.name;
}

} // namespace
} // namespace postnas
