// One message of a conversation with what its generation cost, and its JSON form.
#pragma once

#include <limits>

#include <QString>
#include <QVector>

#include "core/base/json.h"

namespace postnas {

/// Negative or NaN: not known.
struct ChatStats {
    double tokensPerSecond = std::numeric_limits<double>::quiet_NaN();
    qint64 promptTokens = -1;
    qint64 newTokens = -1;
    qint64 stateBytes = -1; ///< what decoding kept at the end of the answer

    bool known() const { return newTokens >= 0; }
};

struct ChatMessage {
    bool fromUser = false;
    QString content;
    ChatStats stats; ///< answers only
    QString note;    ///< why an answer ended early; empty: it did not
    QString model;   ///< label of the model that answered

    static constexpr qsizetype kMaxMessages = 10000;
};

Json messagesToJson(const QVector<ChatMessage>& messages);
/// Throws Error(Input).
QVector<ChatMessage> messagesFromJson(const Json& list, const std::string& source);

} // namespace postnas
