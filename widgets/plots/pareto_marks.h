// Which points of a plot no other point beats.
#pragma once

#include <QVector>

namespace postnas {

/// For points (x, y) with larger y better and larger (or smaller) x better: true where no other point is at least as good on
/// both and better on one. Points with a NaN are never on the front; equal points are on it together.
QVector<bool> paretoMarks(const QVector<double>& x, const QVector<double>& y, bool largerXIsBetter);

} // namespace postnas
