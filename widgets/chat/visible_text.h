// Makes text from a model or a file safe to show: nothing in it acts, everything in it is seen.
#pragma once

#include <QString>

namespace postnas {

/// Control characters become their pictures (U+0007 -> ␇), bidirectional controls, tags and other invisible format
/// characters become ⟨U+202E⟩, characters that a text document treats as objects or frames become U+FFFD. Newlines and tabs
/// stay; "\r\n" and the Unicode line and paragraph separators become newlines. Joiners and variation selectors, which scripts
/// and emoji need, stay.
QString visibleText(const QString& text);

} // namespace postnas
