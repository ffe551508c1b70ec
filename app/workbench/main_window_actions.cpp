// Menus, toolbar, shortcuts and the dialogs behind them.
#include <QAction>
#include <QActionGroup>
#include <QApplication>
#include <QDir>
#include <QDockWidget>
#include <QFileDialog>
#include <QMenu>
#include <QMenuBar>
#include <QMessageBox>
#include <QPlainTextEdit>
#include <QStatusBar>
#include <QTabWidget>
#include <QToolBar>
#include <QVBoxLayout>

#include "app/workbench/main_window.h"
#include "app/workbench/welcome_page.h"
#include "widgets/heatmap/heatmap_view.h"
#include "widgets/jobs/run_page.h"
#include "widgets/plots/search_plot_view.h"
#include "widgets/services/convert.h"

namespace postnas {

QAction* MainWindow::addAction(const QString& text, const QString& icon, const QKeySequence& key, const QString& help)
{
    auto* action = new QAction(text, this);
    action->setShortcut(key);
    QString tip = help.isEmpty() ? QString(text).remove(QLatin1Char('&')) : help;
    if (!key.isEmpty())
        tip += QStringLiteral(" (%1)").arg(key.toString(QKeySequence::NativeText));
    action->setToolTip(tip);
    action->setStatusTip(help);
    if (!icon.isEmpty())
        m_iconNames.emplace_back(action, icon);
    QMainWindow::addAction(action);
    return action;
}

void MainWindow::makeActions()
{
    m_newProject = addAction(tr("&New project…"), QStringLiteral("project-new"), QKeySequence::New, tr("Make a project folder"));
    m_openProject = addAction(tr("&Open project…"), QStringLiteral("project"), QKeySequence::Open, tr("Open a folder with project.json"));
    m_closeProject = addAction(tr("&Close project"), {}, QKeySequence::Close, tr("Back to the welcome page; runs go on"));
    m_import = addAction(tr("&Import checkpoint…"), QStringLiteral("checkpoint"), QKeySequence(tr("Ctrl+I")),
                         tr("Look at a model folder, and add it to the project"));
    m_openPlacement = addAction(tr("Open &placement…"), {}, QKeySequence(tr("Ctrl+Shift+O")), tr("Take the layers of a config.json"));
    m_savePlacement = addAction(tr("&Save placement…"), QStringLiteral("save"), QKeySequence::Save, tr("Write the placement as config.json"));
    m_export = addAction(tr("&Export this page…"), {}, QKeySequence(tr("Ctrl+E")), tr("Write a picture or the numbers of the page that is shown"));
    m_quit = addAction(tr("&Quit"), {}, QKeySequence::Quit, tr("Close the window; runs go on"));
    m_newSearch = addAction(tr("New placement &search…"), QStringLiteral("search"), QKeySequence(tr("Ctrl+R")),
                            tr("Find which layers need full attention"));
    m_stop = addAction(tr("S&top run"), QStringLiteral("stop"), QKeySequence(tr("Ctrl+.")), tr("Save a checkpoint and end; it can be resumed"));
    m_resume = addAction(tr("&Resume run"), QStringLiteral("resume"), QKeySequence(tr("Ctrl+Shift+R")), tr("Continue from the newest checkpoint"));
    m_chatHybrid = addAction(tr("&Chat: teacher beside hybrid"), QStringLiteral("chat"), QKeySequence(tr("Ctrl+Shift+C")),
                             tr("Load the run's teacher at the left and its hybrid at the right"));
    m_undo = m_document.undoStack()->createUndoAction(this, tr("&Undo"));
    m_redo = m_document.undoStack()->createRedoAction(this, tr("&Redo"));
    m_undo->setShortcut(QKeySequence::Undo);
    m_redo->setShortcuts({QKeySequence(tr("Ctrl+Shift+Z")), QKeySequence(tr("Ctrl+Y"))});
    QMainWindow::addAction(m_undo);
    QMainWindow::addAction(m_redo);
    m_iconNames.emplace_back(m_undo, QStringLiteral("undo"));
    m_iconNames.emplace_back(m_redo, QStringLiteral("redo"));

    connect(m_newProject, &QAction::triggered, this, &MainWindow::askNewProject);
    connect(m_openProject, &QAction::triggered, this, &MainWindow::askOpenProject);
    connect(m_closeProject, &QAction::triggered, this, &MainWindow::closeProject);
    connect(m_import, &QAction::triggered, this, &MainWindow::askImportCheckpoint);
    connect(m_openPlacement, &QAction::triggered, this, &MainWindow::askOpenPlacement);
    connect(m_savePlacement, &QAction::triggered, this, &MainWindow::askSavePlacement);
    connect(m_export, &QAction::triggered, this, &MainWindow::askExport);
    connect(m_quit, &QAction::triggered, this, &QWidget::close);
    connect(m_newSearch, &QAction::triggered, this, &MainWindow::newSearch);
    connect(m_stop, &QAction::triggered, this, [this] {
        if (m_runPage->launcher() != nullptr)
            m_runPage->launcher()->stop();
    });
    connect(m_resume, &QAction::triggered, this, [this] {
        if (m_runPage->launcher() != nullptr)
            m_runPage->launcher()->start();
    });
    connect(m_chatHybrid, &QAction::triggered, this, &MainWindow::chatTeacherAndHybrid);
}

void MainWindow::makeMenus()
{
    QMenu* file = menuBar()->addMenu(tr("&File"));
    file->addActions({m_newProject, m_openProject});
    m_recentMenu = file->addMenu(tr("&Recent projects"));
    file->addAction(m_closeProject);
    file->addSeparator();
    file->addAction(m_import);
    file->addActions({m_openPlacement, m_savePlacement});
    file->addSeparator();
    file->addAction(m_export);
    file->addSeparator();
    file->addAction(m_quit);

    QMenu* edit = menuBar()->addMenu(tr("&Edit"));
    edit->addActions({m_undo, m_redo});

    m_toolBar = addToolBar(tr("Tools"));
    m_toolBar->setObjectName(QStringLiteral("toolBar"));
    m_toolBar->setIconSize({20, 20});
    m_toolBar->setToolButtonStyle(Qt::ToolButtonTextBesideIcon);

    QMenu* view = menuBar()->addMenu(tr("&View"));
    for (int i = 0; i < m_pages->count(); ++i) {
        QAction* action = addAction(m_pages->tabText(i), {}, QKeySequence(QStringLiteral("Ctrl+%1").arg(i + 1)), {});
        connect(action, &QAction::triggered, this, [this, i] { showPage(static_cast<Page>(i)); });
        view->addAction(action);
    }
    view->addSeparator();
    view->addAction(m_projectDock->toggleViewAction());
    view->addAction(m_logDock->toggleViewAction());
    view->addAction(m_toolBar->toggleViewAction());
    QAction* reset = addAction(tr("&Reset layout"), {}, {}, tr("Put docks and toolbar back to where they were at first"));
    connect(reset, &QAction::triggered, this, &MainWindow::resetLayout);
    view->addAction(reset);
    view->addSeparator();
    QMenu* theme = view->addMenu(tr("&Theme"));
    m_themeActions = new QActionGroup(this);
    const std::pair<ThemeMode, QString> modes[] = {
        {ThemeMode::System, tr("As the &system")}, {ThemeMode::Light, tr("&Light")}, {ThemeMode::Dark, tr("&Dark")}};
    for (const auto& [mode, title] : modes) {
        QAction* action = theme->addAction(title);
        action->setCheckable(true);
        action->setData(static_cast<int>(mode));
        action->setChecked(themeModeFromName(m_settings.theme()) == mode);
        m_themeActions->addAction(action);
        connect(action, &QAction::triggered, this, [this, mode = mode] { setThemeMode(mode); });
    }

    QMenu* run = menuBar()->addMenu(tr("&Run"));
    run->addActions({m_newSearch, m_stop, m_resume});
    run->addSeparator();
    run->addAction(m_chatHybrid);

    QMenu* help = menuBar()->addMenu(tr("&Help"));
    QAction* shortcuts = addAction(tr("&Keyboard shortcuts"), {}, QKeySequence::HelpContents, {});
    connect(shortcuts, &QAction::triggered, this, &MainWindow::showShortcuts);
    help->addAction(shortcuts);
    help->addSeparator();
    help->addAction(tr("&About PostNAS Workbench"), this, &MainWindow::showAbout);
    help->addAction(tr("About &Qt"), qApp, &QApplication::aboutQt);

    m_toolBar->addActions({m_openProject, m_import});
    m_toolBar->addSeparator();
    m_toolBar->addActions({m_undo, m_redo});
    m_toolBar->addSeparator();
    m_toolBar->addActions({m_newSearch, m_stop, m_resume});
    m_toolBar->addSeparator();
    m_toolBar->addAction(m_chatHybrid);
    // Short words where the menu has room for long ones.
    m_openProject->setIconText(tr("Open"));
    m_import->setIconText(tr("Checkpoint"));
    m_newSearch->setIconText(tr("New search"));
    m_stop->setIconText(tr("Stop"));
    m_resume->setIconText(tr("Resume"));
    m_undo->setIconText(tr("Undo"));
    m_redo->setIconText(tr("Redo"));
    m_chatHybrid->setIconText(tr("Compare in chat"));
    for (QAction* action : {m_undo, m_redo})
        action->setPriority(QAction::LowPriority); // icon only
}

void MainWindow::refreshRecent()
{
    const QStringList recent = m_settings.recentProjects();
    m_welcome->setRecent(recent);
    m_recentMenu->clear();
    int number = 1;
    for (const QString& path : recent) {
        QString title = displayText(QDir::toNativeSeparators(path), 200);
        title.replace(QLatin1Char('&'), QLatin1String("&&"));
        QAction* action = m_recentMenu->addAction(number < 10 ? QStringLiteral("&%1  %2").arg(number).arg(title) : title);
        connect(action, &QAction::triggered, this, [this, path] { openProject(path); });
        ++number;
    }
    m_recentMenu->setEnabled(!recent.isEmpty());
}

void MainWindow::askNewProject()
{
    QFileDialog dialog(this, tr("New project: a name for its folder"), QDir::homePath());
    dialog.setAcceptMode(QFileDialog::AcceptSave);
    dialog.setOption(QFileDialog::ShowDirsOnly);
    dialog.setLabelText(QFileDialog::FileName, tr("&Folder name:"));
    dialog.setLabelText(QFileDialog::Accept, tr("&Create"));
    dialog.selectFile(tr("postnas-project"));
    if (dialog.exec() == QDialog::Accepted && !dialog.selectedFiles().isEmpty())
        createProject(dialog.selectedFiles().constFirst(), m_session == nullptr ? m_checkpointPath : QString());
}

void MainWindow::askOpenProject()
{
    const QString folder = QFileDialog::getExistingDirectory(this, tr("Open project"), m_settings.lastProject());
    if (!folder.isEmpty())
        openPath(folder);
}

void MainWindow::askImportCheckpoint()
{
    const QString folder = QFileDialog::getExistingDirectory(this, tr("Import checkpoint: the folder with config.json"), m_checkpointPath);
    if (!folder.isEmpty())
        openCheckpoint(folder);
}

void MainWindow::askSavePlacement()
{
    if (m_document.isEmpty())
        return;
    const QString file = QFileDialog::getSaveFileName(this, tr("Save placement"), QStringLiteral("config.json"), tr("Model configs (*.json)"));
    if (file.isEmpty())
        return;
    try {
        m_document.save(toPath(file));
        statusBar()->showMessage(tr("Saved %1").arg(file), 5000);
    } catch (...) {
        report(tr("Save placement"), Problem::current());
    }
}

void MainWindow::askOpenPlacement()
{
    if (m_document.isEmpty())
        return;
    const QString file = QFileDialog::getOpenFileName(this, tr("Open placement"), {}, tr("Model configs (*.json);;All files (*)"));
    if (file.isEmpty())
        return;
    try {
        m_document.load(toPath(file));
        showPage(Page::Placement);
    } catch (...) {
        report(tr("Open placement"), Problem::current());
    }
}

void MainWindow::askExport()
{
    const Page page = currentPage();
    PlotTableView* numbers = nullptr;
    if (!isWelcome() && page == Page::Heatmap)
        numbers = m_heatmap;
    else if (!isWelcome() && page == Page::Search)
        numbers = m_search;
    const QString file = QFileDialog::getSaveFileName(this, tr("Export this page"), QStringLiteral("postnas.png"),
                                                      numbers != nullptr ? tr("Pictures and tables (*.png *.svg *.csv)") : tr("Pictures (*.png)"));
    if (file.isEmpty())
        return;
    try {
        if (numbers != nullptr)
            numbers->exportTo(file);
        else if (!centralWidget()->grab().save(file))
            throw resourceError(toStd(file) + ": " + toStd(tr("the picture could not be written")),
                                toStd(tr("Choose a writable folder and a name that ends in .png.")));
        statusBar()->showMessage(tr("Wrote %1").arg(file), 5000);
    } catch (...) {
        report(tr("Export"), Problem::current());
    }
}

void MainWindow::showShortcuts()
{
    const QList<QPair<QString, QString>> board {{tr("Arrows, Home, End"), tr("move on the board; with Shift extend the selection")},
                                                {tr("1 … 9"), tr("set the block with that number")},
                                                {tr("Letter"), tr("set the next block that begins with it")},
                                                {tr("Return"), tr("open the block chooser")},
                                                {tr("Delete"), tr("the teacher's block again")}};
    QString text;
    for (const QAction* action : actions())
        if (!action->shortcut().isEmpty())
            text += QStringLiteral("%1\t%2\n").arg(action->shortcut().toString(QKeySequence::NativeText), QString(action->text()).remove(QLatin1Char('&')));
    text += QLatin1Char('\n') + tr("On the placement board") + QLatin1Char('\n');
    for (const auto& [key, what] : board)
        text += QStringLiteral("%1\t%2\n").arg(key, what);
    auto* dialog = new QDialog(this);
    dialog->setAttribute(Qt::WA_DeleteOnClose);
    dialog->setWindowTitle(tr("Keyboard shortcuts"));
    auto* layout = new QVBoxLayout(dialog);
    auto* view = new QPlainTextEdit(text, dialog);
    view->setReadOnly(true);
    view->setTabStopDistance(view->fontMetrics().horizontalAdvance(QLatin1Char('m')) * 16);
    layout->addWidget(view);
    dialog->resize(560, 520);
    dialog->open();
}

void MainWindow::showAbout()
{
    auto* box = new QMessageBox(this);
    box->setAttribute(Qt::WA_DeleteOnClose);
    box->setWindowTitle(tr("About PostNAS Workbench"));
    box->setTextFormat(Qt::PlainText);
    box->setIconPixmap(windowIcon().pixmap(64, 64));
    box->setText(tr("PostNAS Workbench %1\n\nExplores which layers of a language model need full attention, and builds hybrids with "
                    "linear-attention layers.\n\nFree software under the GNU General Public License, version 3 or later.")
                     .arg(QCoreApplication::applicationVersion()));
    box->open();
}

} // namespace postnas
