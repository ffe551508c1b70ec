// What the window shows while nothing is open: the ways to begin.
#pragma once

#include <QStringList>
#include <QWidget>

class QLabel;
class QListWidget;
class QPushButton;

namespace postnas {

class WelcomePage : public QWidget {
    Q_OBJECT
public:
    explicit WelcomePage(QWidget* parent = nullptr);

    void setRecent(const QStringList& projects);
    void setQuickStartAvailable(bool available);

Q_SIGNALS:
    void newProjectRequested();
    void openProjectRequested();
    void openCheckpointRequested();
    void quickStartRequested();
    void projectChosen(const QString& folder);

private:
    QListWidget* m_recent;
    QLabel* m_recentTitle;
    QPushButton* m_quickStart;
};

} // namespace postnas
