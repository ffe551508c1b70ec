// Renders icons from SVG text.
#include "widgets/services/icons.h"

#include <QFile>
#include <QPainter>
#include <QSvgRenderer>

// Q_INIT_RESOURCE declares a function of the global namespace.
static void initResources() { Q_INIT_RESOURCE(resources); }

namespace postnas {
namespace {

void addPixmaps(QIcon& icon, QByteArray svg, const QColor& colour, QIcon::Mode mode)
{
    svg.replace("currentColor", colour.name().toLatin1());
    QSvgRenderer renderer(svg);
    for (const int size : {16, 20, 24, 32, 48, 64, 96, 128}) {
        QPixmap pixmap(size, size);
        pixmap.fill(Qt::transparent);
        QPainter painter(&pixmap);
        renderer.render(&painter);
        painter.end();
        icon.addPixmap(pixmap, mode);
    }
}

} // namespace

void loadResources() { initResources(); }

QIcon themedIcon(const QString& name, const QPalette& palette)
{
    QFile file(QStringLiteral(":/postnas/icons/%1.svg").arg(name));
    QIcon icon;
    if (!file.open(QIODevice::ReadOnly))
        return icon;
    const QByteArray svg = file.readAll();
    addPixmaps(icon, svg, palette.color(QPalette::Active, QPalette::ButtonText), QIcon::Normal);
    addPixmaps(icon, svg, palette.color(QPalette::Disabled, QPalette::ButtonText), QIcon::Disabled);
    addPixmaps(icon, svg, palette.color(QPalette::Active, QPalette::HighlightedText), QIcon::Selected);
    return icon;
}

} // namespace postnas
