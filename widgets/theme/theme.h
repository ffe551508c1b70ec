// The look of the window: light and dark palettes, the named colours that views draw with, fonts and spacings.
#pragma once

#include <QColor>
#include <QFont>
#include <QPalette>
#include <QString>

class QApplication;

namespace postnas {

enum class ThemeMode { System, Light, Dark };

/// "system", "light", "dark": the form that settings store. An unknown name gives System.
QString themeModeName(ThemeMode mode);
ThemeMode themeModeFromName(const QString& name);

/// The colours a view draws with. Ask for them by the widget's own palette, and again on QEvent::PaletteChange.
struct ThemeColours {
    bool dark = false;
    QColor window;     ///< around panels
    QColor surface;    ///< plots, tables, text
    QColor surfaceAlt; ///< zebra rows, raised cards
    QColor text;
    QColor mutedText; ///< captions, units
    QColor border;
    QColor grid; ///< plot grid lines
    QColor accent;
    QColor accentText; ///< on `accent`
    QColor success, warning, danger;

    static ThemeColours of(const QPalette& palette);
};

QPalette lightPalette();
QPalette darkPalette();

/// Sets style, palette and the small style sheet of the application. System follows the desktop's palette as it was when
/// the program started.
void applyTheme(QApplication& application, ThemeMode mode);

/// Colours of curves and point series, in order, colour-blind safe (Okabe and Ito 2008, adapted for dark surroundings).
QColor seriesColour(int index, bool dark);

/// Text that must line up: placements, numbers, logs.
QFont monospaceFont();

/// Distances in pixels that all views share.
inline constexpr int kSpaceSmall = 4;
inline constexpr int kSpace = 8;
inline constexpr int kSpaceLarge = 16;

} // namespace postnas
