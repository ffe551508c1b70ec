// Makes text from outside safe to show.
#include "widgets/services/convert.h"

#include "core/base/text.h"

namespace postnas {

QString displayText(const QString& text, qsizetype limit)
{
    QString clean = toQString(sanitizeForTerminal(toStd(text.left(limit))));
    if (text.size() > limit)
        clean += QStringLiteral(" …");
    return clean;
}

} // namespace postnas
