// Keys of the settings file in one place.
#include "widgets/services/settings.h"

#include <QDir>
#include <QSettings>
#include <QVariant>

namespace postnas {
namespace {
const QString kRecent = QStringLiteral("projects/recent");
const QString kLast = QStringLiteral("projects/last");
const QString kTheme = QStringLiteral("window/theme");
const QString kGeometry = QStringLiteral("window/geometry");
const QString kLayout = QStringLiteral("window/layout%1").arg(Settings::kLayoutVersion);

bool remembering = true;

void write(const QString& key, const QVariant& value)
{
    if (remembering)
        QSettings().setValue(key, value);
}
} // namespace

void Settings::setRemembering(bool on) { remembering = on; }

QStringList Settings::recentProjects() const { return QSettings().value(kRecent).toStringList().mid(0, kRecentProjects); }

void Settings::addRecentProject(const QString& folder)
{
    const QString path = QDir::cleanPath(QDir(folder).absolutePath());
    QStringList list = recentProjects();
    list.removeAll(path);
    list.prepend(path);
    write(kRecent, QStringList(list.mid(0, kRecentProjects)));
}

void Settings::removeRecentProject(const QString& folder)
{
    QStringList list = recentProjects();
    list.removeAll(QDir::cleanPath(folder));
    write(kRecent, list);
}

QString Settings::lastProject() const { return QSettings().value(kLast).toString(); }
void Settings::setLastProject(const QString& folder) { write(kLast, folder); }

QString Settings::theme() const { return QSettings().value(kTheme, QStringLiteral("system")).toString(); }
void Settings::setTheme(const QString& name) { write(kTheme, name); }

QByteArray Settings::windowGeometry() const { return QSettings().value(kGeometry).toByteArray(); }
QByteArray Settings::windowLayout() const { return QSettings().value(kLayout).toByteArray(); }

void Settings::setWindow(const QByteArray& geometry, const QByteArray& layout)
{
    write(kGeometry, geometry);
    write(kLayout, layout);
}

void Settings::clearWindow()
{
    write(kGeometry, QVariant());
    write(kLayout, QVariant());
}

} // namespace postnas
