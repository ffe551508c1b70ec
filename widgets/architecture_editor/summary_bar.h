// What the placement costs: parameters, state for a chosen context, bytes moved per token, each beside the teacher's.
#pragma once

#include <QWidget>

class QComboBox;
class QLabel;

namespace postnas {

class PlacementDocument;

class SummaryBar : public QWidget {
    Q_OBJECT
public:
    explicit SummaryBar(PlacementDocument& document, QWidget* parent = nullptr);

    QComboBox* contextBox() const { return m_context; }
    QString parametersText() const;
    QString stateText() const;
    QString trafficText() const;
    QString blocksText() const;

private:
    struct Cell {
        QLabel* value;
        QLabel* difference;
    };
    Cell addCell(const QString& title, const QString& help, const QString& name);
    void showDifference(const Cell& cell, double now, double teacher);
    void refresh();
    void chooseContext(const QString& text);

    PlacementDocument& m_document;
    QComboBox* m_context;
    Cell m_parameters, m_state, m_traffic, m_blocks;
};

/// "65,536", "64k", "64 Ki", "1M": tokens; -1 when it is none. k and M are powers of 1024, as contexts are.
qint64 parseContext(const QString& text);

} // namespace postnas
