// The window's services against the real `postnas`; skipped where it or the quick-start model is not there.
#include <csignal>

#include <QAction>
#include <QPlainTextEdit>
#include <QSignalSpy>
#include <QTest>

#include <gtest/gtest.h>

#include "app/workbench/main_window.h"
#include "core/jobs/job_spec.h"
#include "core/jobs/run_folder.h"
#include "tests/widgets/widget_test.h"
#include "widgets/chat/chat_view.h"
#include "widgets/heatmap/heatmap_view.h"
#include "widgets/jobs/run_page.h"
#include "widgets/plots/search_plot_view.h"
#include "widgets/services/convert.h"
#include "widgets/services/event_tail.h"
#include "widgets/services/job_launcher.h"
#include "widgets/services/sample_projects.h"
#include "widgets/services/worker_client.h"

namespace postnas {
namespace {

constexpr int kPatience = 250000;

QString realProgram()
{
    const auto program = test::programFolder() / "postnas";
    return std::filesystem::exists(program) ? toQString(program) : QString();
}

TEST(RealWorkerTest, LoadsInspectsReportsErrorsAndSurvivesAKill)
{
    if (realProgram().isEmpty())
        GTEST_SKIP() << "postnas was not built";
    WorkerClient client;
    client.setProgram(realProgram());
    std::map<QString, Json> results;
    std::map<QString, Problem> failures;
    QObject::connect(&client, &WorkerClient::finished, &client, [&](const QString& id, const Json& values) { results[id] = values; });
    QObject::connect(&client, &WorkerClient::failed, &client, [&](const QString& id, const Problem& problem) { failures[id] = problem; });
    const auto answered = [&](const QString& id) {
        return test::waitUntil([&] { return results.count(id) + failures.count(id) > 0; }, kPatience);
    };
    const QString model = toQString(test::testData("qwen2-tiny"));
    const QString load = client.load(model, QStringLiteral("cpu"), QStringLiteral("float32"));
    ASSERT_TRUE(answered(load));
    ASSERT_EQ(results.count(load), 1u) << toStd(failures[load].text());
    EXPECT_GT(results[load]["parameters"].get<qint64>(), 0);
    const QString inspect = client.inspect(model, 65536);
    ASSERT_TRUE(answered(inspect));
    EXPECT_EQ(results[inspect]["parameters"], results[load]["parameters"]);
    const QString missing = client.load(QStringLiteral("/nowhere/model"));
    ASSERT_TRUE(answered(missing));
    EXPECT_TRUE(failures[missing].message.contains(QStringLiteral("/nowhere/model")));
    QSignalSpy crashed(&client, &WorkerClient::crashed);
    ASSERT_EQ(::kill(static_cast<pid_t>(client.processId()), SIGKILL), 0);
    ASSERT_TRUE(test::waitUntil([&] { return crashed.count() == 1; }, kPatience));
    const QString again = client.load(model, QStringLiteral("cpu"), QStringLiteral("float32"));
    ASSERT_TRUE(answered(again));
    EXPECT_EQ(results.count(again), 1u);
}

TEST(RealWorkerTest, AShortPlacementRunStopsAndResumes)
{
    if (realProgram().isEmpty())
        GTEST_SKIP() << "postnas was not built";
    const QString specFile = quickStartSpec(QStringLiteral("placement"));
    if (specFile.isEmpty() || quickStartModel().isEmpty())
        GTEST_SKIP() << "the quick-start model is not there";
    JobSpec job = readJobSpec(toPath(specFile));
    auto& spec = std::get<PlacementSpec>(job.body);
    spec.training.steps = 100000; // stopped long before
    spec.training.warmupSteps = 1;
    spec.itemLimit = 2;
    spec.reportItems = 0;
    spec.threads = 1;
    const test::TemporaryFolder folder;
    JobLauncher launcher(RunFolder::create(folder / "run", toJson(job)));
    launcher.setProgram(realProgram());
    EventTail tail;
    int losses = 0;
    QObject::connect(&tail, &EventTail::events, &tail, [&](const EventBatch& batch) {
        for (const Event& event : *batch)
            losses += std::holds_alternative<event::Metric>(event.body) ? 1 : 0;
    });
    tail.follow(launcher.run());
    for (int round = 0; round < 2; ++round) {
        const int before = losses;
        launcher.start();
        ASSERT_TRUE(test::waitUntil([&] { return losses > before || launcher.state() == RunState::Failed; }, kPatience));
        ASSERT_EQ(launcher.state(), RunState::Running) << toStd(launcher.status().sentence());
        launcher.stop();
        ASSERT_TRUE(test::waitUntil([&] { return !launcher.status().isActive(); }, kPatience));
        EXPECT_EQ(launcher.state(), RunState::Interrupted) << toStd(launcher.status().sentence());
        EXPECT_TRUE(launcher.status().resumable);
    }
}

TEST(RealWorkerTest, TheWholeLoopInTheWindow)
{
    if (realProgram().isEmpty())
        GTEST_SKIP() << "postnas was not built";
    const QString specFile = quickStartSpec(QStringLiteral("placement"));
    const QString model = quickStartModel();
    if (specFile.isEmpty() || model.isEmpty())
        GTEST_SKIP() << "the quick-start model is not there";
    qputenv("POSTNAS_PROGRAM", realProgram().toLocal8Bit());
    const test::TemporaryFolder folder;
    MainWindow window;
    window.show();
    ASSERT_TRUE(QTest::qWaitForWindowExposed(&window));
    window.createProject(toQString(folder / "project"), model);
    ASSERT_TRUE(test::waitUntil([&] { return window.isSettled() && window.document().layerCount() > 0; }, kPatience));
    JobSpec job = readJobSpec(toPath(specFile));
    auto& spec = std::get<PlacementSpec>(job.body);
    spec.training.steps = 3;
    spec.training.warmupSteps = 1;
    spec.training.batchSize = 2;
    spec.itemLimit = 2;
    spec.reportItems = 0;
    spec.threads = 1;
    spec.fullLayers = 1;
    spec.beamWidth = 1;
    spec.exhaustive = ExhaustiveChoice::Never;
    window.startSearch(toJson(job));
    JobLauncher* launcher = window.runPage()->launcher();
    ASSERT_NE(launcher, nullptr);
    ASSERT_TRUE(test::waitUntil([&] { return launcher->state() == RunState::Finished || launcher->state() == RunState::Failed; }, kPatience));
    ASSERT_EQ(launcher->state(), RunState::Finished) << toStd(launcher->status().sentence());
    ASSERT_TRUE(test::waitUntil([&] { return window.searchView()->model()->rowCount() > window.document().layerCount(); }));
    EXPECT_EQ(window.heatmapView()->data().layers, window.document().layerCount());
    EXPECT_EQ(window.heatmapView()->data().tasks.size(), static_cast<qsizetype>(spec.tasks.size()));
    // The hybrid beside its teacher.
    QAction* compare = nullptr;
    for (QAction* action : window.actions())
        if (action->iconText() == QStringLiteral("Compare in chat"))
            compare = action;
    ASSERT_NE(compare, nullptr);
    ASSERT_TRUE(test::waitUntil([&] { return compare->isEnabled(); }));
    compare->trigger();
    ChatView* chat = window.chatView();
    EXPECT_EQ(chat->model(0), model);
    EXPECT_TRUE(chat->model(1).endsWith(QStringLiteral("/artifacts/hybrid")));
    chat->input()->setPlainText(QStringLiteral("Hello"));
    chat->send();
    ASSERT_TRUE(test::waitUntil([&] { return !chat->isBusy(); }, kPatience));
    EXPECT_TRUE(chat->conversationText().contains(QStringLiteral("Hello")));
    EXPECT_FALSE(chat->conversationText().contains(QStringLiteral("could not"))) << toStd(chat->conversationText());
    qunsetenv("POSTNAS_PROGRAM");
}

} // namespace
} // namespace postnas
