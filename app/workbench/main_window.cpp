// Builds the main window and wires its pages together.
#include "app/workbench/main_window.h"

#include <QAction>
#include <QActionGroup>
#include <QApplication>
#include <QCloseEvent>
#include <QDockWidget>
#include <QDragEnterEvent>
#include <QHeaderView>
#include <QLabel>
#include <QMimeData>
#include <QStackedWidget>
#include <QStatusBar>
#include <QTabWidget>
#include <QToolBar>
#include <QTreeView>

#include "app/workbench/welcome_page.h"
#include "widgets/architecture_editor/placement_editor.h"
#include "widgets/chat/chat_view.h"
#include "widgets/checkpoint/checkpoint_page.h"
#include "widgets/heatmap/heatmap_view.h"
#include "widgets/jobs/log_view.h"
#include "widgets/jobs/run_page.h"
#include "widgets/models/project_model.h"
#include "widgets/plots/search_plot_view.h"
#include "widgets/services/convert.h"
#include "widgets/services/icons.h"
#include "widgets/services/problem_box.h"
#include "widgets/services/sample_projects.h"
#include "widgets/theme/labels.h"

namespace postnas {
namespace {

constexpr int kSaveDelayMs = 1000;
const char* const kPageNames[] = {"checkpoint", "placement", "run", "heatmap", "search", "chat"};

/// The one local path of a drag; empty for anything else.
QString droppedPath(const QMimeData* data)
{
    const QList<QUrl> urls = data->urls();
    return urls.size() == 1 && urls[0].isLocalFile() ? urls[0].toLocalFile() : QString();
}

} // namespace

MainWindow::MainWindow(QWidget* parent) : QMainWindow(parent)
{
    loadResources();
    setWindowIcon(QIcon(QStringLiteral(":/postnas/icons/app.svg")));
    setAcceptDrops(true);
    setDockOptions(QMainWindow::AnimatedDocks | QMainWindow::AllowTabbedDocks | QMainWindow::AllowNestedDocks);
    makePages();
    makeDocks();
    makeActions();
    makeMenus();
    connectViews();
    m_saveTimer.setSingleShot(true);
    m_saveTimer.setInterval(kSaveDelayMs);
    connect(&m_saveTimer, &QTimer::timeout, this, &MainWindow::saveSession);
    resize(1280, 820);
    refreshIcons();
    resizeDocks({m_projectDock}, {270}, Qt::Horizontal);
    resizeDocks({m_logDock}, {150}, Qt::Vertical);
    m_defaultLayout = QMainWindow::saveState(Settings::kLayoutVersion);
    if (const QByteArray geometry = m_settings.windowGeometry(); !geometry.isEmpty())
        restoreGeometry(geometry);
    if (const QByteArray layout = m_settings.windowLayout(); !layout.isEmpty())
        QMainWindow::restoreState(layout, Settings::kLayoutVersion);
    refreshRecent();
    refreshTitle();
    refreshActions();
}

MainWindow::~MainWindow()
{
    // Views hold launchers and connections of the session: they let go before it dies.
    m_runPage->showNothing();
    m_session.reset();
}

void MainWindow::makePages()
{
    m_central = new QStackedWidget(this);
    m_welcome = new WelcomePage(m_central);
    m_welcome->setQuickStartAvailable(!quickStartModel().isEmpty());
    m_pages = new QTabWidget(m_central);
    m_pages->setDocumentMode(true);
    m_pages->setObjectName(QStringLiteral("pages"));
    m_checkpointPage = new CheckpointPage(m_pages);
    m_editor = new PlacementEditor(m_document, m_pages);
    m_runPage = new RunPage(m_pages);
    m_heatmap = new HeatmapView(m_pages);
    m_search = new SearchPlotView(m_pages);
    m_chat = new ChatView(m_pages);
    m_pages->addTab(m_checkpointPage, tr("Checkpoint"));
    m_pages->addTab(m_editor, tr("Placement"));
    m_pages->addTab(m_runPage, tr("Run"));
    m_pages->addTab(m_heatmap, tr("Heatmap"));
    m_pages->addTab(m_search, tr("Search results"));
    m_pages->addTab(m_chat, tr("Chat"));
    m_central->addWidget(m_welcome);
    m_central->addWidget(m_pages);
    setCentralWidget(m_central);
}

void MainWindow::makeDocks()
{
    m_treeModel = new ProjectModel(this);
    m_tree = new QTreeView(this);
    m_tree->setModel(m_treeModel);
    m_tree->setObjectName(QStringLiteral("projectTree"));
    m_tree->setHeaderHidden(true);
    m_tree->setEditTriggers(QAbstractItemView::NoEditTriggers);
    m_tree->setIconSize({20, 20});
    m_tree->setIndentation(12);
    m_tree->setMinimumWidth(130); // names stay readable in a narrow window
    m_tree->setTextElideMode(Qt::ElideMiddle);
    m_tree->setAccessibleName(tr("Checkpoints and runs of the project"));
    m_tree->expandAll();
    m_projectDock = new QDockWidget(tr("Project"), this);
    m_projectDock->setObjectName(QStringLiteral("projectDock"));
    m_projectDock->setWidget(m_tree);
    addDockWidget(Qt::LeftDockWidgetArea, m_projectDock);
    m_log = new LogView(this);
    m_log->setMinimumHeight(m_log->fontMetrics().lineSpacing() * 3); // on a small screen the pages need the room
    m_logDock = new QDockWidget(tr("Log"), this);
    m_logDock->setObjectName(QStringLiteral("logDock"));
    m_logDock->setWidget(m_log);
    addDockWidget(Qt::BottomDockWidgetArea, m_logDock);
    m_statusProject = new ElidedLabel(this);
    m_statusRun = plainLabel(this);
    statusBar()->addWidget(m_statusProject, 1);
    statusBar()->addPermanentWidget(m_statusRun);
}

void MainWindow::connectViews()
{
    connect(m_welcome, &WelcomePage::newProjectRequested, this, &MainWindow::askNewProject);
    connect(m_welcome, &WelcomePage::openProjectRequested, this, &MainWindow::askOpenProject);
    connect(m_welcome, &WelcomePage::openCheckpointRequested, this, &MainWindow::askImportCheckpoint);
    connect(m_welcome, &WelcomePage::quickStartRequested, this, &MainWindow::openQuickStart);
    connect(m_welcome, &WelcomePage::projectChosen, this, &MainWindow::openPath);
    connect(m_checkpointPage, &CheckpointPage::openRequested, this, &MainWindow::askImportCheckpoint);
    connect(m_checkpointPage, &CheckpointPage::editRequested, this, &MainWindow::editCheckpoint);
    connect(m_checkpointPage, &CheckpointPage::searchRequested, this, &MainWindow::newSearch);
    connect(m_checkpointPage, &CheckpointPage::chatRequested, this, [this] {
        if (const auto& summary = m_checkpointPage->summary()) {
            showPage(Page::Chat);
            m_chat->setModel(m_chat->model(0).isEmpty() || m_chat->model(0) == summary->path ? 0 : 1, summary->path);
        }
    });
    connect(m_editor, &PlacementEditor::problem, this, [this](const QString& text) { statusBar()->showMessage(text, 8000); });
    connect(m_editor, &PlacementEditor::saveRequested, this, &MainWindow::askSavePlacement);
    connect(m_editor, &PlacementEditor::loadRequested, this, &MainWindow::askOpenPlacement);
    connect(m_runPage, &RunPage::searchRequested, this, &MainWindow::newSearch);
    connect(m_runPage, &RunPage::logCleared, m_log, &LogView::clear);
    connect(m_runPage, &RunPage::logLines, m_log, &LogView::addLines);
    connect(m_runPage, &RunPage::stateChanged, this, &MainWindow::refreshActions);
    connect(m_heatmap, &HeatmapView::layerActivated, this, [this](int layer) {
        showPage(Page::Placement);
        m_editor->showLayer(layer);
    });
    connect(m_search, &SearchPlotView::placementActivated, this, &MainWindow::applyPlacement);
    const auto markLayers = [this] {
        QVector<int> full;
        for (int i = 0; i < m_document.layerCount(); ++i)
            if (m_document.layer(i).block == "attention")
                full.append(i);
        m_heatmap->setMarkedLayers(full);
        m_saveTimer.start();
    };
    connect(&m_document, &PlacementDocument::layersChanged, this, markLayers);
    connect(&m_document, &PlacementDocument::replaced, this, markLayers);
    connect(&m_document, &PlacementDocument::replaced, this, &MainWindow::refreshActions);
    connect(&m_document, &PlacementDocument::contextChanged, &m_saveTimer, qOverload<>(&QTimer::start));
    connect(m_document.undoStack(), &QUndoStack::cleanChanged, this, &MainWindow::refreshTitle);
    connect(m_chat, &ChatView::conversationChanged, &m_saveTimer, qOverload<>(&QTimer::start));
    connect(m_pages, &QTabWidget::currentChanged, &m_saveTimer, qOverload<>(&QTimer::start));
    connect(m_pages, &QTabWidget::currentChanged, this, &MainWindow::markInTree);
    const auto openItem = [this](const QModelIndex& index) {
        const QString key = index.data(ProjectModel::KeyRole).toString();
        const auto kind = static_cast<ProjectModel::Kind>(index.data(ProjectModel::KindRole).toInt());
        if (kind == ProjectModel::Kind::Checkpoint) {
            openCheckpoint(key);
            showPage(Page::Checkpoint);
        } else if (kind == ProjectModel::Kind::Run) {
            showRun(key);
            const Page page = currentPage();
            if (page != Page::Heatmap && page != Page::Search)
                showPage(Page::Run);
        }
    };
    connect(m_tree, &QTreeView::clicked, this, openItem);
    connect(m_tree, &QTreeView::activated, this, openItem);
}

void MainWindow::refreshIcons()
{
    for (const auto& [action, name] : m_iconNames)
        action->setIcon(themedIcon(name, palette()));
    static const char* const icons[] = {"checkpoint", "placement", "activity", "heatmap", "plot", "chat"};
    for (int i = 0; i < m_pages->count(); ++i)
        m_pages->setTabIcon(i, themedIcon(QString::fromLatin1(icons[i]), palette()));
    m_treeModel->setIcons(themedIcon(QStringLiteral("checkpoint"), palette()), themedIcon(QStringLiteral("activity"), palette()));
}

void MainWindow::resetLayout()
{
    m_settings.clearWindow();
    QMainWindow::restoreState(m_defaultLayout, Settings::kLayoutVersion);
    resizeDocks({m_projectDock}, {270}, Qt::Horizontal);
    resizeDocks({m_logDock}, {150}, Qt::Vertical);
}

void MainWindow::markInTree()
{
    switch (currentPage()) {
    case Page::Checkpoint: m_tree->setCurrentIndex(m_treeModel->indexOf(ProjectModel::Kind::Checkpoint, m_checkpointPath)); break;
    case Page::Run:
    case Page::Heatmap:
    case Page::Search: m_tree->setCurrentIndex(m_treeModel->indexOf(ProjectModel::Kind::Run, m_runId)); break;
    case Page::Placement:
    case Page::Chat: break; // about more than one of them
    }
}

void MainWindow::showPage(Page page)
{
    m_central->setCurrentWidget(m_pages);
    m_pages->setCurrentIndex(static_cast<int>(page));
}

bool MainWindow::showPageNamed(const QString& name)
{
    for (int i = 0; i < m_pages->count(); ++i) {
        if (name == QLatin1String(kPageNames[i])) {
            showPage(static_cast<Page>(i));
            return true;
        }
    }
    return false;
}

MainWindow::Page MainWindow::currentPage() const { return static_cast<Page>(m_pages->currentIndex()); }
bool MainWindow::isWelcome() const { return m_central->currentWidget() == m_welcome; }

bool MainWindow::isSettled() const
{
    return m_pendingReads == 0 && (m_runPage->launcher() == nullptr || m_runPage->isCaughtUp());
}

void MainWindow::setThemeMode(ThemeMode mode, bool remember)
{
    applyTheme(*static_cast<QApplication*>(QCoreApplication::instance()), mode);
    if (remember)
        m_settings.setTheme(themeModeName(mode));
    for (QAction* action : m_themeActions->actions())
        action->setChecked(action->data().toInt() == static_cast<int>(mode));
}

void MainWindow::changeEvent(QEvent* event)
{
    QMainWindow::changeEvent(event);
    if (event->type() == QEvent::PaletteChange && m_pages != nullptr && m_treeModel != nullptr)
        refreshIcons();
}

void MainWindow::closeEvent(QCloseEvent* event)
{
    if (!mayReplacePlacement()) {
        event->ignore();
        return;
    }
    saveSession();
    m_settings.setWindow(saveGeometry(), QMainWindow::saveState(Settings::kLayoutVersion));
    event->accept();
}

void MainWindow::dragEnterEvent(QDragEnterEvent* event)
{
    const QString path = droppedPath(event->mimeData());
    // Anything local may be dropped: what cannot be opened is explained, which helps more than a forbidden sign.
    if (!path.isEmpty())
        event->acceptProposedAction();
}

void MainWindow::dropEvent(QDropEvent* event)
{
    const QString path = droppedPath(event->mimeData());
    if (path.isEmpty())
        return;
    event->acceptProposedAction();
    openPath(path);
}

void MainWindow::report(const QString& title, const Problem& problem)
{
    logMessage(problem.text());
    showProblem(this, title, problem);
}

void MainWindow::logMessage(const QString& text) { m_log->addLines(displayText(text).split(QLatin1Char('\n'))); }

} // namespace postnas
