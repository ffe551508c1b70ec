// The main window: docks, pages, actions, and the project that is open.
#pragma once

#include <memory>
#include <vector>

#include <QMainWindow>
#include <QStringList>
#include <QTimer>

#include "core/base/json.h"
#include "core/jobs/event.h"
#include "widgets/architecture_editor/placement_document.h"
#include "widgets/checkpoint/checkpoint_summary.h"
#include "widgets/services/project_session.h"
#include "widgets/services/settings.h"
#include "widgets/theme/theme.h"

class QAction;
class QActionGroup;
class QDockWidget;
class QLabel;
class QMenu;
class QStackedWidget;
class QTabWidget;
class QToolBar;
class QTreeView;

namespace postnas {

class ChatView;
class CheckpointPage;
class ElidedLabel;
class HeatmapView;
class LogView;
class PlacementEditor;
class ProjectModel;
class RunPage;
class SearchPlotView;
class WelcomePage;

class MainWindow : public QMainWindow {
    Q_OBJECT
public:
    enum class Page { Checkpoint, Placement, Run, Heatmap, Search, Chat };

    explicit MainWindow(QWidget* parent = nullptr);
    ~MainWindow() override;

    /// Opens a project folder, or else looks at a checkpoint. Problems are shown in the window.
    void openPath(const QString& path);
    void openProject(const QString& folder);
    void createProject(const QString& folder, const QString& teacher = {});
    void closeProject();
    /// Shows a checkpoint; into the project's list when one is open.
    void openCheckpoint(const QString& path);
    void openQuickStart();
    /// Starts a placement run of a checked spec and shows it.
    void startSearch(const Json& spec);
    void showRun(const QString& runId);
    void showPage(Page page);
    /// "checkpoint", "placement", "run", "heatmap", "search", "chat"; false for another name.
    bool showPageNamed(const QString& name);
    void setThemeMode(ThemeMode mode, bool remember = true);
    /// Whether everything that was asked for has been read and shown.
    bool isSettled() const;

    ProjectSession* session() const { return m_session.get(); }
    PlacementDocument& document() { return m_document; }
    CheckpointPage* checkpointPage() const { return m_checkpointPage; }
    PlacementEditor* placementEditor() const { return m_editor; }
    RunPage* runPage() const { return m_runPage; }
    HeatmapView* heatmapView() const { return m_heatmap; }
    SearchPlotView* searchView() const { return m_search; }
    ChatView* chatView() const { return m_chat; }
    LogView* log() const { return m_log; }
    Page currentPage() const;
    bool isWelcome() const;

protected:
    void closeEvent(QCloseEvent* event) override;
    void dragEnterEvent(QDragEnterEvent* event) override;
    void dropEvent(QDropEvent* event) override;
    void changeEvent(QEvent* event) override;

private:
    // construction
    void makePages();
    void makeDocks();
    void makeActions();
    void makeMenus();
    void connectViews();
    void refreshIcons();
    void resetLayout();
    QAction* addAction(const QString& text, const QString& icon, const QKeySequence& key, const QString& help);

    // project
    void forgetProject();
    void restoreSession(const Json& state);
    Json sessionState() const;
    void saveSession();
    void refreshRuns();
    void refreshCheckpoints();
    void refreshTitle();
    void refreshActions();
    void refreshRecent();
    /// Selects in the project's tree what the page in front is about.
    void markInTree();
    void checkpointArrived(const CheckpointSummary& summary);
    void editCheckpoint();
    /// Asks when the board has changes that would be lost. `keptByProject`: a project's database still has the board afterwards.
    bool mayReplacePlacement(bool keptByProject = true);
    QString teacherPath() const;

    // runs
    void newSearch();
    void loadCandidates();
    void loadExamples();
    void takeCandidates(const std::vector<CandidateRow>& rows);
    void applyPlacement(const QStringList& blocks);
    void chatTeacherAndHybrid();
    QString hybridOf(const QString& runId) const;

    // dialogs
    void askNewProject();
    void askOpenProject();
    void askImportCheckpoint();
    void askSavePlacement();
    void askOpenPlacement();
    void askExport();
    void showShortcuts();
    void showAbout();
    void report(const QString& title, const Problem& problem);
    void logMessage(const QString& text);

    Settings m_settings;
    PlacementDocument m_document;
    std::unique_ptr<ProjectSession> m_session;
    QStringList m_checkpoints; ///< paths the user added to the project
    QString m_checkpointPath;  ///< shown, or being read
    QString m_boardPath;       ///< whose layers the board has
    Json m_pendingBoard;       ///< of the last session, until its checkpoint is there
    QString m_runId;
    Json m_runSpec;
    qint64 m_lastCandidate = 0;
    int m_pendingReads = 0; ///< of checkpoints and the database, for isSettled
    QTimer m_saveTimer;
    QByteArray m_defaultLayout;
    bool m_restoring = false;

    QStackedWidget* m_central = nullptr;
    WelcomePage* m_welcome = nullptr;
    QTabWidget* m_pages = nullptr;
    CheckpointPage* m_checkpointPage = nullptr;
    PlacementEditor* m_editor = nullptr;
    RunPage* m_runPage = nullptr;
    HeatmapView* m_heatmap = nullptr;
    SearchPlotView* m_search = nullptr;
    ChatView* m_chat = nullptr;
    LogView* m_log = nullptr;
    QDockWidget* m_projectDock = nullptr;
    QDockWidget* m_logDock = nullptr;
    QToolBar* m_toolBar = nullptr;
    QTreeView* m_tree = nullptr;
    ProjectModel* m_treeModel = nullptr;
    ElidedLabel* m_statusProject = nullptr;
    QLabel* m_statusRun = nullptr;
    QMenu* m_recentMenu = nullptr;
    QActionGroup* m_themeActions = nullptr;
    QAction *m_newProject = nullptr, *m_openProject = nullptr, *m_import = nullptr, *m_openPlacement = nullptr,
            *m_savePlacement = nullptr, *m_export = nullptr, *m_closeProject = nullptr, *m_quit = nullptr, *m_undo = nullptr,
            *m_redo = nullptr, *m_newSearch = nullptr, *m_stop = nullptr, *m_resume = nullptr, *m_chatHybrid = nullptr;
    std::vector<std::pair<QAction*, QString>> m_iconNames;
};

} // namespace postnas
