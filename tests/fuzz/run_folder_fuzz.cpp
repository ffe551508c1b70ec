// Fuzz target: any bytes as the files of a project with one run: what cannot be read is said, and everything else is reported.
#include "core/project/project.h"
#include "core/report/run_report.h"
#include "tests/fuzz/fuzz.h"

using namespace postnas;

namespace {

const std::vector<std::string> kFiles {"project.json",
                                       "runs/r/spec.json",
                                       "runs/r/exit.json",
                                       "runs/r/artifacts/results.json",
                                       "runs/r/events.jsonl",
                                       "runs/r/checkpoints/step-7/MANIFEST.json",
                                       "runs/r/checkpoints/step-7/state.json"};

} // namespace

std::vector<std::string> fuzzSeeds()
{
    const test::TemporaryFolder folder;
    const std::filesystem::path checkpoint = folder / "step-7";
    test::writeFile(checkpoint / "state.json", R"({"step": 7})");
    writeManifest(checkpoint);
    return {fuzz::joined({R"({"format": 1, "name": "p", "created": "2026-01-01T00:00:00.000Z", "teacher": "../m", "settings": {"a": 1}, "provenance": {}})",
                          R"({"stage": "placement", "seed": 1})", R"({"code": 0, "reason": "done", "resumable": false, "time": "2026"})",
                          R"({"comparison": [{"task": "t", "items": 3, "found": 0.5, "uniform_best": null, "rank": {"rank": 1, "of": 6}}]})",
                          R"({"v":1,"seq":1,"t":"2026","event":"hello","device":"cpu"})" "\n"
                          R"({"v":1,"seq":2,"t":"2026","event":"candidate","id":"a","placement":["attention","<b>"],"scores":{"t":{"accuracy":0.5}},"layer":0})" "\n"
                          R"({"v":1,"seq":3,"t":"2026","event":"metric","name":"loss","value":1e300,"step":1})" "\n"
                          R"({"v":1,"seq":4,"t":"2026","event":"warning","message":"slow"})" "\n",
                          test::readFile(checkpoint / "MANIFEST.json"), R"({"step": 7})"})};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    static const test::TemporaryFolder folder;
    const std::vector<std::string_view> files = fuzz::cut(data, size, kFiles.size());
    for (std::size_t i = 0; i < kFiles.size(); ++i)
        fuzz::put(folder.path() / kFiles[i], files[i]);
    fuzz::accepted([&] {
        const Project project = Project::open(folder.path());
        project.teacher();
        fuzz::require(project.runs().size() <= 1);
    });
    fuzz::accepted([&] {
        const RunFolder run = RunFolder::open(folder.path() / "runs" / "r");
        std::vector<std::string> problems;
        const auto newest = run.newestCheckpoint(&problems);
        const auto all = run.checkpoints();
        fuzz::require(!newest || (all.size() == 1 && all[0].folder == newest->folder && newest->step == 7));
        run.readExit();
        run.stage();
    });
    fuzz::accepted([&] {
        const Report report = collectReport(folder.path());
        for (const ReportFormat format : {ReportFormat::Csv, ReportFormat::Markdown, ReportFormat::Html, ReportFormat::JsonText})
            renderReport(report, format);
    });
    return 0;
}
