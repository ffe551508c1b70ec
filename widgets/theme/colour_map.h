// Colour maps for values: perceptually even and readable with every common kind of colour blindness.
#pragma once

#include <QColor>
#include <QString>

namespace postnas {

enum class ColourMap {
    Cividis,  ///< sequential, blue to yellow (Nuñez, Anderton and Renslow 2018)
    Viridis,  ///< sequential, violet to yellow (Smith and van der Walt 2015)
    Diverging ///< purple, neutral, orange: below, at and above a reference value
};

/// Colour at `position` in [0, 1] (values outside are clamped; NaN gives a transparent colour). The middle of Diverging is
/// light in light surroundings and dark in dark ones.
QColor colourAt(ColourMap map, double position, bool dark = false);

/// Black or white, whichever reads better on `background`.
QColor readableOn(const QColor& background);

/// Contrast ratio of WCAG 2, 1 to 21.
double contrastRatio(const QColor& a, const QColor& b);

} // namespace postnas
