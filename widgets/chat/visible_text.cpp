// Replacement of characters that would act instead of being seen.
#include "widgets/chat/visible_text.h"

namespace postnas {

namespace {

bool isNeededJoiner(char32_t c)
{
    return c == 0x200C || c == 0x200D || (c >= 0xFE00 && c <= 0xFE0F);
}

QString marked(char32_t c)
{
    return QStringLiteral("\u27E8U+%1\u27E9").arg(static_cast<uint>(c), 4, 16, QLatin1Char('0')).toUpper();
}

} // namespace

QString visibleText(const QString& text)
{
    QString out;
    out.reserve(text.size());
    for (qsizetype i = 0; i < text.size(); ++i) {
        char32_t c = text[i].unicode();
        if (text[i].isHighSurrogate() && i + 1 < text.size() && text[i + 1].isLowSurrogate()) {
            c = QChar::surrogateToUcs4(text[i], text[i + 1]);
            ++i;
        } else if (text[i].isSurrogate()) {
            c = QChar::ReplacementCharacter;
        }
        if (c == U'\r' && i + 1 < text.size() && text[i + 1] == QLatin1Char('\n'))
            continue;
        if (c == U'\n' || c == U'\t')
            out += QChar(static_cast<char16_t>(c));
        else if (c == 0x2028 || c == 0x2029)
            out += QLatin1Char('\n');
        else if (c < 0x20)
            out += QChar(static_cast<char16_t>(0x2400 + c));
        else if (c == 0x7F)
            out += QChar(0x2421);
        else if (c == 0xFFFC || QChar::isNonCharacter(c))
            out += QChar(QChar::ReplacementCharacter);
        else if (!isNeededJoiner(c) && c != 0x00AD
                 && (QChar::category(c) == QChar::Other_Format || QChar::category(c) == QChar::Other_Control))
            out += marked(c);
        else
            out += QString::fromUcs4(&c, 1);
    }
    return out;
}

} // namespace postnas
