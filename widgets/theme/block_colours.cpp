// Colours and codes of the blocks, and placements as short text.
#include "widgets/theme/block_colours.h"

#include <array>

#include <QObject>

#include "core/architecture/block_description.h"
#include "widgets/theme/colour_map.h"

namespace postnas {

namespace {

struct Entry {
    const char* name;
    const char* code;
    QRgb colour;
};

// Okabe and Ito's colours for the blocks that meet most often, Tol's muted ones for the rest. A block of another name still
// gets a look of its own, so that adding one needs no change here.
constexpr std::array<Entry, 10> kEntries {{
    {"attention", "A", 0x0072b2},
    {"sliding_window", "SW", 0x56b4e9},
    {"gla", "GLA", 0x009e73},
    {"gated_delta_net", "GDN", 0xe69f00},
    {"jet", "JET", 0xd55e00},
    {"delta_net", "DN", 0xf0e442},
    {"retnet", "RET", 0xcc79a7},
    {"mamba2", "M2", 0x882255},
    {"rwkv7", "R7", 0x44aa99},
    {"kda", "KDA", 0x7a5fc0},
}};

QString codeFromName(const QString& name)
{
    QString code;
    for (const QString& word : name.split(QLatin1Char('_'), Qt::SkipEmptyParts))
        code += word.front().toUpper();
    if (code.size() == 1)
        code = name.left(3).toUpper();
    return code.isEmpty() ? QStringLiteral("?") : code.left(4);
}

QColor colourFromName(const QString& name)
{
    unsigned hash = 2166136261u; // FNV-1a: the same colour on every machine and in every run
    for (const char c : name.toUtf8())
        hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
    return QColor::fromHsv(static_cast<int>(hash % 360), 90, 170);
}

} // namespace

BlockStyle blockStyle(const QString& block, bool dark)
{
    BlockStyle style;
    style.name = block;
    style.displayName = block;
    if (const BlockDescription* description = findBlock(block.toStdString()))
        style.displayName = QString::fromStdString(description->displayName());
    QColor base;
    for (const Entry& entry : kEntries) {
        if (block == QLatin1String(entry.name)) {
            base = QColor(entry.colour);
            style.code = QString::fromLatin1(entry.code);
        }
    }
    if (!base.isValid()) {
        base = colourFromName(block);
        style.code = codeFromName(block);
    }
    style.fill = dark ? base.darker(112) : base;
    style.text = readableOn(style.fill);
    style.border = dark ? style.fill.lighter(135) : style.fill.darker(125);
    return style;
}

QString placementText(const QStringList& blocks)
{
    QStringList parts;
    for (qsizetype i = 0; i < blocks.size();) {
        qsizetype end = i;
        while (end < blocks.size() && blocks[end] == blocks[i])
            ++end;
        const QString code = blockStyle(blocks[i], false).code;
        const qsizetype run = end - i;
        if (run > 2) {
            parts += QStringLiteral("%1×%2").arg(code).arg(run);
        } else {
            for (qsizetype k = 0; k < run; ++k)
                parts += code;
        }
        i = end;
    }
    return parts.join(QLatin1Char(' '));
}

QString fullAttentionText(const QStringList& blocks)
{
    QStringList layers;
    for (qsizetype i = 0; i < blocks.size(); ++i) {
        if (blocks[i] == QLatin1String("attention"))
            layers += QString::number(i + 1);
    }
    if (layers.isEmpty())
        return QObject::tr("none");
    if (layers.size() == blocks.size())
        return QObject::tr("all %1").arg(blocks.size());
    return layers.join(QStringLiteral(", "));
}

} // namespace postnas
