// Looks for the bundled sample.
#include "widgets/services/sample_projects.h"

#include <QDir>
#include <QFileInfo>
#include <QStandardPaths>

#include "core/base/json.h"
#include "core/base/resources.h"
#include "widgets/services/convert.h"

namespace postnas {

QString quickStartFolder()
{
    if (const QString named = qEnvironmentVariable("POSTNAS_QUICKSTART"); !named.isEmpty())
        return QFileInfo(named).isDir() ? named : QString();
    try {
        const QString folder = QDir::cleanPath(QDir(toQString(resourcesFolder())).filePath(QStringLiteral("../projects/quickstart")));
        return QFileInfo(folder).isDir() ? folder : QString();
    } catch (const std::exception&) {
        return {};
    }
}

QString quickStartModel()
{
    const QString folder = quickStartFolder();
    if (folder.isEmpty())
        return {};
    QStringList candidates {folder};
    for (const QString& name : QDir(folder).entryList(QDir::Dirs | QDir::NoDotAndDotDot, QDir::Name))
        candidates.append(QDir(folder).filePath(name));
    for (const QString& candidate : candidates)
        if (QFileInfo::exists(QDir(candidate).filePath(QStringLiteral("config.json"))))
            return candidate;
    return {};
}

QString quickStartSpec(const QString& stage)
{
    const QString folder = quickStartFolder();
    if (folder.isEmpty())
        return {};
    for (const QString& name : QDir(folder).entryList({QStringLiteral("*.json")}, QDir::Files, QDir::Name)) {
        const QString file = QDir(folder).filePath(name);
        try {
            const Json json = readJsonFile(toPath(file), 1u << 20);
            if (json.is_object() && json.contains("stage") && json["stage"] == toStd(stage))
                return file;
        } catch (const std::exception&) {
            continue; // another kind of file
        }
    }
    return {};
}

QString quickStartProjectFolder()
{
    return QDir(QStandardPaths::writableLocation(QStandardPaths::AppDataLocation)).filePath(QStringLiteral("quickstart"));
}

} // namespace postnas
