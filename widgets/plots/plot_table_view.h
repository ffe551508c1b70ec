// A plot beside a table of the same numbers, with controls above, a caption below, and both for files and the clipboard.
#pragma once

#include <QWidget>

class QAbstractItemModel;
class QCustomPlot;
class QHBoxLayout;
class QLabel;
class QSplitter;
class QTableView;

namespace postnas {

class PlotTableView : public QWidget {
    Q_OBJECT

public:
    QTableView* table() const { return m_table; }

    /// The table as it is shown (filter, order), with a header line.
    QString toCsv() const;
    /// `file` ends in .png, .svg or .csv. Throws Error(Resource) when it cannot be written, Error(Usage) for other endings.
    void exportTo(const QString& file) const;

protected:
    /// `name` is the suggested base name of exported files.
    PlotTableView(const QString& name, QWidget* parent);
    /// Takes the plot, and the model behind the table. Call it once, before anything else.
    void setContent(QCustomPlot* plot, QAbstractItemModel* model);

    /// Adds a control above the plot; a mnemonic in the label goes to it. No label: `label` is empty.
    void addControl(const QString& label, QWidget* field);
    /// The row above the table; empty at first.
    QHBoxLayout* tableBar() const { return m_tableBar; }
    void setCaption(const QString& text);
    /// Gives the table the width of its columns, up to a half of the room, until the user moves the divider.
    void fitTable();

    bool eventFilter(QObject* watched, QEvent* event) override;
    void changeEvent(QEvent* event) override;

private:
    QCustomPlot* m_picture = nullptr;
    QTableView* m_table;
    QHBoxLayout* m_bar;
    QHBoxLayout* m_tableBar;
    QSplitter* m_splitter;
    QLabel* m_caption;
    qsizetype m_controls = 0;
    bool m_dividerMoved = false;
};

} // namespace postnas
