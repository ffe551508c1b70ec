// What the window remembers for the user between sessions, apart from any project.
#pragma once

#include <QByteArray>
#include <QString>
#include <QStringList>

#include "core/base/json.h"

namespace postnas {

/// A thin, typed face of QSettings; values that do not fit are ignored.
class Settings {
public:
    static constexpr int kRecentProjects = 10;
    static constexpr int kLayoutVersion = 1;

    /// False: nothing is written from now on, e.g. while a screenshot is made.
    static void setRemembering(bool on);

    QStringList recentProjects() const;
    void addRecentProject(const QString& folder);
    void removeRecentProject(const QString& folder);

    /// The project that was open last; empty when none was.
    QString lastProject() const;
    void setLastProject(const QString& folder);

    QString theme() const; ///< "system", "light", "dark"
    void setTheme(const QString& name);

    QByteArray windowGeometry() const;
    QByteArray windowLayout() const;
    void setWindow(const QByteArray& geometry, const QByteArray& layout);
    void clearWindow();
};

} // namespace postnas
