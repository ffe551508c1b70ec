// Looks for `postnas` in the three places where it may be.
#include "widgets/services/program_finder.h"

#include <QCoreApplication>
#include <QDir>
#include <QFileInfo>
#include <QStandardPaths>

namespace postnas {

QString findPostnasProgram()
{
    const auto usable = [](const QString& file) { return QFileInfo(file).isFile() && QFileInfo(file).isExecutable(); };
    // Who sets the variable means it: a wrong value is reported, not silently replaced by another program.
    if (const QString named = qEnvironmentVariable("POSTNAS_PROGRAM"); !named.isEmpty())
        return usable(named) ? QFileInfo(named).absoluteFilePath() : QString();
    const QString beside = QDir(QCoreApplication::applicationDirPath()).filePath(QStringLiteral("postnas"));
    if (usable(beside))
        return beside;
    return QStandardPaths::findExecutable(QStringLiteral("postnas"));
}

QString missingProgramHint()
{
    return QCoreApplication::translate("ProgramFinder",
                                       "Build it with ./installer/bootstrap.sh build, or set POSTNAS_PROGRAM to the file.");
}

} // namespace postnas
