// The numbers below a chat column, and what the worker's answers say about a model and a generation.
#pragma once

#include <QVector>
#include <QWidget>

#include "core/base/json.h"
#include "widgets/chat/chat_message.h"

class QLabel;

namespace postnas {

/// Of the answer to "generate"; what it lacks stays unknown.
ChatStats statsOfAnswer(const Json& values);
/// "stop", "length", "cancelled"; empty when the answer does not say.
QString finishReason(const Json& values);
/// Of the answer to "load": parameters, blocks, device and type on one line.
QString modelSummary(const Json& values);

/// Tokens per second, lengths and state size of the newest answer.
class ChatNumbers : public QWidget {
    Q_OBJECT
public:
    explicit ChatNumbers(QWidget* parent = nullptr);

    void showStats(const ChatStats& stats);
    /// "tokens/s 12.5 | prompt tokens 20 | ...", as it is shown.
    QString text() const;

protected:
    void changeEvent(QEvent* event) override;

private:
    void restyle();

    QVector<QLabel*> m_numbers; ///< tokens/s, prompt, new, state
    QVector<QLabel*> m_captions;
};

} // namespace postnas
