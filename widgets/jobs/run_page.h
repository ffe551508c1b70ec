// The page "Run": what a run is doing, its progress and curves, and the buttons to stop and resume it.
#pragma once

#include <optional>

#include <QPointer>
#include <QWidget>

#include "widgets/services/event_tail.h"
#include "widgets/services/job_launcher.h"

class QComboBox;
class QLabel;
class QProgressBar;
class QPushButton;
class QStackedWidget;
class QTableWidget;

namespace postnas {

class LinePlot;
class ResultTree;

class RunPage : public QWidget {
    Q_OBJECT
public:
    explicit RunPage(QWidget* parent = nullptr);

    /// Follows a run; `title` is its label. The launcher must outlive this page or be deleted after showNothing().
    void showRun(JobLauncher* launcher, const QString& title);
    void showNothing();

    JobLauncher* launcher() const { return m_launcher; }
    QPushButton* stopButton() const { return m_stop; }
    QPushButton* resumeButton() const { return m_resume; }
    QPushButton* killButton() const { return m_kill; }
    QProgressBar* progressBar() const { return m_progress; }
    LinePlot* plot() const { return m_plot; }
    QString statusText() const;
    QString progressText() const;
    bool isCaughtUp() const { return m_tail.isCaughtUp(); }

Q_SIGNALS:
    void searchRequested();
    void logCleared();
    void logLines(const QStringList& lines);
    void stateChanged();
    /// Everything that is in the run's file has been shown.
    void caughtUp();

protected:
    void changeEvent(QEvent* event) override;

private:
    void applyEvents(const EventBatch& batch);
    void applyMetric(const event::Metric& metric);
    void refreshState();
    void tintStatus();
    void showProgress();
    void redrawCurve();
    QWidget* makeBody();

    QPointer<JobLauncher> m_launcher;
    EventTail m_tail;
    QHash<QString, QPair<QVector<double>, QVector<double>>> m_curves; ///< metric -> steps, values
    QHash<QString, int> m_rows;                                      ///< metric -> row of the table
    bool m_takesLong = false;
    QString m_stage;
    std::optional<event::Progress> m_lastProgress; ///< of the present stage

    QStackedWidget* m_stack;
    QLabel* m_title;
    QLabel* m_status = nullptr;
    QLabel* m_stageLabel;
    QLabel* m_rate;
    QProgressBar* m_progress;
    QPushButton* m_stop;
    QPushButton* m_resume;
    QPushButton* m_kill;
    QComboBox* m_metric;
    LinePlot* m_plot;
    QTableWidget* m_table;
    ResultTree* m_results;
};

/// "1:02:03", "4:05", "under a second".
QString durationText(double seconds);

} // namespace postnas
