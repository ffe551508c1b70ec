// Spin boxes for sampling in a row that wraps into a grid.
#include "widgets/chat/sampling_panel.h"

#include <QDoubleSpinBox>
#include <QGridLayout>
#include <QLabel>
#include <QSpinBox>

#include "widgets/theme/theme.h"

namespace postnas {

namespace {

QDoubleSpinBox* real(double low, double high, double step, double value, int decimals = 2)
{
    auto* box = new QDoubleSpinBox;
    box->setDecimals(decimals);
    box->setRange(low, high);
    box->setSingleStep(step);
    box->setValue(value);
    return box;
}

QSpinBox* integer(int low, int high, int value)
{
    auto* box = new QSpinBox;
    box->setRange(low, high);
    box->setValue(value);
    return box;
}

} // namespace

SamplingPanel::SamplingPanel(QWidget* parent)
    : QWidget(parent)
    , temperature(real(0, 5, 0.1, 0))
    , topK(integer(0, 1'000'000, 0))
    , topP(real(0.01, 1, 0.05, 1))
    , minP(real(0, 1, 0.01, 0))
    , repetitionPenalty(real(0.1, 10, 0.05, 1))
    , seed(integer(0, 2'147'483'647, 0))
    , maxTokens(integer(1, 1'000'000, 256))
{
    auto* grid = new QGridLayout(this);
    grid->setContentsMargins(0, 0, 0, 0);
    grid->setHorizontalSpacing(kSpace);
    grid->setVerticalSpacing(kSpaceSmall);
    int column = 0;
    const auto add = [&](const QString& label, QWidget* box, const QString& help) {
        auto* caption = new QLabel(label);
        caption->setBuddy(box);
        caption->setToolTip(help);
        box->setToolTip(help);
        grid->addWidget(caption, 0, column);
        grid->addWidget(box, 1, column);
        grid->setColumnStretch(column++, 1);
    };
    add(tr("&Temperature"), temperature, tr("How freely the next token is drawn; 0 always takes the most likely one."));
    add(tr("Top-&k"), topK, tr("Draw only from the k most likely tokens; 0: from all."));
    add(tr("Top-&p"), topP, tr("Draw only from the most likely tokens that together reach this probability; 1: from all."));
    add(tr("&Min-p"), minP, tr("Leave out tokens less likely than this share of the most likely one; 0: none."));
    add(tr("&Repetition penalty"), repetitionPenalty, tr("Above 1 makes tokens that already occurred less likely; 1: off."));
    add(tr("See&d"), seed, tr("The same seed gives the same answer."));
    add(tr("Ma&x. tokens"), maxTokens, tr("The answer ends after this many tokens at the latest."));
    topK->setSpecialValueText(tr("off"));
    for (QDoubleSpinBox* box : {temperature, topP, minP, repetitionPenalty})
        connect(box, &QDoubleSpinBox::valueChanged, this, &SamplingPanel::changed);
    for (QSpinBox* box : {topK, seed, maxTokens})
        connect(box, &QSpinBox::valueChanged, this, &SamplingPanel::changed);
}

void SamplingPanel::apply(GenerateRequest& request) const
{
    request.temperature = temperature->value();
    request.topK = topK->value();
    request.topP = topP->value();
    request.minP = minP->value();
    request.repetitionPenalty = repetitionPenalty->value();
    request.seed = static_cast<quint64>(seed->value());
    request.maxNewTokens = maxTokens->value();
}

QString SamplingPanel::summary() const
{
    QStringList parts;
    parts += temperature->value() == 0 ? tr("greedy") : tr("temperature %1").arg(temperature->value());
    if (topK->value() > 0)
        parts += tr("top-k %1").arg(topK->value());
    if (topP->value() < 1)
        parts += tr("top-p %1").arg(topP->value());
    if (minP->value() > 0)
        parts += tr("min-p %1").arg(minP->value());
    if (repetitionPenalty->value() != 1)
        parts += tr("penalty %1").arg(repetitionPenalty->value());
    parts += tr("at most %1 tokens").arg(maxTokens->value());
    return parts.join(QStringLiteral(", "));
}

Json SamplingPanel::toJson() const
{
    return {{"temperature", temperature->value()}, {"top_k", topK->value()},
            {"top_p", topP->value()},              {"min_p", minP->value()},
            {"repetition_penalty", repetitionPenalty->value()},
            {"seed", seed->value()},               {"max_new_tokens", maxTokens->value()}};
}

void SamplingPanel::fromJson(const Json& json, const std::string& source)
{
    const JsonReader reader(json, source, "sampling");
    const auto real = [&](const char* key, const QDoubleSpinBox* box) {
        return reader.number(key, box->minimum(), box->maximum(), box->value());
    };
    const auto integer = [&](const char* key, const QSpinBox* box) {
        return static_cast<int>(reader.integer(key, box->minimum(), box->maximum(), box->value()));
    };
    // All are read before the first is set.
    const double t = real("temperature", temperature), p = real("top_p", topP), m = real("min_p", minP);
    const double r = real("repetition_penalty", repetitionPenalty);
    const int k = integer("top_k", topK), s = integer("seed", seed), n = integer("max_new_tokens", maxTokens);
    temperature->setValue(t);
    topP->setValue(p);
    minP->setValue(m);
    repetitionPenalty->setValue(r);
    topK->setValue(k);
    seed->setValue(s);
    maxTokens->setValue(n);
}

} // namespace postnas
