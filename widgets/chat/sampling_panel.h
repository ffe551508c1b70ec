// The settings of sampling, with terms explained.
#pragma once

#include <QWidget>

#include "core/base/json.h"
#include "widgets/services/worker_client.h"

class QDoubleSpinBox;
class QSpinBox;

namespace postnas {

class SamplingPanel : public QWidget {
    Q_OBJECT

public:
    explicit SamplingPanel(QWidget* parent = nullptr);

    /// Sampling fields only; prompt and messages are left alone.
    void apply(GenerateRequest& request) const;
    QString summary() const; ///< "greedy, at most 256 tokens"

    Json toJson() const;
    /// Missing keys keep their values. Throws Error(Input) for values of the wrong type or out of range, changing nothing.
    void fromJson(const Json& json, const std::string& source);

    QDoubleSpinBox* temperature;
    QSpinBox* topK;
    QDoubleSpinBox* topP;
    QDoubleSpinBox* minP;
    QDoubleSpinBox* repetitionPenalty;
    QSpinBox* seed;
    QSpinBox* maxTokens;

Q_SIGNALS:
    void changed();
};

} // namespace postnas
