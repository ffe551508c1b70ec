// Makes text from outside safe to show.
#include "widgets/services/convert.h"

#include <QDir>
#include <QFileInfo>

#include "core/base/text.h"

namespace postnas {

QString displayText(const QString& text, qsizetype limit)
{
    QString clean = toQString(sanitizeForTerminal(toStd(text.left(limit))));
    if (text.size() > limit)
        clean += QStringLiteral(" …");
    return clean;
}

QString canonicalPath(const QString& path)
{
    const QString real = QFileInfo(path).canonicalFilePath();
    return real.isEmpty() ? QDir::cleanPath(QFileInfo(path).absoluteFilePath()) : real;
}

} // namespace postnas
