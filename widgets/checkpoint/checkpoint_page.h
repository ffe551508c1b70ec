// The page "Checkpoint": what a model is, how large it is, what its state costs, and what is wrong with it.
#pragma once

#include <optional>

#include <QWidget>

#include "widgets/checkpoint/checkpoint_summary.h"

class QFormLayout;
class QLabel;
class QPushButton;
class QStackedWidget;
class QTableWidget;

namespace postnas {

class ElidedLabel;

class CheckpointPage : public QWidget {
    Q_OBJECT
public:
    explicit CheckpointPage(QWidget* parent = nullptr);

    void showNothing();
    void showLoading(const QString& path);
    void showCheckpoint(const CheckpointSummary& summary);
    void showProblem(const QString& path, const Problem& problem);

    const std::optional<CheckpointSummary>& summary() const { return m_summary; }
    /// What stands in the row of that title, e.g. "Layers"; empty when there is none (tests, accessibility).
    QString valueOf(const QString& title) const;
    QString problemText() const;

Q_SIGNALS:
    void openRequested();
    void editRequested();
    void searchRequested();
    void chatRequested();

private:
    void addRow(const QString& title, const QString& value, const QString& help);
    void fillStateTable(const Architecture& architecture);
    QWidget* makeSummary();
    QWidget* makeProblem();

    std::optional<CheckpointSummary> m_summary;
    QStackedWidget* m_stack;
    QLabel* m_empty;
    ElidedLabel* m_name;
    ElidedLabel* m_path;
    QFormLayout* m_form = nullptr;
    QWidget* m_formBox;
    QTableWidget* m_states;
    QLabel* m_warnings;
    QLabel* m_problemTitle;
    QLabel* m_problem;
    QLabel* m_hint;
    QPushButton* m_search;
    QPushButton* m_chat;
};

} // namespace postnas
