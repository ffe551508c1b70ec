// Live curves: repeated steps, gaps, logarithmic scale, long runs.
#include <gtest/gtest.h>

#include <cmath>

#include <QElapsedTimer>

#include "widgets/plots/line_plot.h"
#include "widgets/plots/qcustomplot.h"

namespace postnas {
namespace {

TEST(LinePlot, RepeatedStepReplacesTheEarlierValue)
{
    LinePlot plot;
    plot.appendPoint(QStringLiteral("loss"), 1, 3.5);
    plot.appendPoint(QStringLiteral("loss"), 2, 2.5);
    plot.appendPoint(QStringLiteral("loss"), 3, 1.5);
    plot.appendPoint(QStringLiteral("loss"), 2, 2.25); // a resumed run
    plot.appendPoint(QStringLiteral("loss, smoothed"), 0, 1);
    EXPECT_EQ(plot.pointCount(QStringLiteral("loss")), 3);
    EXPECT_EQ(plot.toCsv().toStdString(), "series,x,y\nloss,1,3.5\nloss,2,2.25\nloss,3,1.5\n\"loss, smoothed\",0,1\n");
    plot.replotNow();
    ASSERT_EQ(plot.plot()->graphCount(), 2);
    EXPECT_EQ(plot.plot()->graph(0)->data()->at(1)->value, 2.25);
    plot.clear();
    plot.replotNow();
    EXPECT_EQ(plot.plot()->graphCount(), 0);
}

TEST(LinePlot, WithoutNumbersItSaysSoAndMakesNoneUp)
{
    LinePlot plot;
    auto* note = qobject_cast<QCPItemText*>(plot.plot()->item(0));
    ASSERT_NE(note, nullptr);
    EXPECT_TRUE(note->visible());
    EXPECT_FALSE(plot.plot()->xAxis->tickLabels());
    plot.appendPoint(QStringLiteral("loss"), 1, 3.5);
    plot.appendPoint(QStringLiteral("loss"), 3, 2.5);
    plot.replotNow();
    EXPECT_FALSE(note->visible());
    EXPECT_TRUE(plot.plot()->xAxis->tickLabels());
    // Steps are whole: no label comes twice.
    QVector<QString> labels = plot.plot()->xAxis->tickVectorLabels();
    EXPECT_GE(labels.size(), 2);
    EXPECT_EQ(QSet<QString>(labels.begin(), labels.end()).size(), labels.size());
    plot.clear();
    plot.replotNow();
    EXPECT_TRUE(note->visible());
}

TEST(LinePlot, LogScaleLeavesOutWhatItCannotShow)
{
    LinePlot plot;
    plot.setPoints(QStringLiteral("x"), {0, 1, 2, 3}, {10, 0, NAN, 1000});
    plot.setLogScale(true);
    EXPECT_TRUE(plot.logScale());
    EXPECT_EQ(plot.plot()->yAxis->scaleType(), QCPAxis::stLogarithmic);
    EXPECT_TRUE(std::isnan(plot.plot()->graph(0)->data()->at(1)->value));
    EXPECT_GT(plot.plot()->yAxis->range().lower, 5);
    plot.setLogScale(false);
    EXPECT_EQ(plot.plot()->graph(0)->data()->at(1)->value, 0);
    EXPECT_LT(plot.plot()->yAxis->range().lower, 0.1);
}

TEST(LinePlot, ManyPointsAreDrawnByTheTimerOnce)
{
    LinePlot plot;
    plot.resize(600, 300);
    plot.show();
    for (int i = 0; i < 200000; ++i)
        plot.appendPoint(QStringLiteral("loss"), i, std::cos(i * 0.001));
    QElapsedTimer clock;
    clock.start();
    while (plot.plot()->graphCount() == 0 && clock.elapsed() < 10000)
        QCoreApplication::processEvents(QEventLoop::AllEvents, 20);
    ASSERT_EQ(plot.plot()->graphCount(), 1);
    EXPECT_EQ(plot.plot()->graph(0)->data()->size(), 200000);
    EXPECT_GE(plot.plot()->yAxis->range().upper, 1.0);
}

} // namespace
} // namespace postnas
