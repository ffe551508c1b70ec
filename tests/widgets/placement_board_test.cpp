// The placement board under real clicks and keys: what a person sees change, and undo.
#include <QComboBox>
#include <QLabel>
#include <QLineEdit>
#include <QMenu>
#include <QScrollArea>
#include <QScrollBar>
#include <QSpinBox>
#include <QTest>
#include <QToolButton>

#include <gtest/gtest.h>

#include "core/architecture/block_description.h"
#include "core/base/error.h"
#include "core/base/text.h"
#include "core/huggingface/model_config.h"
#include "tests/widgets/widget_test.h"
#include "widgets/architecture_editor/block_palette.h"
#include "widgets/architecture_editor/hyperparameter_editor.h"
#include "widgets/architecture_editor/placement_board.h"
#include "widgets/architecture_editor/placement_document.h"
#include "widgets/architecture_editor/placement_editor.h"
#include "widgets/architecture_editor/summary_bar.h"
#include "widgets/models/layer_model.h"
#include "widgets/services/convert.h"

namespace postnas {
namespace {

class PlacementBoardTest : public ::testing::Test {
protected:
    void SetUp() override
    {
        Architecture teacher = readModelConfig(test::testData("qwen2-tiny") / "config.json");
        teacher.layers.resize(8, teacher.layers[0]);
        document.setTeacher(teacher, QStringLiteral("teacher"));
        editor = std::make_unique<PlacementEditor>(document);
        editor->resize(1000, 600);
        editor->show();
        ASSERT_TRUE(QTest::qWaitForWindowExposed(editor.get()));
        board = editor->board();
        board->setFocus();
    }
    QPoint tile(int layer) const { return board->visualRect(board->model()->index(layer, 0)).center(); }
    void click(int layer, Qt::KeyboardModifiers modifiers = {})
    {
        QTest::mouseClick(board->viewport(), Qt::LeftButton, modifiers, tile(layer));
    }
    std::string block(int layer) const { return document.layer(layer).block; }

    PlacementDocument document;
    std::unique_ptr<PlacementEditor> editor;
    PlacementBoard* board = nullptr;
};

TEST_F(PlacementBoardTest, ClickAndPaletteChangeOneLayerAndTheSummary)
{
    const QString parametersBefore = editor->summary()->parametersText();
    const QString stateBefore = editor->summary()->stateText();
    click(2);
    QTest::mouseClick(editor->blockPalette()->button(QStringLiteral("gla")), Qt::LeftButton);
    EXPECT_EQ(block(2), "gla");
    EXPECT_EQ(block(1), "attention");
    EXPECT_NE(editor->summary()->stateText(), stateBefore);
    // The numbers on screen are those of the formulas.
    Architecture expected = document.teacher();
    expected.layers[2] = blockNamed("gla").defaultLayer(expected);
    EXPECT_EQ(editor->summary()->stateText(), toQString(formatBytes(stateSize(expected, 65536).total())));
    EXPECT_EQ(editor->summary()->parametersText(), QLocale().toString(qint64(parameterCount(expected))));
    EXPECT_EQ(editor->summary()->trafficText(), toQString(formatBytes(decodeBytes(expected, 65536, 1))));

    document.undoStack()->undo();
    EXPECT_EQ(block(2), "attention");
    EXPECT_EQ(editor->summary()->stateText(), stateBefore);
    EXPECT_EQ(editor->summary()->parametersText(), parametersBefore);
    document.undoStack()->redo();
    EXPECT_EQ(block(2), "gla");
}

TEST_F(PlacementBoardTest, ControlAndShiftClicksSelectSeveral)
{
    click(1);
    click(4, Qt::ShiftModifier);
    EXPECT_EQ(board->selectedLayers(), (QVector<int> {1, 2, 3, 4}));
    click(6, Qt::ControlModifier);
    click(2, Qt::ControlModifier);
    EXPECT_EQ(board->selectedLayers(), (QVector<int> {1, 3, 4, 6}));
    board->assignBlock(QStringLiteral("jet"));
    EXPECT_EQ(block(3), "jet");
    EXPECT_EQ(block(2), "attention");
    // One step for all of them.
    document.undoStack()->undo();
    EXPECT_EQ(document.blocks().count(QStringLiteral("attention")), 8);
}

TEST_F(PlacementBoardTest, KeysMoveExtendAndSetBlocks)
{
    click(0);
    QTest::keyClick(board, Qt::Key_Right);
    EXPECT_EQ(board->selectedLayers(), (QVector<int> {1}));
    QTest::keyClick(board, Qt::Key_Right, Qt::ShiftModifier);
    QTest::keyClick(board, Qt::Key_Right, Qt::ShiftModifier);
    EXPECT_EQ(board->selectedLayers(), (QVector<int> {1, 2, 3}));
    QTest::keyClick(board, Qt::Key_S);
    EXPECT_EQ(block(1), "sliding_window");
    EXPECT_EQ(block(3), "sliding_window");
    // A letter that several blocks begin with goes through them.
    QTest::keyClick(board, Qt::Key_G);
    const std::string first = block(3);
    QTest::keyClick(board, Qt::Key_G);
    const std::string second = block(3);
    EXPECT_NE(first, second);
    EXPECT_EQ(first[0], 'g');
    EXPECT_EQ(second[0], 'g');
    QTest::keyClick(board, Qt::Key_1);
    EXPECT_EQ(block(2), toStd(PlacementBoard::blockOrder()[0]));
    QTest::keyClick(board, Qt::Key_End);
    EXPECT_EQ(board->selectedLayers(), (QVector<int> {7}));
    QTest::keyClick(board, Qt::Key_Home, Qt::ShiftModifier);
    EXPECT_EQ(board->selectedLayers().size(), 8);
    QTest::keyClick(board, Qt::Key_2);
    QTest::keyClick(board, Qt::Key_Delete);
    EXPECT_EQ(document.blocks().count(QStringLiteral("attention")), 8);
}

TEST_F(PlacementBoardTest, ReturnOpensTheChooserWhichSetsTheBlock)
{
    click(5);
    QTest::keyClick(board, Qt::Key_Return);
    auto* menu = board->findChild<QMenu*>(QStringLiteral("blockChooser"));
    ASSERT_NE(menu, nullptr);
    ASSERT_TRUE(test::waitUntil([&] { return menu->isVisible(); }));
    const qsizetype number = PlacementBoard::blockOrder().indexOf(QStringLiteral("jet")) + 1;
    QTest::keyClick(menu, static_cast<Qt::Key>(Qt::Key_0 + number));
    EXPECT_EQ(block(5), "jet");
}

TEST_F(PlacementBoardTest, HyperparametersAreEditedWithinTheirRanges)
{
    click(3);
    board->assignBlock(QStringLiteral("gated_delta_net"));
    auto* field = qobject_cast<QSpinBox*>(editor->hyperparameters()->field("conv_size"));
    ASSERT_NE(field, nullptr);
    EXPECT_FALSE(field->toolTip().isEmpty());
    field->setFocus();
    field->selectAll();
    QTest::keyClicks(field, QStringLiteral("7"));
    QTest::keyClick(field, Qt::Key_Return);
    EXPECT_EQ(document.layer(3).integer("conv_size"), 7);
    document.undoStack()->undo();
    EXPECT_EQ(document.layer(3).integer("conv_size"), 4);
    EXPECT_EQ(field->value(), 4);
    // Beyond the range nothing changes.
    EXPECT_THROW(document.setParameter({3}, "conv_size", Json(1000000)), Error);
    EXPECT_EQ(document.layer(3).integer("conv_size"), 4);
}

TEST_F(PlacementBoardTest, ContextChangesTheStateAtOnce)
{
    QComboBox* box = editor->summary()->contextBox();
    box->setFocus();
    box->lineEdit()->selectAll();
    QTest::keyClicks(box->lineEdit(), QStringLiteral("1M"));
    QTest::keyClick(box->lineEdit(), Qt::Key_Return);
    EXPECT_EQ(document.context(), 1 << 20);
    EXPECT_EQ(editor->summary()->stateText(), toQString(formatBytes(stateSize(document.architecture(), 1 << 20).total())));
    box->lineEdit()->selectAll();
    QTest::keyClicks(box->lineEdit(), QStringLiteral("nonsense"));
    QTest::keyClick(box->lineEdit(), Qt::Key_Return);
    EXPECT_EQ(document.context(), 1 << 20);
}

TEST_F(PlacementBoardTest, CleanMarkFollowsSavingAndAPlacementComesBackFromItsFile)
{
    const test::TemporaryFolder folder;
    click(0);
    board->assignBlock(QStringLiteral("gla"));
    EXPECT_FALSE(document.undoStack()->isClean());
    document.save(folder / "config.json");
    EXPECT_TRUE(document.undoStack()->isClean());
    const QStringList saved = document.blocks();
    document.resetToTeacher({0});
    EXPECT_FALSE(document.undoStack()->isClean());
    document.load(folder / "config.json");
    EXPECT_EQ(document.blocks(), saved);
}

TEST_F(PlacementBoardTest, PlacementsOfAnotherShapeAreRefused)
{
    EXPECT_THROW(document.setPlacement({QStringLiteral("gla")}, {}, QStringLiteral("x")), Error);
    EXPECT_THROW(document.setPlacement(QStringList(8, QStringLiteral("no_such_block")), {}, QStringLiteral("x")), Error);
    EXPECT_FALSE(document.restore(Json {{"layers", Json::array({1, 2})}}));
    EXPECT_FALSE(document.restore(Json::parse(R"({"layers": [{"block": "gla", "parameters": {}}]})")));
    EXPECT_EQ(document.blocks().count(QStringLiteral("attention")), 8);
    EXPECT_EQ(document.undoStack()->count(), 0);
}

TEST_F(PlacementBoardTest, TilesTellTheirBlockWithoutColour)
{
    const QModelIndex index = board->model()->index(2, 0);
    EXPECT_TRUE(index.data(Qt::AccessibleTextRole).toString().startsWith(QStringLiteral("Layer 3, Full attention, as in the teacher")))
        << toStd(index.data(Qt::AccessibleTextRole).toString());
    EXPECT_FALSE(board->accessibleName().isEmpty());
}

TEST(ParseContext, TakesWhatPeopleType)
{
    EXPECT_EQ(parseContext(QStringLiteral("65,536")), 65536);
    EXPECT_EQ(parseContext(QStringLiteral("64k")), 65536);
    EXPECT_EQ(parseContext(QStringLiteral("64 Ki")), 65536);
    EXPECT_EQ(parseContext(QStringLiteral("1M")), 1 << 20);
    EXPECT_EQ(parseContext(QStringLiteral("0.5k")), 512);
    EXPECT_EQ(parseContext(QStringLiteral("-3")), -1);
    EXPECT_EQ(parseContext(QStringLiteral("many")), -1);
    EXPECT_EQ(parseContext(QStringLiteral("1e99")), -1);
}

TEST_F(PlacementBoardTest, WhoComesByKeyboardCanTypeAtOnce)
{
    EXPECT_EQ(board->selectedLayers(), (QVector<int> {0}));
    QTest::keyClick(board, Qt::Key_G); // the first block with a g
    EXPECT_NE(block(0), "attention");
    // A click beside the tiles deselects, and leaving and coming back finds the same place.
    click(3);
    QTest::mouseClick(board->viewport(), Qt::LeftButton, {}, board->viewport()->rect().bottomRight() - QPoint(10, 10));
    EXPECT_TRUE(board->selectedLayers().isEmpty());
    QTest::keyClick(board, Qt::Key_Tab);
    board->setFocus(Qt::BacktabFocusReason);
    EXPECT_EQ(board->selectedLayers(), (QVector<int> {3}));
}

TEST_F(PlacementBoardTest, FieldsOfALongFormStayClearOfTheScrollBar)
{
    editor->resize(1000, 360);
    click(1);
    QTest::mouseClick(editor->blockPalette()->button(QStringLiteral("gla")), Qt::LeftButton);
    auto* scroll = editor->findChild<QScrollArea*>();
    ASSERT_NE(scroll, nullptr);
    ASSERT_TRUE(test::waitUntil([&] { return scroll->verticalScrollBar()->isVisible(); }));
    QTest::qWait(50);
    const auto fields = editor->hyperparameters()->findChildren<QAbstractSpinBox*>();
    ASSERT_GE(fields.size(), 4);
    for (const QAbstractSpinBox* field : fields) {
        const QPoint right = field->mapTo(scroll->viewport(), QPoint(field->width() - 1, 0));
        EXPECT_LT(right.x(), scroll->viewport()->width()) << toStd(field->objectName());
    }
    auto* real = editor->hyperparameters()->findChild<QDoubleSpinBox*>();
    ASSERT_NE(real, nullptr);
    EXPECT_FALSE(real->text().endsWith(QStringLiteral("000"))) << toStd(real->text());
}

} // namespace
} // namespace postnas
