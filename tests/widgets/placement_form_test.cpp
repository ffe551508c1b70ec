// The search form: live validation, and a spec that the worker's own parser takes.
#include <QLabel>
#include <QLineEdit>
#include <QListWidget>
#include <QPushButton>
#include <QSpinBox>
#include <QTest>

#include <gtest/gtest.h>

#include "tests/widgets/widget_test.h"
#include "widgets/jobs/path_list.h"
#include "widgets/jobs/placement_dialog.h"
#include "widgets/jobs/placement_form.h"
#include "widgets/services/convert.h"

namespace postnas {
namespace {

class PlacementFormTest : public ::testing::Test {
protected:
    PlacementSpec good()
    {
        const JobSpec spec = parseJobSpec(test::placementSpec(folder.path(), test::testData("qwen2-tiny"), 100), "spec", folder.path());
        return std::get<PlacementSpec>(spec.body);
    }
    test::TemporaryFolder folder;
};

TEST_F(PlacementFormTest, AGoodSpecComesBackUnchanged)
{
    PlacementForm form;
    PlacementSpec spec = good();
    spec.seed = 17;
    spec.beamWidth = 7;
    spec.training.learningRate = 3e-4;
    spec.slidingWindow = SlidingWindowSpec {1, 32, "retrieval"};
    spec.placementTask = "retrieval";
    spec.exhaustiveLimit = 9; // not in the form
    form.setSpec(spec);
    ASSERT_TRUE(form.isValid()) << toStd(form.problem().text());
    EXPECT_EQ(form.checkedSpec(), toJson(JobSpec {"placement", spec}));
}

TEST_F(PlacementFormTest, ProblemsAreSaidWhileTyping)
{
    PlacementDialog dialog(good());
    dialog.show();
    PlacementForm* form = dialog.form();
    ASSERT_TRUE(form->isValid()) << toStd(form->problem().text());
    EXPECT_TRUE(dialog.startButton()->isEnabled());
    auto* rate = form->findChild<QLineEdit*>(QStringLiteral("learningRate"));
    rate->setText(QStringLiteral("fast"));
    EXPECT_FALSE(dialog.startButton()->isEnabled());
    EXPECT_TRUE(form->findChild<QLabel*>(QStringLiteral("formMessage"))->text().contains(QStringLiteral("learning rate")));
    rate->setText(QStringLiteral("1e-3"));
    EXPECT_TRUE(dialog.startButton()->isEnabled());
    form->findChild<QSpinBox*>(QStringLiteral("fullLayers"))->setValue(4000);
    EXPECT_FALSE(form->isValid());
    form->findChild<QSpinBox*>(QStringLiteral("fullLayers"))->setValue(1);
    form->findChild<QLineEdit*>(QStringLiteral("modelPath"))->setText(QStringLiteral("/nowhere"));
    EXPECT_FALSE(form->isValid());
    EXPECT_TRUE(form->problem().message.contains(QStringLiteral("/nowhere")));
}

TEST_F(PlacementFormTest, AnEmptyFormSaysWhatIsMissing)
{
    PlacementForm form;
    EXPECT_FALSE(form.isValid());
    EXPECT_TRUE(form.problem().message.contains(QStringLiteral("teacher")));
}

TEST_F(PlacementFormTest, ABrokenTaskFileIsNamed)
{
    PlacementSpec spec = good();
    test::writeFile(folder / "broken.yaml", "task: [");
    spec.tasks.push_back(folder / "broken.yaml");
    PlacementForm form;
    form.setSpec(spec);
    EXPECT_FALSE(form.isValid());
    EXPECT_TRUE(form.problem().message.contains(QStringLiteral("broken.yaml"))) << toStd(form.problem().message);
}

TEST_F(PlacementFormTest, DefaultsKnowTheTeacher)
{
    const PlacementSpec spec = defaultPlacementSpec({}, test::testData("qwen2-tiny"));
    EXPECT_EQ(spec.model, test::testData("qwen2-tiny"));
    EXPECT_GE(spec.fullLayers, 1);
}

TEST_F(PlacementFormTest, ListsOfFilesBeginBesideTheirButtons)
{
    PlacementDialog dialog(good());
    dialog.show();
    ASSERT_TRUE(QTest::qWaitForWindowExposed(&dialog));
    for (PathList* list : dialog.findChildren<PathList*>()) {
        const auto* files = list->findChild<QListWidget*>();
        const auto* button = list->findChild<QPushButton*>();
        EXPECT_NEAR(files->y(), button->y(), 2);
        EXPECT_GE(files->height(), files->fontMetrics().height() * 4);
    }
}

} // namespace
} // namespace postnas
