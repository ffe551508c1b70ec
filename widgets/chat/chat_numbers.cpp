// Reads the worker's numbers and shows them.
#include "widgets/chat/chat_numbers.h"

#include <cmath>

#include <QEvent>
#include <QGridLayout>
#include <QLabel>
#include <QLocale>

#include "widgets/services/convert.h"
#include "widgets/theme/block_colours.h"
#include "widgets/theme/labels.h"
#include "widgets/theme/theme.h"

namespace postnas {
namespace {

qint64 integerOr(const Json& values, const char* key, qint64 fallback)
{
    const auto found = values.find(key);
    return found != values.end() && found->is_number() ? static_cast<qint64>(found->get<double>()) : fallback;
}

double numberOr(const Json& values, const char* key, double fallback)
{
    const auto found = values.find(key);
    return found != values.end() && found->is_number() ? found->get<double>() : fallback;
}

QString textOr(const Json& values, const char* key)
{
    const auto found = values.find(key);
    return found != values.end() && found->is_string() ? displayText(toQString(found->get<std::string>()), 80) : QString();
}

} // namespace

ChatStats statsOfAnswer(const Json& values)
{
    ChatStats stats;
    stats.tokensPerSecond = numberOr(values, "tokens_per_second", std::numeric_limits<double>::quiet_NaN());
    stats.promptTokens = integerOr(values, "prompt_tokens", -1);
    stats.newTokens = integerOr(values, "new_tokens", -1);
    stats.stateBytes = integerOr(values, "state_bytes", -1);
    return stats;
}

QString finishReason(const Json& values) { return textOr(values, "finish_reason"); }

QString modelSummary(const Json& values)
{
    QStringList parts;
    if (const qint64 parameters = integerOr(values, "parameters", -1); parameters >= 0)
        parts += ChatNumbers::tr("%1 parameters").arg(QLocale().toString(parameters));
    if (const auto layers = values.find("layers"); layers != values.end() && layers->is_array()) {
        QStringList blocks;
        for (const Json& layer : *layers) {
            if (layer.is_string())
                blocks += toQString(layer.get<std::string>());
        }
        parts += placementText(blocks);
    }
    for (const char* key : {"device", "dtype"}) {
        if (const QString text = textOr(values, key); !text.isEmpty())
            parts += text;
    }
    return displayText(parts.join(QStringLiteral(" · ")), 300);
}

ChatNumbers::ChatNumbers(QWidget* parent) : QWidget(parent)
{
    auto* grid = new QGridLayout(this);
    grid->setContentsMargins(0, 0, 0, 0);
    grid->setHorizontalSpacing(kSpaceLarge);
    grid->setVerticalSpacing(0);
    const QPair<QString, QString> cells[] = {
        {tr("tokens/s"), tr("Decoded tokens per second")},
        {tr("prompt tokens"), tr("Length of the conversation as the model read it")},
        {tr("new tokens"), tr("Tokens of the last answer")},
        {tr("state"), tr("What decoding kept for this conversation: keys and values of attention layers, states of linear layers")}};
    for (const auto& [title, help] : cells) {
        auto* number = new ElidedLabel(this);
        number->setElideMode(Qt::ElideRight);
        QLabel* caption = plainLabel(this);
        caption->setText(title);
        number->setToolTip(help);
        caption->setToolTip(help);
        number->setAccessibleName(title);
        const int column = static_cast<int>(m_numbers.size());
        if (column < 3)
            number->setSizePolicy(QSizePolicy::Preferred, QSizePolicy::Preferred); // the room is for the state
        grid->addWidget(number, 0, column);
        grid->addWidget(caption, 1, column);
        m_numbers += number;
        m_captions += caption;
    }
    grid->setColumnStretch(3, 1);
    showStats({});
    restyle();
}

void ChatNumbers::showStats(const ChatStats& stats)
{
    const QString dash = QStringLiteral("–");
    const QLocale locale;
    m_numbers[0]->setText(std::isfinite(stats.tokensPerSecond) ? locale.toString(stats.tokensPerSecond, 'f', 1) : dash);
    m_numbers[1]->setText(stats.promptTokens >= 0 ? locale.toString(stats.promptTokens) : dash);
    m_numbers[2]->setText(stats.newTokens >= 0 ? locale.toString(stats.newTokens) : dash);
    m_numbers[3]->setText(stats.stateBytes >= 0 ? tr("%1 MiB (%2 bytes)")
                                                      .arg(locale.toString(static_cast<double>(stats.stateBytes) / (1024.0 * 1024.0), 'f', 3),
                                                           locale.toString(stats.stateBytes))
                                                : dash);
}

QString ChatNumbers::text() const
{
    QStringList parts;
    for (int i = 0; i < m_numbers.size(); ++i)
        parts += m_captions[i]->text() + QLatin1Char(' ') + m_numbers[i]->text();
    return parts.join(QStringLiteral(" | "));
}

void ChatNumbers::changeEvent(QEvent* event)
{
    QWidget::changeEvent(event);
    if (event->type() == QEvent::PaletteChange || event->type() == QEvent::FontChange)
        restyle();
}

void ChatNumbers::restyle()
{
    QFont small = font();
    small.setPointSizeF(std::max(7.0, font().pointSizeF() - 1));
    QFont strong = font();
    strong.setWeight(QFont::DemiBold);
    for (int i = 0; i < m_numbers.size(); ++i) {
        tintText(m_captions[i], ThemeColours::of(palette()).mutedText);
        m_captions[i]->setFont(small);
        m_numbers[i]->setFont(strong);
    }
}

} // namespace postnas
