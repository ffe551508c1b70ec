// Command line, look and screenshot of the desktop.
#include "app/workbench/application.h"

#include <QApplication>

namespace postnas {

int runWorkbench(int argc, char** argv, const char* version)
{
    QApplication application(argc, argv);
    QApplication::setApplicationVersion(QString::fromLatin1(version));
    return QApplication::exec();
}

} // namespace postnas
