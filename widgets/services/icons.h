// The program's own SVG icons in the window's text colour, sharp at every scale.
#pragma once

#include <QIcon>
#include <QPalette>
#include <QString>

namespace postnas {

/// Makes the files of resources/ known as :/postnas/... A static library is not asked for them by itself.
void loadResources();

/// `name` is a file of resources/icons without ".svg"; `currentColor` in it becomes the palette's text colour, dimmed for
/// disabled. An unknown name gives an empty icon.
QIcon themedIcon(const QString& name, const QPalette& palette);

} // namespace postnas
