// The main window from outside: opening, dropping, running, restoring, and what a person reads when something is wrong.
#include <csignal>

#include <QAbstractItemModel>
#include <QApplication>
#include <QDragEnterEvent>
#include <QDropEvent>
#include <QMessageBox>
#include <QTimer>
#include <QMimeData>
#include <QProgressBar>
#include <QPushButton>
#include <QTabWidget>
#include <QTest>
#include <QTreeView>

#include <gtest/gtest.h>

#include "app/workbench/main_window.h"
#include "core/project/project.h"
#include "tests/widgets/widget_test.h"
#include "widgets/architecture_editor/placement_board.h"
#include "widgets/architecture_editor/placement_editor.h"
#include "widgets/architecture_editor/summary_bar.h"
#include "widgets/chat/chat_column.h"
#include "widgets/chat/chat_view.h"
#include "widgets/checkpoint/checkpoint_page.h"
#include "widgets/heatmap/heatmap_view.h"
#include "widgets/jobs/log_view.h"
#include "widgets/jobs/run_page.h"
#include "widgets/plots/line_plot.h"
#include "widgets/plots/search_plot_view.h"
#include "widgets/services/convert.h"

namespace postnas {
namespace {

namespace fs = std::filesystem;

class MainWindowTest : public ::testing::Test {
protected:
    void SetUp() override
    {
        qputenv("POSTNAS_PROGRAM", test::fakeWorker().toLocal8Bit());
        qunsetenv("FAKE_WORKER_MODE");
        model = folder / "model";
        fs::copy(test::testData("qwen2-tiny"), model);
        openWindow();
    }
    void TearDown() override
    {
        window.reset();
        qunsetenv("POSTNAS_PROGRAM");
    }
    void openWindow()
    {
        window = std::make_unique<MainWindow>();
        window->show();
        ASSERT_TRUE(QTest::qWaitForWindowExposed(window.get()));
    }
    bool settled()
    {
        return test::waitUntil([&] { return window->isSettled(); });
    }
    void makeProject()
    {
        window->createProject(toQString(folder / "project"), toQString(model));
        ASSERT_NE(window->session(), nullptr);
        ASSERT_TRUE(settled());
    }
    void startSearch(int steps) { window->startSearch(test::placementSpec(folder / "in", model, steps)); }
    RunPage* page() { return window->runPage(); }
    bool waitState(RunState state)
    {
        return test::waitUntil([&] { return page()->launcher() != nullptr && page()->launcher()->state() == state; });
    }
    void drop(const fs::path& path)
    {
        QMimeData data;
        data.setUrls({QUrl::fromLocalFile(toQString(path))});
        QDragEnterEvent enter(QPoint(50, 50), Qt::CopyAction, &data, Qt::LeftButton, Qt::NoModifier);
        QApplication::sendEvent(window.get(), &enter);
        ASSERT_TRUE(enter.isAccepted());
        QDropEvent event(QPointF(50, 50), Qt::CopyAction, &data, Qt::LeftButton, Qt::NoModifier);
        QApplication::sendEvent(window.get(), &event);
    }

    test::TemporaryFolder folder;
    fs::path model;
    std::unique_ptr<MainWindow> window;
};

TEST_F(MainWindowTest, ADroppedCheckpointIsShownWithItsNumbers)
{
    EXPECT_TRUE(window->isWelcome());
    drop(model);
    ASSERT_TRUE(settled());
    EXPECT_FALSE(window->isWelcome());
    EXPECT_EQ(window->currentPage(), MainWindow::Page::Checkpoint);
    const CheckpointPage* shown = window->checkpointPage();
    ASSERT_TRUE(shown->summary().has_value()) << toStd(shown->problemText());
    EXPECT_EQ(shown->valueOf(QStringLiteral("Type")), QStringLiteral("qwen2"));
    EXPECT_EQ(shown->valueOf(QStringLiteral("Layers")), QLocale().toString(shown->summary()->architecture.layerCount()));
    EXPECT_EQ(shown->valueOf(QStringLiteral("Parameters")), QLocale().toString(qint64(parameterCount(shown->summary()->architecture))));
    // The board has it too.
    EXPECT_EQ(window->document().layerCount(), shown->summary()->architecture.layerCount());
}

TEST_F(MainWindowTest, ABadCheckpointGetsASentenceAndTheWindowGoesOn)
{
    const fs::path bad = folder / "bad";
    fs::copy(model, bad);
    fs::resize_file(bad / "model.safetensors", fs::file_size(bad / "model.safetensors") / 2);
    drop(bad);
    ASSERT_TRUE(settled());
    EXPECT_TRUE(window->checkpointPage()->problemText().contains(QStringLiteral("model.safetensors")))
        << toStd(window->checkpointPage()->problemText());
    // A config that is no JSON, and markup in a name, are text.
    const fs::path worse = folder / "<b>worse</b>";
    test::writeFile(worse / "config.json", "{\"model_type\": \"<img src=x>\", \"model_type\": 1}");
    drop(worse);
    ASSERT_TRUE(settled());
    EXPECT_TRUE(window->checkpointPage()->problemText().contains(QStringLiteral("model_type")));
    drop(model);
    ASSERT_TRUE(settled());
    EXPECT_TRUE(window->checkpointPage()->summary().has_value());
}

TEST_F(MainWindowTest, SomethingElseIsExplained)
{
    test::writeFile(folder / "stuff" / "notes.txt", "x");
    drop(folder / "stuff");
    auto* box = window->findChild<QMessageBox*>(QStringLiteral("problemBox"));
    ASSERT_NE(box, nullptr);
    EXPECT_TRUE(box->text().contains(QStringLiteral("neither a project nor a checkpoint")));
    EXPECT_EQ(box->textFormat(), Qt::PlainText);
    box->close();
}

TEST_F(MainWindowTest, ASearchRunsAndFillsEveryPage)
{
    makeProject();
    startSearch(60);
    EXPECT_EQ(window->currentPage(), MainWindow::Page::Run);
    ASSERT_TRUE(waitState(RunState::Running));
    ASSERT_TRUE(test::waitUntil([&] { return page()->progressText().contains(QStringLiteral("steps")); }));
    ASSERT_TRUE(waitState(RunState::Finished));
    ASSERT_TRUE(test::waitUntil([&] { return page()->plot()->pointCount(QStringLiteral("loss")) == 60; }));
    EXPECT_TRUE(window->log()->toPlainText().contains(QStringLiteral("library noise")));
    ASSERT_TRUE(test::waitUntil([&] { return window->searchView()->model()->rowCount() == 4; }));
    EXPECT_EQ(window->heatmapView()->data().tasks.size(), 1);
    EXPECT_EQ(window->heatmapView()->data().layers, 4);
}

TEST_F(MainWindowTest, StopAndResumeByTheButtons)
{
    makeProject();
    startSearch(3000);
    ASSERT_TRUE(waitState(RunState::Running));
    ASSERT_TRUE(test::waitUntil([&] { return page()->stopButton()->isEnabled() && !page()->progressText().isEmpty(); }));
    EXPECT_FALSE(page()->resumeButton()->isEnabled());
    QTest::mouseClick(page()->stopButton(), Qt::LeftButton);
    ASSERT_TRUE(waitState(RunState::Interrupted));
    // What is done is still told; a speed and a time that is left are not.
    EXPECT_TRUE(page()->progressText().contains(QStringLiteral("of 3,000 steps"))) << toStd(page()->progressText());
    EXPECT_FALSE(page()->progressText().contains(QStringLiteral("/s"))) << toStd(page()->progressText());
    EXPECT_FALSE(page()->progressText().contains(QStringLiteral("left"))) << toStd(page()->progressText());
    EXPECT_TRUE(page()->resumeButton()->isEnabled());
    EXPECT_FALSE(page()->stopButton()->isEnabled());
    QTest::mouseClick(page()->resumeButton(), Qt::LeftButton);
    ASSERT_TRUE(waitState(RunState::Running));
    page()->launcher()->kill();
    ASSERT_TRUE(waitState(RunState::Interrupted));
}

TEST_F(MainWindowTest, AKilledWorkerIsToldAndTheWindowStaysUsable)
{
    makeProject();
    startSearch(3000);
    ASSERT_TRUE(waitState(RunState::Running));
    ASSERT_TRUE(test::waitUntil([&] { return !page()->progressText().isEmpty(); }));
    ASSERT_EQ(::kill(static_cast<pid_t>(page()->launcher()->processId()), SIGKILL), 0);
    ASSERT_TRUE(waitState(RunState::Interrupted));
    EXPECT_TRUE(page()->statusText().contains(QStringLiteral("SIGKILL"))) << toStd(page()->statusText());
    EXPECT_TRUE(page()->resumeButton()->isEnabled());
    // The board still answers to clicks and keys.
    window->showPage(MainWindow::Page::Placement);
    PlacementBoard* board = window->placementEditor()->board();
    QTest::mouseClick(board->viewport(), Qt::LeftButton, {}, board->visualRect(board->model()->index(0, 0)).center());
    QTest::keyClick(board, Qt::Key_J);
    EXPECT_EQ(window->document().layer(0).block, "jet");
}

TEST_F(MainWindowTest, AFailureShowsReasonAndHint)
{
    qputenv("FAKE_WORKER_MODE", "fail");
    makeProject();
    startSearch(50);
    ASSERT_TRUE(waitState(RunState::Failed));
    EXPECT_TRUE(page()->statusText().contains(QStringLiteral("line 7 is no JSON")));
    EXPECT_TRUE(page()->statusText().contains(QStringLiteral("Repair the line.")));
    EXPECT_FALSE(page()->resumeButton()->isEnabled());
    qunsetenv("FAKE_WORKER_MODE");
}

TEST_F(MainWindowTest, ACandidateOpensOnTheBoardAndALayerOfTheHeatmapIsFound)
{
    makeProject();
    window->document().setContext(4096);
    const int layers = window->document().layerCount();
    QStringList blocks(layers, QStringLiteral("gla"));
    blocks[0] = QStringLiteral("attention");
    startSearch(5);
    ASSERT_TRUE(waitState(RunState::Finished));
    Q_EMIT window->searchView()->placementActivated(blocks);
    EXPECT_EQ(window->currentPage(), MainWindow::Page::Placement);
    EXPECT_EQ(window->document().blocks(), blocks);
    EXPECT_EQ(window->document().undoStack()->count(), 1);
    Q_EMIT window->heatmapView()->layerActivated(1);
    EXPECT_EQ(window->placementEditor()->board()->selectedLayers(), (QVector<int> {1}));
}

TEST_F(MainWindowTest, AnotherCheckpointDoesNotReplaceAnEditedBoardUnasked)
{
    makeProject();
    window->document().setBlock({0}, QStringLiteral("gla"));
    const QStringList blocks = window->document().blocks();
    drop(test::testData("jet-tiny"));
    ASSERT_TRUE(settled());
    QPushButton* edit = nullptr;
    for (QPushButton* button : window->checkpointPage()->findChildren<QPushButton*>())
        if (button->text() == QStringLiteral("&Edit placement"))
            edit = button;
    ASSERT_NE(edit, nullptr);
    // The question runs its own loop of events: answer it from there.
    const auto answerWith = [](QMessageBox::StandardButton button, bool& asked) {
        QTimer::singleShot(0, qApp, [button, &asked] {
            if (auto* box = qobject_cast<QMessageBox*>(QApplication::activeModalWidget())) {
                asked = true;
                QTest::mouseClick(box->button(button), Qt::LeftButton);
            }
        });
    };
    bool asked = false;
    answerWith(QMessageBox::Cancel, asked);
    QTest::mouseClick(edit, Qt::LeftButton);
    EXPECT_TRUE(asked);
    EXPECT_EQ(window->document().blocks(), blocks);
    asked = false;
    answerWith(QMessageBox::Discard, asked);
    window->showPage(MainWindow::Page::Checkpoint);
    QTest::mouseClick(edit, Qt::LeftButton);
    EXPECT_TRUE(asked);
    EXPECT_TRUE(window->document().blocks().contains(QStringLiteral("jet")));
}

TEST_F(MainWindowTest, EverythingIsBackAtTheNextStart)
{
    makeProject();
    startSearch(30);
    ASSERT_TRUE(waitState(RunState::Finished));
    ASSERT_TRUE(test::waitUntil([&] { return window->searchView()->model()->rowCount() == 4; }));
    window->document().setBlock({0}, QStringLiteral("gla"));
    window->document().setContext(131072);
    const QStringList blocks = window->document().blocks();
    const QString state = window->placementEditor()->summary()->stateText();
    const QString run = toQString(page()->launcher()->run().id());
    window->showPage(MainWindow::Page::Placement);
    window->close();
    window.reset();

    openWindow();
    window->openProject(toQString(folder / "project"));
    ASSERT_TRUE(settled());
    ASSERT_TRUE(test::waitUntil([&] { return window->document().layerCount() > 0; }));
    EXPECT_EQ(window->currentPage(), MainWindow::Page::Placement);
    EXPECT_EQ(window->document().blocks(), blocks);
    EXPECT_EQ(window->document().context(), 131072);
    EXPECT_EQ(window->placementEditor()->summary()->stateText(), state);
    ASSERT_NE(page()->launcher(), nullptr);
    EXPECT_EQ(toQString(page()->launcher()->run().id()), run);
    EXPECT_EQ(page()->launcher()->state(), RunState::Finished);
    ASSERT_TRUE(test::waitUntil([&] { return page()->plot()->pointCount(QStringLiteral("loss")) == 30; }));
    ASSERT_TRUE(test::waitUntil([&] { return window->searchView()->model()->rowCount() == 4; }));
    EXPECT_EQ(window->heatmapView()->data().layers, 4);
}

TEST_F(MainWindowTest, ARunningJobIsFoundAgainByTheNextWindow)
{
    makeProject();
    startSearch(3000);
    ASSERT_TRUE(waitState(RunState::Running));
    ASSERT_TRUE(test::waitUntil([&] { return !page()->progressText().isEmpty(); }));
    const qint64 pid = page()->launcher()->processId();
    window->close();
    window.reset();
    EXPECT_EQ(::kill(static_cast<pid_t>(pid), 0), 0);
    openWindow();
    window->openProject(toQString(folder / "project"));
    ASSERT_TRUE(waitState(RunState::Running));
    EXPECT_EQ(page()->launcher()->processId(), pid);
    QTest::mouseClick(page()->stopButton(), Qt::LeftButton);
    ASSERT_TRUE(waitState(RunState::Interrupted));
}

TEST_F(MainWindowTest, ABrokenProjectIsExplained)
{
    test::writeFile(folder / "broken" / "project.json", "{");
    window->openPath(toQString(folder / "broken"));
    auto* box = window->findChild<QMessageBox*>(QStringLiteral("problemBox"));
    ASSERT_NE(box, nullptr);
    EXPECT_TRUE(box->text().contains(QStringLiteral("project.json")));
    EXPECT_TRUE(window->isWelcome());
}

TEST_F(MainWindowTest, TheTreeMarksWhatThePageIsAbout)
{
    makeProject();
    startSearch(5);
    ASSERT_TRUE(waitState(RunState::Finished));
    auto* tree = window->findChild<QTreeView*>(QStringLiteral("projectTree"));
    ASSERT_NE(tree, nullptr);
    window->showPage(MainWindow::Page::Checkpoint);
    EXPECT_TRUE(tree->currentIndex().data().toString().startsWith(QStringLiteral("Teacher"))) << toStd(tree->currentIndex().data().toString());
    for (const auto shown : {MainWindow::Page::Heatmap, MainWindow::Page::Search, MainWindow::Page::Run}) {
        window->showPage(MainWindow::Page::Checkpoint);
        window->showPage(shown);
        EXPECT_TRUE(tree->currentIndex().data().toString().startsWith(QStringLiteral("Placement search")));
    }
}

TEST_F(MainWindowTest, ASmallScreenHoldsTheWindow)
{
    // 1280 by 800 pixels at a scale of 1.5, less the window's frame and a panel.
    const QSize room(853, 500);
    makeProject();
    window->document().setBlock({0}, QStringLiteral("gated_delta_net"));
    window->document().setBlock({1}, QStringLiteral("jet"));
    window->document().setBlock({2}, QStringLiteral("gla"));
    window->placementEditor()->showLayer(1);
    ChatMessage answer;
    answer.content = QStringLiteral("an answer");
    answer.stats = {1234.5, 1000, 1000, qint64 {1} << 30};
    for (int side : {0, 1})
        window->chatView()->column(side)->setMessages({answer});
    auto* pages = window->findChild<QTabWidget*>(QStringLiteral("pages"));
    for (int i = 0; i < pages->count(); ++i) {
        pages->setCurrentIndex(i);
        QTest::qWait(20);
        const QSize page = pages->widget(i)->minimumSizeHint();
        EXPECT_LE(window->minimumSizeHint().width(), room.width()) << toStd(pages->tabText(i)) << " asks for " << page.width();
        EXPECT_LE(window->minimumSizeHint().height(), room.height()) << toStd(pages->tabText(i)) << " asks for " << page.height();
    }
}

TEST_F(MainWindowTest, PagesHaveNamesForScreenshots)
{
    for (const char* name : {"checkpoint", "placement", "run", "heatmap", "search", "chat"})
        EXPECT_TRUE(window->showPageNamed(QString::fromLatin1(name)));
    EXPECT_FALSE(window->showPageNamed(QStringLiteral("nowhere")));
}

} // namespace
} // namespace postnas
