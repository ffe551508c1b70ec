// The blocks of this build as buttons: swatch with code, number key, name; a click sets the block of the selected layers.
#pragma once

#include <vector>

#include <QString>
#include <QWidget>

class QToolButton;

namespace postnas {

class BlockPalette : public QWidget {
    Q_OBJECT
public:
    explicit BlockPalette(QWidget* parent = nullptr);

    /// Marks the block that the selection has; empty for several or none.
    void setPresentBlock(const QString& block);
    QToolButton* button(const QString& block) const; ///< null for an unknown one

Q_SIGNALS:
    void blockChosen(const QString& block);

protected:
    void changeEvent(QEvent* event) override;

private:
    void drawSwatches();
    std::vector<std::pair<QString, QToolButton*>> m_buttons;
};

} // namespace postnas
