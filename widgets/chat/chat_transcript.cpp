// Messages as frames of a text document. Text goes in through insertText, which reads no markup.
#include "widgets/chat/chat_transcript.h"

#include <cmath>

#include <QEvent>
#include <QLocale>
#include <QScrollBar>
#include <QTextCursor>
#include <QTextFrame>

#include "core/base/text.h"
#include "widgets/chat/visible_text.h"
#include "widgets/services/convert.h"
#include "widgets/theme/theme.h"

namespace postnas {

ChatTranscript::ChatTranscript(QWidget* parent)
    : QTextEdit(parent)
{
    setReadOnly(true);
    setAcceptRichText(false);
    setUndoRedoEnabled(false);
    setFrameShape(QFrame::NoFrame);
    setTextInteractionFlags(Qt::TextSelectableByMouse | Qt::TextSelectableByKeyboard);
    document()->setDocumentMargin(2);
}

void ChatTranscript::setPlaceholder(const QString& text)
{
    setPlaceholderText(text);
}

void ChatTranscript::setMessages(const QVector<ChatMessage>& messages)
{
    m_messages = messages;
    rebuild();
    scrollToEnd();
}

void ChatTranscript::addMessage(const ChatMessage& message)
{
    m_messages += message;
    render(message);
    scrollToEnd();
}

void ChatTranscript::appendText(const QString& text)
{
    if (m_messages.isEmpty() || text.isEmpty())
        return;
    const bool follow = atEnd();
    m_messages.last().content += text;
    QTextFrame* frame = document()->rootFrame()->childFrames().constLast();
    QTextCursor cursor = frame->lastCursorPosition();
    cursor.insertText(visibleText(text));
    if (follow)
        scrollToEnd();
}

void ChatTranscript::updateLast(const ChatMessage& message)
{
    if (m_messages.isEmpty())
        return;
    const bool follow = atEnd();
    m_messages.last() = message;
    QTextFrame* frame = document()->rootFrame()->childFrames().constLast();
    QTextCursor cursor = frame->firstCursorPosition();
    cursor.setPosition(frame->lastPosition(), QTextCursor::KeepAnchor);
    cursor.removeSelectedText();
    fill(frame, message);
    if (follow)
        scrollToEnd();
}

void ChatTranscript::render(const ChatMessage& message)
{
    const ThemeColours colours = ThemeColours::of(palette());
    QTextFrameFormat format;
    format.setBorder(0);
    format.setPadding(8);
    format.setTopMargin(2);
    format.setBottomMargin(2);
    format.setLeftMargin(message.fromUser ? 36 : 4);
    format.setRightMargin(message.fromUser ? 4 : 12);
    format.setBackground(message.fromUser ? (colours.dark ? QColor(0x22384c) : QColor(0xe4eff9)) : colours.surfaceAlt);
    QTextCursor cursor(document());
    cursor.movePosition(QTextCursor::End);
    // The document keeps an empty paragraph between frames: make it a thin line.
    QTextCharFormat thin;
    thin.setFontPointSize(2);
    QTextBlockFormat line;
    line.setLineHeight(4, QTextBlockFormat::FixedHeight);
    cursor.setBlockFormat(line);
    cursor.setBlockCharFormat(thin);
    QTextFrame* frame = cursor.insertFrame(format);
    fill(frame, message);
    cursor.movePosition(QTextCursor::End);
    cursor.setBlockFormat(line);
    cursor.setBlockCharFormat(thin);
}

void ChatTranscript::fill(QTextFrame* frame, const ChatMessage& message)
{
    const ThemeColours colours = ThemeColours::of(palette());
    QTextCursor cursor = frame->firstCursorPosition();
    QTextCharFormat caption;
    caption.setForeground(colours.mutedText);
    caption.setFontPointSize(std::max(7.0, font().pointSizeF() - 1));
    caption.setFontWeight(QFont::DemiBold);
    QTextCharFormat plain;
    plain.setForeground(colours.text);
    plain.setFontPointSize(font().pointSizeF());
    QTextCharFormat note = caption;
    note.setFontWeight(QFont::Normal);

    QTextBlockFormat block;
    block.setBottomMargin(3);
    cursor.setBlockFormat(block);
    cursor.setBlockCharFormat(caption);
    cursor.insertText(message.fromUser ? tr("You") : message.model.isEmpty() ? tr("Model") : displayText(message.model, 80), caption);
    cursor.insertBlock(QTextBlockFormat(), plain);
    cursor.insertText(visibleText(message.content), plain);
    if (message.stats.known()) {
        QTextBlockFormat above;
        above.setTopMargin(4);
        cursor.insertBlock(above, note);
        cursor.insertText(statsText(message.stats), note);
    }
    if (!message.note.isEmpty()) {
        note.setForeground(colours.warning);
        cursor.insertBlock(QTextBlockFormat(), note);
        cursor.insertText(visibleText(message.note), note);
    }
}

void ChatTranscript::rebuild()
{
    clear();
    for (const ChatMessage& message : std::as_const(m_messages))
        render(message);
}

void ChatTranscript::changeEvent(QEvent* event)
{
    QTextEdit::changeEvent(event);
    if (event->type() == QEvent::PaletteChange || event->type() == QEvent::FontChange)
        rebuild();
}

void ChatTranscript::resizeEvent(QResizeEvent* event)
{
    const bool follow = atEnd(); // a problem that appears below must not cover the newest answer
    QTextEdit::resizeEvent(event);
    if (follow)
        scrollToEnd();
}

bool ChatTranscript::atEnd() const
{
    return verticalScrollBar()->value() >= verticalScrollBar()->maximum() - 24;
}

void ChatTranscript::scrollToEnd()
{
    verticalScrollBar()->setValue(verticalScrollBar()->maximum());
}

QString ChatTranscript::statsText(const ChatStats& stats)
{
    QStringList parts;
    if (std::isfinite(stats.tokensPerSecond))
        parts += tr("%1 tokens/s").arg(QString::number(stats.tokensPerSecond, 'f', 1));
    if (stats.newTokens >= 0)
        parts += stats.newTokens == 1 ? tr("1 token") : tr("%1 tokens").arg(stats.newTokens);
    if (stats.stateBytes >= 0)
        parts += tr("state %1").arg(toQString(formatBytes(static_cast<double>(stats.stateBytes))));
    return parts.join(QStringLiteral(" · "));
}

QString ChatTranscript::plainText(const QVector<ChatMessage>& messages)
{
    QStringList parts;
    for (const ChatMessage& message : messages) {
        const QString who = message.fromUser ? tr("You") : message.model.isEmpty() ? tr("Model") : message.model;
        QString part = who + QStringLiteral(":\n") + visibleText(message.content);
        if (message.stats.known())
            part += QStringLiteral("\n[%1]").arg(statsText(message.stats));
        if (!message.note.isEmpty())
            part += QStringLiteral("\n[%1]").arg(visibleText(message.note));
        parts += part;
    }
    return parts.join(QStringLiteral("\n\n")) + (parts.isEmpty() ? QString() : QStringLiteral("\n"));
}

} // namespace postnas
