// Labels and tables as the whole window has them.
#pragma once

#include <QLabel>
#include <QString>

class QColor;
class QTableView;

namespace postnas {

/// A label whose text is never read as markup, whatever file it comes from. `scale` is relative to the window's font.
QLabel* plainLabel(QWidget* parent, double scale = 1, bool bold = false);

/// A line that gives way: what does not fit is left out, in the middle unless told otherwise. For paths, names and long
/// numbers, which must not decide how narrow the window can be.
class ElidedLabel : public QLabel {
public:
    explicit ElidedLabel(QWidget* parent = nullptr, double scale = 1, bool bold = false);

    /// Sets the text, and the tooltip to all of it.
    void setFullText(const QString& text);
    void setElideMode(Qt::TextElideMode mode) { m_mode = mode; }
    QSize minimumSizeHint() const override;

protected:
    void paintEvent(QPaintEvent* event) override;

private:
    Qt::TextElideMode m_mode = Qt::ElideMiddle;
};

/// Colours a widget's text and leaves the rest to the theme. Call it again on QEvent::PaletteChange.
void tintText(QWidget* widget, const QColor& colour);

/// Rows to select and read: zebra, no grid, no row numbers, no editing.
void styleTable(QTableView* table);

} // namespace postnas
