// How each block looks everywhere in the window: one colour-blind-safe colour and one short code, so that colour is never
// the only sign.
#pragma once

#include <QColor>
#include <QString>
#include <QStringList>

namespace postnas {

/// The look of one block in light or dark surroundings.
struct BlockStyle {
    QString name;        ///< the project's vocabulary: "gated_delta_net"
    QString displayName; ///< for people: "Gated DeltaNet"
    QString code;        ///< at most 4 letters: "GDN"
    QColor fill;         ///< cell background
    QColor text;         ///< readable on `fill` (contrast 4.5 or more)
    QColor border;       ///< a step darker (light) or lighter (dark) than `fill`
};

/// Never fails: a block without an entry of its own gets a colour and a code derived from its name, always the same.
BlockStyle blockStyle(const QString& block, bool dark);

/// A placement as one code per layer: "A GLA GLA A". Longer runs are shortened: "A GLA×6 A".
QString placementText(const QStringList& blocks);

/// The layers (numbered from 1) that hold full attention, for people: "1, 4", or "none", or "all 8".
QString fullAttentionText(const QStringList& blocks);

} // namespace postnas
