// A log: plain text, bounded, follows its end unless the reader scrolled up.
#pragma once

#include <QPlainTextEdit>
#include <QStringList>

#include "core/jobs/event.h"

namespace postnas {

class LogView : public QPlainTextEdit {
    Q_OBJECT
public:
    static constexpr int kMaxLines = 20000;

    explicit LogView(QWidget* parent = nullptr);

    void addLines(const QStringList& lines);
    void addLine(const QString& line) { addLines({line}); }
};

/// What the log says about an event; empty for those that fill plots instead (progress, metric, token, candidate).
QString eventLine(const Event& event);

} // namespace postnas
