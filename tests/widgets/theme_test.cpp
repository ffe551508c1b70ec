// Block colours, colour maps, palettes: readable, stable, and apart from each other.
#include <gtest/gtest.h>

#include <set>

#include <QApplication>
#include <QCheckBox>
#include <QImage>
#include <QRgb>
#include <QSpinBox>

#include "core/architecture/block_description.h"
#include "widgets/theme/block_colours.h"
#include "widgets/theme/colour_map.h"
#include "widgets/theme/theme.h"

namespace postnas {

TEST(BlockColours, EveryBlockHasItsOwnReadableColourAndCode)
{
    for (const bool dark : {false, true}) {
        std::set<QRgb> colours;
        std::set<QString> codes;
        for (const BlockDescription* block : allBlocks()) {
            const BlockStyle style = blockStyle(QString::fromStdString(block->name()), dark);
            EXPECT_EQ(style.displayName.toStdString(), block->displayName());
            EXPECT_GE(contrastRatio(style.text, style.fill), 4.5) << block->name();
            EXPECT_LE(style.code.size(), 4);
            EXPECT_TRUE(colours.insert(style.fill.rgb()).second) << block->name();
            EXPECT_TRUE(codes.insert(style.code).second) << block->name();
        }
    }
}

TEST(BlockColours, UnknownBlockGetsTheSameLookEachTime)
{
    const BlockStyle first = blockStyle(QStringLiteral("my_new_mixer"), false);
    EXPECT_EQ(first.code.toStdString(), "MNM");
    EXPECT_EQ(first.fill, blockStyle(QStringLiteral("my_new_mixer"), false).fill);
    EXPECT_GE(contrastRatio(first.text, first.fill), 4.5);
    EXPECT_EQ(blockStyle(QString(), false).code.toStdString(), "?");
}

TEST(BlockColours, PlacementsAreShortText)
{
    const QString a = QStringLiteral("attention"), g = QStringLiteral("gla");
    EXPECT_EQ(placementText({a, g, g, g, a, a}).toStdString(), "A GLA×3 A A");
    EXPECT_EQ(fullAttentionText({a, g, g, a}).toStdString(), "1, 4");
    EXPECT_EQ(fullAttentionText({g, g}).toStdString(), "none");
    EXPECT_EQ(fullAttentionText({a, a}).toStdString(), "all 2");
}

TEST(ColourMaps, SequentialMapsGrowLighterAndKeepTheirEnds)
{
    EXPECT_EQ(colourAt(ColourMap::Cividis, 0), QColor(0x00, 0x22, 0x4e));
    EXPECT_EQ(colourAt(ColourMap::Cividis, 2), QColor(0xfe, 0xe8, 0x38));
    EXPECT_EQ(colourAt(ColourMap::Viridis, 0), QColor(0x44, 0x01, 0x54));
    EXPECT_EQ(colourAt(ColourMap::Cividis, std::numeric_limits<double>::quiet_NaN()).alpha(), 0);
    for (const ColourMap map : {ColourMap::Cividis, ColourMap::Viridis}) {
        for (int i = 0; i < 20; ++i) {
            // Lightness alone tells the order, whatever colours the eye can see.
            EXPECT_LT(contrastRatio(colourAt(map, i / 20.0), Qt::black), contrastRatio(colourAt(map, (i + 1) / 20.0), Qt::black));
        }
    }
}

TEST(Theme, TextIsReadableInBothPalettes)
{
    for (const QPalette& palette : {lightPalette(), darkPalette()}) {
        const ThemeColours colours = ThemeColours::of(palette);
        for (const QColor& ink : {colours.text, colours.mutedText, colours.success, colours.warning, colours.danger})
            EXPECT_GE(contrastRatio(ink, colours.surface), 4.5);
        EXPECT_GE(contrastRatio(colours.accentText, colours.accent), 4.5);
        for (int i = 0; i < 8; ++i)
            EXPECT_GE(contrastRatio(seriesColour(i, colours.dark), colours.surface), 2.5) << i;
    }
    EXPECT_FALSE(ThemeColours::of(lightPalette()).dark);
    EXPECT_TRUE(ThemeColours::of(darkPalette()).dark);
    EXPECT_EQ(themeModeFromName(themeModeName(ThemeMode::Dark)), ThemeMode::Dark);
    EXPECT_EQ(themeModeFromName(QStringLiteral("nonsense")), ThemeMode::System);
}

TEST(Theme, CheckBoxesAndFieldsHaveVisibleOutlinesInBothThemes)
{
    for (const ThemeMode mode : {ThemeMode::Light, ThemeMode::Dark}) {
        applyTheme(*qApp, mode);
        QCheckBox box;
        QSpinBox field;
        for (QWidget* widget : std::initializer_list<QWidget*> {&box, &field}) {
            widget->resize(widget->sizeHint());
            const QImage image = widget->grab().toImage();
            // From the left edge inwards, at half the height: the strongest edge is the outline.
            double strongest = 1;
            const QColor inside = widget->palette().color(QPalette::Base);
            for (int x = 0; x < std::min(image.width(), 8); ++x)
                strongest = std::max(strongest, contrastRatio(image.pixelColor(x, image.height() / 2), inside));
            EXPECT_GE(strongest, mode == ThemeMode::Dark ? 2.8 : 1.8) << widget->metaObject()->className();
        }
    }
    applyTheme(*qApp, ThemeMode::Light);
}

} // namespace postnas
