// Palettes, the application style sheet, series colours and fonts.
#include "widgets/theme/theme.h"

#include <array>

#include <QApplication>
#include <QFontDatabase>
#include <QStyle>
#include <QToolTip>

#include "widgets/theme/colour_map.h"
#include "widgets/theme/outline_style.h"

namespace postnas {

namespace {

struct PaletteValues {
    QRgb window, surface, surfaceAlt, button, text, muted, disabled, border, accent, accentText, link;
};

constexpr PaletteValues kLight {0xf3f4f6, 0xffffff, 0xf7f8fa, 0xf9fafb, 0x1d2229, 0x59636f, 0x9aa2ad,
                                0xd3d8df, 0x0b66b0, 0xffffff, 0x0b5fa5};
constexpr PaletteValues kDark {0x202429, 0x181b1f, 0x1e2227, 0x2b3037, 0xe3e7ec, 0x9fa9b5, 0x67707b,
                               0x3a414a, 0x3f94da, 0x0b0d0f, 0x6db5f0};

QPalette makePalette(const PaletteValues& v)
{
    QPalette p;
    p.setColor(QPalette::Window, QColor(v.window));
    p.setColor(QPalette::WindowText, QColor(v.text));
    p.setColor(QPalette::Base, QColor(v.surface));
    p.setColor(QPalette::AlternateBase, QColor(v.surfaceAlt));
    p.setColor(QPalette::Text, QColor(v.text));
    p.setColor(QPalette::Button, QColor(v.button));
    p.setColor(QPalette::ButtonText, QColor(v.text));
    p.setColor(QPalette::BrightText, QColor(v.accentText));
    p.setColor(QPalette::ToolTipBase, QColor(v.surface));
    p.setColor(QPalette::ToolTipText, QColor(v.text));
    p.setColor(QPalette::PlaceholderText, QColor(v.muted));
    p.setColor(QPalette::Highlight, QColor(v.accent));
    p.setColor(QPalette::HighlightedText, QColor(v.accentText));
    p.setColor(QPalette::Link, QColor(v.link));
    p.setColor(QPalette::LinkVisited, QColor(v.link));
    p.setColor(QPalette::Light, QColor(v.surface));
    p.setColor(QPalette::Midlight, QColor(v.surfaceAlt));
    p.setColor(QPalette::Mid, QColor(v.border));
    p.setColor(QPalette::Dark, QColor(v.border).darker(120));
    p.setColor(QPalette::Shadow, QColor(v.border).darker(160));
    for (const auto role : {QPalette::WindowText, QPalette::Text, QPalette::ButtonText})
        p.setColor(QPalette::Disabled, role, QColor(v.disabled));
    p.setColor(QPalette::Disabled, QPalette::Highlight, QColor(v.border));
    p.setColor(QPalette::Disabled, QPalette::HighlightedText, QColor(v.muted));
    return p;
}

bool isDark(const QPalette& palette)
{
    return palette.color(QPalette::Window).lightness() < 128;
}

} // namespace

QString themeModeName(ThemeMode mode)
{
    switch (mode) {
    case ThemeMode::Light: return QStringLiteral("light");
    case ThemeMode::Dark: return QStringLiteral("dark");
    case ThemeMode::System: break;
    }
    return QStringLiteral("system");
}

ThemeMode themeModeFromName(const QString& name)
{
    if (name == QLatin1String("light"))
        return ThemeMode::Light;
    return name == QLatin1String("dark") ? ThemeMode::Dark : ThemeMode::System;
}

ThemeColours ThemeColours::of(const QPalette& palette)
{
    ThemeColours c;
    c.dark = isDark(palette);
    const PaletteValues& v = c.dark ? kDark : kLight;
    c.window = palette.color(QPalette::Active, QPalette::Window);
    c.surface = palette.color(QPalette::Active, QPalette::Base);
    c.surfaceAlt = palette.color(QPalette::Active, QPalette::AlternateBase);
    c.text = palette.color(QPalette::Active, QPalette::Text);
    c.accent = palette.color(QPalette::Active, QPalette::Highlight);
    c.accentText = palette.color(QPalette::Active, QPalette::HighlightedText);
    c.mutedText = QColor(v.muted);
    c.border = QColor(v.border);
    c.grid = c.dark ? QColor(0x2a2f35) : QColor(0xe9ecf0);
    c.success = c.dark ? QColor(0x4cc38a) : QColor(0x1a7f4b);
    c.warning = c.dark ? QColor(0xe5b454) : QColor(0x8a5a00);
    c.danger = c.dark ? QColor(0xff8a7a) : QColor(0xb42318);
    return c;
}

QPalette lightPalette()
{
    return makePalette(kLight);
}

QPalette darkPalette()
{
    return makePalette(kDark);
}

void applyTheme(QApplication& application, ThemeMode mode)
{
    static const bool systemIsDark = isDark(QApplication::palette()); // before this function changes it
    const bool dark = mode == ThemeMode::System ? systemIsDark : mode == ThemeMode::Dark;
    const PaletteValues& v = dark ? kDark : kLight;
    application.setStyle(new OutlineStyle);
    const QPalette palette = makePalette(v);
    application.setPalette(palette);
    QToolTip::setPalette(palette);
    // Only what a palette cannot say: flat table headers, quiet splitters, and room around the text of buttons and tooltips.
    application.setStyleSheet(QStringLiteral("QToolTip { border: 1px solid %1; padding: 5px; background: %2; color: %3; }"
                                             "QHeaderView::section { background: %4; color: %5; border: none;"
                                             " border-right: 1px solid %1; border-bottom: 1px solid %1; padding: 4px 16px 4px 8px; }"
                                             "QTableCornerButton::section { background: %4; border: none; }"
                                             "QSplitter::handle { background: transparent; } QPushButton { padding: 4px 10px; }")
                                  .arg(QColor(v.border).name(), QColor(v.surface).name(), QColor(v.text).name(),
                                       QColor(v.window).name(), QColor(v.muted).name()));
}

QColor seriesColour(int index, bool dark)
{
    static constexpr std::array<QRgb, 8> kLightSeries {0x0072b2, 0xd55e00, 0x009e73, 0xcc79a7,
                                                       0xb07d00, 0x2f8fce, 0x5b3a8e, 0x4d4d4d};
    static constexpr std::array<QRgb, 8> kDarkSeries {0x56b4e9, 0xff8a3d, 0x2bc79a, 0xe39cc4,
                                                      0xf0c04a, 0x8fd0ff, 0xb79bea, 0xc4c9d0};
    const auto i = static_cast<std::size_t>(index < 0 ? 0 : index) % kLightSeries.size();
    return QColor(dark ? kDarkSeries[i] : kLightSeries[i]);
}

QFont monospaceFont()
{
    return QFontDatabase::systemFont(QFontDatabase::FixedFont);
}

} // namespace postnas
