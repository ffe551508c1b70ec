// The heatmap with real clicks, keys and hover; its table, CSV, pictures, and its file's checks.
#include <gtest/gtest.h>

#include <QApplication>
#include <QFile>
#include <QHeaderView>
#include <QImage>
#include <QScrollBar>
#include <QSignalSpy>
#include <QTableView>
#include <QTest>
#include <QToolTip>

#include "core/base/error.h"
#include "tests/support/support.h"
#include "widgets/heatmap/heatmap_plot.h"
#include "widgets/heatmap/heatmap_view.h"
#include "widgets/theme/colour_map.h"

namespace postnas {
namespace {

const char* const kFile = R"({
  "version": 1, "model": "/teacher", "layers": 4, "block": "gla",
  "tasks": [
    {"name": "retrieval", "metric": "accuracy", "objective": "accuracy",
     "cells": [{"layer": 1, "accuracy": 0.75, "negative_loss": -0.5, "objective": 0.75},
               {"layer": 0, "accuracy": 0.125}, {"layer": 2, "accuracy": 0.25}, {"layer": 3, "accuracy": 0.2}],
     "none": {"accuracy": 0.1}, "all": {"accuracy": 1.0}},
    {"name": "facts, \"hard\"", "cells": [{"layer": 0, "accuracy": 0.5}, {"layer": 3, "accuracy": 0.9}],
     "none": {"accuracy": 0.5}, "all": {"accuracy": null}}
  ]})";

HeatmapData sample()
{
    return heatmapFromJson(parseJson(kFile, "heatmap.json"), "heatmap.json");
}

void showView(HeatmapView& view)
{
    view.resize(1000, 420);
    view.show();
    ASSERT_TRUE(QTest::qWaitForWindowExposed(&view));
    view.plot()->replot();
}

TEST(HeatmapView, ClickOnACellGoesToItsLayer)
{
    HeatmapView view;
    view.setData(sample());
    showView(view);
    QSignalSpy spy(&view, &HeatmapView::layerActivated);
    for (const int layer : {2, 0, 3}) {
        const QRect cell = view.plot()->cellRect(1, layer);
        ASSERT_GT(cell.width(), 10);
        QTest::mouseClick(view.plot(), Qt::LeftButton, {}, cell.center());
        ASSERT_FALSE(spy.isEmpty());
        EXPECT_EQ(spy.takeLast().at(0).toInt(), layer);
        EXPECT_EQ(view.table()->currentIndex().siblingAtColumn(0).data().toString(), QString::number(layer + 1));
    }
    // The columns none and all belong to no layer; neither does the space around the cells.
    spy.clear();
    QTest::mouseClick(view.plot(), Qt::LeftButton, {}, view.plot()->cellRect(0, HeatmapPlot::kNone).center());
    QTest::mouseClick(view.plot(), Qt::LeftButton, {}, view.plot()->cellRect(0, 4).center());
    QTest::mouseClick(view.plot(), Qt::LeftButton, {}, QPoint(2, 2));
    EXPECT_EQ(spy.count(), 0);
}

TEST(HeatmapView, KeysMoveTheCursorAndReturnActivates)
{
    HeatmapView view;
    view.setData(sample());
    showView(view);
    QSignalSpy spy(&view, &HeatmapView::layerActivated);
    view.plot()->setFocus();
    QTest::keyClick(view.plot(), Qt::Key_Home);
    EXPECT_EQ(view.plot()->cursorColumn(), HeatmapPlot::kNone);
    QTest::keyClick(view.plot(), Qt::Key_Right);
    QTest::keyClick(view.plot(), Qt::Key_Right);
    QTest::keyClick(view.plot(), Qt::Key_Down);
    EXPECT_EQ(view.plot()->cursorTask(), 1);
    QTest::keyClick(view.plot(), Qt::Key_Down); // stays on the last task
    EXPECT_EQ(view.plot()->cursorTask(), 1);
    QTest::keyClick(view.plot(), Qt::Key_Return);
    ASSERT_EQ(spy.count(), 1);
    EXPECT_EQ(spy.at(0).at(0).toInt(), 1);
    EXPECT_TRUE(view.plot()->accessibleDescription().contains(QStringLiteral("layer 2")));
}

TEST(HeatmapView, HoverShowsTheNumbersAndNoMarkup)
{
    HeatmapView view;
    HeatmapData data = sample();
    data.tasks[0].name = QStringLiteral("<img src=x>");
    view.setData(data);
    showView(view);
    QTest::mouseMove(view.plot(), view.plot()->cellRect(0, 1).center());
    ASSERT_TRUE(QTest::qWaitFor([&] { return !QToolTip::text().isEmpty(); }, 3000));
    EXPECT_TRUE(QToolTip::text().contains(QStringLiteral("0.7500"))) << QToolTip::text().toStdString();
    EXPECT_TRUE(QToolTip::text().contains(QStringLiteral("+0.65"))); // against none
    EXPECT_TRUE(QToolTip::text().contains(QStringLiteral("only layer 2 full")));
    EXPECT_FALSE(QToolTip::text().contains(QStringLiteral("<img")));
}

TEST(HeatmapView, TheBestLayerIsMarkedUnlessAllAreAlike)
{
    HeatmapView view;
    HeatmapData data = sample();
    for (HeatmapCell& cell : data.tasks[1].cells)
        cell.accuracy = 0.5;
    view.setData(data);
    EXPECT_TRUE(view.plot()->isBest(0, 1));
    EXPECT_FALSE(view.plot()->isBest(0, 2));
    EXPECT_FALSE(view.plot()->isBest(0, HeatmapPlot::kNone));
    for (int layer = 0; layer < 4; ++layer)
        EXPECT_FALSE(view.plot()->isBest(1, layer));
}

TEST(HeatmapView, AllColumnsOfAFewTasksAreSeenBesideThePlot)
{
    HeatmapView view;
    HeatmapData data = sample();
    data.tasks[1].name = QStringLiteral("arithmetic");
    data.tasks.append(data.tasks[0]);
    data.tasks[2].name = QStringLiteral("knowledge");
    view.setData(data);
    showView(view);
    EXPECT_EQ(view.table()->horizontalScrollBar()->maximum(), 0);
    EXPECT_GE(view.plot()->width(), view.width() / 3);
}

TEST(HeatmapView, TableHoldsTheSameValuesAndCsvIsExact)
{
    HeatmapView view;
    view.setData(sample());
    showView(view);
    EXPECT_EQ(view.toCsv().toStdString(),
              "Layer,retrieval,\"facts, \"\"hard\"\"\"\n"
              "none,0.1,0.5\n1,0.125,0.5\n2,0.75,\n3,0.25,\n4,0.2,0.9\nall,1,\n");
    const QAbstractItemModel* model = view.table()->model();
    for (int layer = 0; layer < 4; ++layer)
        EXPECT_EQ(model->index(layer + 1, 1).data().toString(), QString::number(view.plot()->cellValue(0, layer), 'f', 3));
    EXPECT_EQ(model->index(2, 2).data().toString(), QStringLiteral("–"));

    view.table()->sortByColumn(1, Qt::DescendingOrder); // best layer for retrieval first
    EXPECT_EQ(model->index(0, 0).data().toString(), QStringLiteral("all"));
    EXPECT_EQ(model->index(1, 0).data().toString(), QStringLiteral("2"));
    view.setMetric(ScoreMetric::NegativeLoss);
    EXPECT_TRUE(view.toCsv().contains(QStringLiteral("2,-0.5,\n"))) << view.toCsv().toStdString();
}

TEST(HeatmapView, ColoursFollowTheValuesInTheChosenScale)
{
    HeatmapView view;
    view.setData(sample());
    showView(view);
    // Absolute: the largest value of all has the top of the map. The pixel in the cell is that colour.
    EXPECT_EQ(view.plot()->cellColour(0, 4), colourAt(ColourMap::Cividis, 1));
    EXPECT_EQ(view.plot()->cellColour(0, HeatmapPlot::kNone), colourAt(ColourMap::Cividis, 0));
    const QRect cell = view.plot()->cellRect(0, 4);
    const QImage image = view.plot()->grab().toImage();
    EXPECT_EQ(image.pixelColor(cell.left() + 4, cell.bottom() - 4), view.plot()->cellColour(0, 4));
    // Each task on its own: layer 2 is the best layer of retrieval, though far below the teacher.
    view.plot()->setScale(HeatmapScale::PerTask);
    EXPECT_EQ(view.plot()->cellColour(0, 1), colourAt(ColourMap::Cividis, 1));
    // Difference: no change is the middle, and a layer without a number has no colour.
    view.plot()->setScale(HeatmapScale::Difference);
    EXPECT_EQ(view.plot()->cellColour(1, 0), colourAt(ColourMap::Diverging, 0.5));
    EXPECT_EQ(view.plot()->cellColour(1, 1).alpha(), 0);
}

TEST(HeatmapView, FillsFromLiveEvents)
{
    HeatmapView view;
    event::Candidate none;
    none.origin = "linear";
    none.placement.assign(3, "gated_delta_net");
    none.scores["knowledge"] = {{"accuracy", 0.5}};
    event::Candidate cell = none;
    cell.origin = "heatmap";
    cell.layer = 2;
    cell.scores["knowledge"] = {{"accuracy", 0.9}, {"objective", -0.2}};
    event::Candidate beam = cell;
    beam.origin = "beam";
    beam.scores["knowledge"] = {{"accuracy", 0.1}};
    for (const auto& candidate : {none, cell, beam})
        view.addCandidate(candidate);
    EXPECT_EQ(view.data().layers, 3);
    EXPECT_EQ(view.data().block.toStdString(), "gated_delta_net");
    EXPECT_EQ(view.toCsv().toStdString(), "Layer,knowledge\nnone,0.5\n1,\n2,\n3,0.9\nall,\n");
    event::Candidate hostile = cell;
    hostile.layer = 2'000'000'000;
    view.addCandidate(hostile);
    EXPECT_EQ(view.data().layers, 3);
}

TEST(HeatmapView, ExportsPngSvgAndCsv)
{
    const test::TemporaryFolder folder;
    HeatmapView view;
    view.setData(sample());
    showView(view);
    const auto path = [&](const char* name) { return QString::fromStdString((folder / name).string()); };
    view.exportTo(path("h.png"));
    view.exportTo(path("h.svg"));
    view.exportTo(path("h.csv"));
    const QImage png(path("h.png"));
    EXPECT_EQ(png.width(), view.plot()->width() * 2);
    const std::string svg = test::readFile(folder / "h.svg");
    EXPECT_NE(svg.find("<svg"), std::string::npos);
    EXPECT_NE(svg.find("retrieval"), std::string::npos); // text stays text
    EXPECT_EQ(test::readFile(folder / "h.csv"), view.toCsv().toStdString());
    EXPECT_THROW(view.exportTo(path("h.bmp")), Error);
    EXPECT_THROW(view.exportTo(path("missing-folder/h.png")), Error);
}

TEST(HeatmapFile, BrokenFilesNameTheKey)
{
    const auto problem = [](const std::string& text) -> std::string {
        try {
            heatmapFromJson(parseJson(text, "heatmap.json"), "heatmap.json");
        } catch (const Error& error) {
            return error.what();
        }
        return {};
    };
    const std::string head = R"({"version": 1, "layers": 2, "tasks": )";
    EXPECT_NE(problem(R"({"version": 2, "layers": 2, "tasks": []})").find("version"), std::string::npos);
    EXPECT_NE(problem(R"({"version": 1, "layers": 99999999, "tasks": []})").find("layers"), std::string::npos);
    EXPECT_NE(problem(head + R"([{"name": "a", "cells": [{"layer": 2}]}]})").find("layer"), std::string::npos);
    EXPECT_NE(problem(head + R"([{"name": "a", "cells": [{"layer": 1}, {"layer": 1}]}]})").find("twice"), std::string::npos);
    EXPECT_NE(problem(head + R"([{"name": "a", "cells": []}, {"name": "a", "cells": []}]})").find("twice"), std::string::npos);
    EXPECT_NE(problem(head + R"([{"name": "a", "cells": [{"layer": 1, "accuracy": "x"}]}]})").find("accuracy"), std::string::npos);
    EXPECT_NE(problem(head + "[3]}").find("tasks"), std::string::npos);
    EXPECT_EQ(problem(head + "[]}"), "");
}

} // namespace
} // namespace postnas
