// Command line, look and screenshot of the desktop.
#include "app/workbench/application.h"

#include <algorithm>
#include <cstdio>
#include <functional>

#include <QApplication>
#include <QByteArrayView>
#include <QCommandLineParser>
#include <QElapsedTimer>
#include <QIcon>
#include <QTimer>
#include <QTranslator>

#include "app/workbench/main_window.h"
#include "core/project/project.h"
#include "widgets/services/convert.h"

namespace postnas {
namespace {

constexpr int kScreenshotLimitMs = 30000;
constexpr int kScreenshotRestMs = 700; ///< for plots that draw a moment later

/// Without a display Qt aborts. Help and pictures need none, so they get a platform without one; for a window false.
bool hasPlatform(int argc, char** argv)
{
    const auto given = [&](const std::function<bool(QByteArrayView)>& wanted) { return std::any_of(argv + 1, argv + argc, wanted); };
    if (qEnvironmentVariableIsSet("DISPLAY") || qEnvironmentVariableIsSet("WAYLAND_DISPLAY") || qEnvironmentVariableIsSet("QT_QPA_PLATFORM")
        || given([](QByteArrayView a) { return a == "-platform" || a == "--platform"; }))
        return true;
    const bool windowless = given([](QByteArrayView a) {
        return a == "-h" || a == "--help" || a == "--help-all" || a == "-v" || a == "--version" || a == "--screenshot" || a.startsWith("--screenshot=");
    });
    if (windowless)
        qputenv("QT_QPA_PLATFORM", "offscreen");
    return windowless;
}

/// Waits until the window shows everything, then writes the picture and ends the program.
void takeScreenshot(MainWindow& window, const QString& file)
{
    auto* clock = new QElapsedTimer;
    clock->start();
    auto* timer = new QTimer(&window);
    timer->setInterval(100);
    QObject::connect(timer, &QTimer::timeout, &window, [&window, file, clock, timer] {
        if (!window.isSettled() && !clock->hasExpired(kScreenshotLimitMs))
            return;
        timer->stop();
        delete clock;
        QTimer::singleShot(kScreenshotRestMs, &window, [&window, file] {
            const bool written = window.grab().save(file);
            if (!written)
                std::fprintf(stderr, "error: %s: the picture could not be written\n", qPrintable(file));
            QApplication::exit(written ? 0 : 4);
        });
    });
    timer->start();
}

} // namespace

int runWorkbench(int argc, char** argv, const char* version)
{
    if (!hasPlatform(argc, argv)) {
        std::fprintf(stderr, "error: there is no display for a window (DISPLAY and WAYLAND_DISPLAY are not set)\n"
                             "hint: Start it from a desktop session or with `ssh -X`; --screenshot FILE needs no display, and `postnas` does the work without a window.\n");
        return 4;
    }
    QApplication::setHighDpiScaleFactorRoundingPolicy(Qt::HighDpiScaleFactorRoundingPolicy::PassThrough);
    QApplication application(argc, argv);
    QApplication::setOrganizationName(QStringLiteral("postnas"));
    QApplication::setApplicationName(QStringLiteral("postnas-workbench"));
    QApplication::setApplicationDisplayName(QStringLiteral("PostNAS Workbench"));
    QApplication::setApplicationVersion(QString::fromLatin1(version));
    QApplication::setDesktopFileName(QStringLiteral("postnas-workbench"));

    QCommandLineParser parser;
    parser.setApplicationDescription(QApplication::translate("main", "Explores hybrid-attention architectures of language models."));
    parser.addHelpOption();
    parser.addVersionOption();
    parser.addPositionalArgument(QStringLiteral("folder"), QApplication::translate("main", "A project or a checkpoint to open."),
                                 QStringLiteral("[PROJECT|CHECKPOINT]"));
    const QCommandLineOption screenshot(QStringLiteral("screenshot"),
                                        QApplication::translate("main", "Write a picture of the window when everything is loaded, and end."),
                                        QStringLiteral("FILE"));
    const QCommandLineOption size(QStringLiteral("size"), QApplication::translate("main", "Size of the window."), QStringLiteral("WxH"));
    const QCommandLineOption theme(QStringLiteral("theme"), QApplication::translate("main", "light, dark or system, for this start."),
                                   QStringLiteral("NAME"));
    const QCommandLineOption page(QStringLiteral("page"),
                                  QApplication::translate("main", "checkpoint, placement, run, heatmap, search or chat."), QStringLiteral("NAME"));
    parser.addOptions({screenshot, size, theme, page});
    parser.process(application);

    const auto usage = [](const QString& message, const QString& hint) {
        std::fprintf(stderr, "error: %s\nhint: %s\n", qPrintable(message), qPrintable(hint));
        return 2;
    };
    const QStringList folders = parser.positionalArguments();
    if (folders.size() > 1)
        return usage(QApplication::translate("main", "only one folder can be opened"), QStringLiteral("postnas-workbench --help"));

    // A picture for a page of text changes nothing for the person who works here.
    Settings::setRemembering(!parser.isSet(screenshot));
    MainWindow window;
    window.setThemeMode(themeModeFromName(parser.isSet(theme) ? parser.value(theme) : Settings().theme()), false);
    if (parser.isSet(size)) {
        const QStringList parts = parser.value(size).toLower().split(QLatin1Char('x'));
        const QSize wanted = parts.size() == 2 ? QSize(parts[0].toInt(), parts[1].toInt()) : QSize();
        if (wanted.width() < 200 || wanted.height() < 200 || wanted.width() > 16384 || wanted.height() > 16384)
            return usage(QApplication::translate("main", "--size %1 is no size").arg(parser.value(size)), QStringLiteral("--size 1600x1000"));
        window.resize(wanted);
    }
    window.show();
    if (!folders.isEmpty())
        window.openPath(folders[0]);
    else if (const QString last = parser.isSet(screenshot) ? QString() : Settings().lastProject(); !last.isEmpty() && Project::isProject(toPath(last)))
        window.openProject(last);
    if (parser.isSet(page)) {
        const QString name = parser.value(page);
        if (!window.showPageNamed(name))
            return usage(QApplication::translate("main", "--page %1 is not known").arg(name),
                         QApplication::translate("main", "Pages: checkpoint, placement, run, heatmap, search, chat."));
        // Once more when the last session, which has a page of its own, is back.
        auto* timer = new QTimer(&window);
        QObject::connect(timer, &QTimer::timeout, &window, [&window, timer, name] {
            if (!window.isSettled())
                return;
            timer->deleteLater();
            window.showPageNamed(name);
        });
        timer->start(50);
    }
    if (parser.isSet(screenshot))
        takeScreenshot(window, parser.value(screenshot));
    return QApplication::exec();
}

} // namespace postnas
