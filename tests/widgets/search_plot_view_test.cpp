// The search plot with real clicks and keys; Pareto membership; table, filter and CSV.
#include <gtest/gtest.h>

#include <QCheckBox>
#include <QComboBox>
#include <QLineEdit>
#include <QSignalSpy>
#include <QTableView>
#include <QTest>
#include <QToolTip>

#include "core/base/error.h"
#include "tests/support/support.h"
#include "widgets/plots/pareto_marks.h"
#include "widgets/plots/search_plot_view.h"
#include "widgets/plots/search_scatter.h"

namespace postnas {
namespace {

event::Candidate candidate(const std::string& id, const std::string& origin, std::vector<std::string> placement, double a, double b,
                           std::int64_t bytes, std::optional<double> speed)
{
    event::Candidate c;
    c.id = id;
    c.origin = origin;
    c.placement = std::move(placement);
    c.scores["facts"] = {{"accuracy", a}, {"negative_loss", a - 1}};
    c.scores["sums"] = {{"accuracy", b}};
    c.cost.stateBytes = bytes;
    c.cost.parameters = 1000;
    c.cost.decodeTokensPerSecond = speed;
    return c;
}

std::vector<event::Candidate> sample()
{
    constexpr std::int64_t mib = 1 << 20;
    return {
        candidate("t", "teacher", {"attention", "attention"}, 1.0, 0.9, 4 * mib, 100.0),
        candidate("n", "linear", {"gla", "gla"}, 0.25, 0.25, 1 * mib, 300.0),
        candidate("b", "beam", {"attention", "gla"}, 0.75, 0.75, 2 * mib, 200.0),
        candidate("u", "uniform", {"gla", "attention"}, 0.5, 0.25, 2 * mib, 210.0),
    };
}

void showView(SearchPlotView& view)
{
    view.resize(1100, 520);
    view.show();
    ASSERT_TRUE(QTest::qWaitForWindowExposed(&view));
    view.scatter()->replot();
}

TEST(ParetoMarks, KeepsWhatNothingBeats)
{
    const double nan = std::numeric_limits<double>::quiet_NaN();
    //                       dominated  best   equal twice  beaten at its x   unknown
    const QVector<double> x {3, 1, 2, 2, 2, 0};
    const QVector<double> y {0.5, 0.6, 0.8, 0.8, 0.7, nan};
    EXPECT_EQ(paretoMarks(x, y, false), (QVector<bool> {false, true, true, true, false, false}));
    EXPECT_EQ(paretoMarks(x, y, true), (QVector<bool> {true, false, true, true, false, false}));
    EXPECT_TRUE(paretoMarks({}, {}, true).isEmpty());
}

TEST(ParetoMarks, AgreesWithTheDefinitionOnRandomPoints)
{
    unsigned state = 7;
    const auto next = [&] { return static_cast<double>((state = state * 1664525u + 1013904223u) >> 28); };
    for (int round = 0; round < 200; ++round) {
        QVector<double> x, y;
        for (int i = 0; i < 12; ++i) {
            x += next();
            y += next();
        }
        const QVector<bool> marks = paretoMarks(x, y, true);
        for (int i = 0; i < x.size(); ++i) {
            bool beaten = false;
            for (int j = 0; j < x.size(); ++j)
                beaten = beaten || (x[j] >= x[i] && y[j] >= y[i] && (x[j] > x[i] || y[j] > y[i]));
            ASSERT_EQ(marks[i], !beaten);
        }
    }
}

TEST(SearchPlotView, ClickOnAPointOpensItsPlacementAndSelectsItsRow)
{
    SearchPlotView view;
    view.setCandidates(sample());
    showView(view);
    QSignalSpy spy(&view, &SearchPlotView::placementActivated);
    QTest::mouseClick(view.scatter(), Qt::LeftButton, {}, view.scatter()->pixelOf(2).toPoint());
    ASSERT_EQ(spy.count(), 1);
    EXPECT_EQ(spy.at(0).at(0).toStringList(), (QStringList {"attention", "gla"}));
    EXPECT_EQ(view.selectedRow(), 2);
    EXPECT_EQ(view.table()->currentIndex().siblingAtColumn(0).data().toString(), QStringLiteral("Beam search"));
    // Far from every point nothing happens.
    QTest::mouseClick(view.scatter(), Qt::LeftButton, {}, (view.scatter()->pixelOf(2) + QPointF(60, 0)).toPoint());
    EXPECT_EQ(spy.count(), 1);
}

TEST(SearchPlotView, TableSelectsInThePlotAndOpensWithReturn)
{
    SearchPlotView view;
    view.setCandidates(sample());
    showView(view);
    QSignalSpy spy(&view, &SearchPlotView::placementActivated);
    view.table()->setFocus();
    for (int row = 0; row < view.table()->model()->rowCount(); ++row) {
        if (view.table()->model()->index(row, 0).data() == QStringLiteral("Uniform"))
            view.table()->selectRow(row);
    }
    EXPECT_EQ(view.selectedRow(), 3);
    EXPECT_EQ(spy.count(), 0); // selecting is not opening
    QTest::keyClick(view.table(), Qt::Key_Return);
    ASSERT_EQ(spy.count(), 1);
    EXPECT_EQ(spy.at(0).at(0).toStringList(), (QStringList {"gla", "attention"}));
}

TEST(SearchPlotView, KeysWalkThePoints)
{
    SearchPlotView view;
    view.setCandidates(sample());
    view.setXAxis(SearchPlotView::Axis::DecodeThroughput);
    showView(view);
    QSignalSpy spy(&view, &SearchPlotView::placementActivated);
    view.scatter()->setFocus();
    const int order[] = {0, 2, 3, 1}; // slowest first
    for (const int row : order) {
        QTest::keyClick(view.scatter(), Qt::Key_Right);
        EXPECT_EQ(view.selectedRow(), row);
    }
    QTest::keyClick(view.scatter(), Qt::Key_Space);
    ASSERT_EQ(spy.count(), 1);
    EXPECT_EQ(spy.at(0).at(0).toStringList(), (QStringList {"gla", "gla"}));
}

TEST(SearchPlotView, ParetoFollowsAxesAndTask)
{
    SearchPlotView view;
    view.setCandidates(sample());
    const auto front = [&] {
        QString marks;
        for (int row = 0; row < 4; ++row)
            marks += view.model()->isPareto(row) ? QLatin1Char('x') : QLatin1Char('-');
        return marks.toStdString();
    };
    view.setXAxis(SearchPlotView::Axis::StateSize);
    EXPECT_EQ(front(), "xxx-"); // uniform needs as much state as beam and scores less
    view.setXAxis(SearchPlotView::Axis::DecodeThroughput);
    EXPECT_EQ(front(), "xxxx"); // but it is faster
    view.setTask(QStringLiteral("sums"));
    EXPECT_EQ(front(), "xxx-"); // on sums it equals the faster linear one
    const auto boxes = view.findChildren<QCheckBox*>();
    ASSERT_EQ(boxes.size(), 1);
    QTest::mouseClick(boxes[0], Qt::LeftButton, {}, QPoint(8, boxes[0]->height() / 2));
    EXPECT_EQ(view.table()->model()->rowCount(), 3);
}

TEST(SearchPlotView, HoverShowsPlacementAndNumbers)
{
    SearchPlotView view;
    view.setCandidates(sample());
    showView(view);
    QTest::mouseMove(view.scatter(), view.scatter()->pixelOf(0).toPoint());
    ASSERT_TRUE(QTest::qWaitFor([&] { return QToolTip::text().contains(QStringLiteral("Teacher")); }, 3000));
    EXPECT_TRUE(QToolTip::text().contains(QStringLiteral("4.000 MiB")));
    EXPECT_TRUE(QToolTip::text().contains(QStringLiteral("100.0 tokens/s")));
    EXPECT_EQ(view.scatter()->legendTexts(),
              (QStringList {"Pareto front", "All linear", "Uniform", "Beam search", "Teacher"}));
}

TEST(SearchPlotView, CsvIsExactAndFilterNarrowsIt)
{
    SearchPlotView view;
    view.setCandidates(sample());
    view.findChild<QLineEdit*>()->setText(QStringLiteral("beam"));
    EXPECT_EQ(view.toCsv().toStdString(),
              "Origin,Placement,Full layers,facts,sums,Mean,Tokens/s,State (MiB),Parameters,Searched for,Pareto,Id\n"
              "Beam search,attention gla,1,0.75,0.75,0.75,200,2,1000,,front,b\n");
    view.findChild<QLineEdit*>()->clear();
    EXPECT_EQ(view.table()->model()->rowCount(), 4);
}

TEST(SearchPlotView, LiveCandidatesReplaceById)
{
    SearchPlotView view;
    for (const auto& c : sample())
        view.addCandidate(c);
    event::Candidate again = sample()[3];
    again.scores["new task"] = {{"accuracy", 1.0}};
    again.scores["facts"]["accuracy"] = 0.99;
    view.addCandidate(again);
    EXPECT_EQ(view.model()->rowCount(), 4);
    EXPECT_EQ(view.model()->tasks(), (QStringList {"facts", "sums", "new task"}));
    EXPECT_EQ(view.model()->score(3, QStringLiteral("facts")), 0.99);
    EXPECT_TRUE(std::isnan(view.model()->score(0, QString()))) << "a mean without one of its tasks would mislead";
    view.setTask(QStringLiteral("facts"));
    ASSERT_TRUE(QTest::qWaitFor([&] { return view.scatter()->points().size() == 4; }, 3000));
    EXPECT_DOUBLE_EQ(view.scatter()->points()[3].y, 0.99);
}

TEST(SearchPlotView, PlacementsThatComeLiveAreListedInTheOrderOfTheHeader)
{
    SearchPlotView view;
    view.addCandidates(sample());
    const QAbstractItemModel& rows = *view.table()->model();
    QStringList origins;
    for (int row = 0; row < rows.rowCount(); ++row)
        origins += rows.index(row, 0).data().toString();
    QStringList sorted = origins;
    sorted.sort();
    EXPECT_EQ(origins.size(), 4);
    EXPECT_EQ(origins, sorted);
}

TEST(SearchPlotView, EveryNameOfTheLegendHasItsRoom)
{
    SearchPlotView view;
    auto candidates = sample();
    for (const char* origin : {"exhaustive", "heatmap", "found", "sliding_window"})
        candidates.push_back(candidate(origin, origin, {"attention", "gla"}, 0.5, 0.5, 1 << 20, 100.0));
    view.setCandidates(candidates);
    showView(view);
    for (const int width : {1100, 700, 1600}) {
        view.resize(width, 560);
        QTest::qWait(50);
        view.scatter()->replot();
        const QCPLegend* legend = view.scatter()->legend;
        EXPECT_EQ(view.scatter()->legendTexts().size(), 9); // eight origins and the front
        for (int i = 0; i < legend->itemCount(); ++i) {
            const QCPAbstractLegendItem* item = legend->item(i);
            if (item == nullptr)
                continue; // a cell without a name
            EXPECT_GE(item->outerRect().width(), item->minimumOuterSizeHint().width()) << width;
            EXPECT_TRUE(view.scatter()->rect().contains(item->outerRect())) << width;
        }
    }
}

TEST(SearchPlotView, SaysWhenThroughputWasNotMeasured)
{
    SearchPlotView view;
    auto candidates = sample();
    for (auto& c : candidates)
        c.cost.decodeTokensPerSecond.reset();
    view.setCandidates(candidates);
    view.setXAxis(SearchPlotView::Axis::DecodeThroughput);
    EXPECT_TRUE(view.scatter()->points().isEmpty());
    view.setXAxis(SearchPlotView::Axis::StateSize);
    EXPECT_EQ(view.scatter()->points().size(), 4);
}

TEST(SearchPlotView, ExportsPictures)
{
    const test::TemporaryFolder folder;
    SearchPlotView view;
    view.setCandidates(sample());
    view.exportTo(QString::fromStdString((folder / "s.svg").string()));
    const std::string svg = test::readFile(folder / "s.svg");
    EXPECT_NE(svg.find("Beam search"), std::string::npos);
    view.exportTo(QString::fromStdString((folder / "s.png").string()));
    EXPECT_EQ(test::readFile(folder / "s.png").substr(1, 3), "PNG");
    EXPECT_THROW(view.exportTo(QString::fromStdString((folder / "s.gif").string())), Error);
}

} // namespace
} // namespace postnas
