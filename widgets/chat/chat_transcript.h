// Shows the messages of one conversation, grows while an answer streams in; plain text only.
#pragma once

#include <QTextEdit>

#include "widgets/chat/chat_message.h"

class QTextFrame;

namespace postnas {

class ChatTranscript : public QTextEdit {
    Q_OBJECT

public:
    explicit ChatTranscript(QWidget* parent = nullptr);

    void setMessages(const QVector<ChatMessage>& messages);
    void addMessage(const ChatMessage& message);
    /// Appends to the last message; keeps the view at the end when it was there.
    void appendText(const QString& text);
    /// Replaces the last message, e.g. to add its note and numbers.
    void updateLast(const ChatMessage& message);
    void setPlaceholder(const QString& text);

    /// "You: ..." and "model: ..." paragraphs, for the clipboard.
    static QString plainText(const QVector<ChatMessage>& messages);
    /// "38.2 tokens/s · 64 tokens · state 1.2 MiB"
    static QString statsText(const ChatStats& stats);

protected:
    void changeEvent(QEvent* event) override;
    void resizeEvent(QResizeEvent* event) override;

private:
    void render(const ChatMessage& message);
    void fill(QTextFrame* frame, const ChatMessage& message);
    void rebuild();
    bool atEnd() const;
    void scrollToEnd();

    QVector<ChatMessage> m_messages;
};

} // namespace postnas
