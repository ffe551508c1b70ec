// The welcome page.
#include "app/workbench/welcome_page.h"

#include <QDir>
#include <QHBoxLayout>
#include <QIcon>
#include <QLabel>
#include <QListWidget>
#include <QPushButton>
#include <QScrollArea>
#include <QVBoxLayout>

#include "widgets/services/convert.h"
#include "widgets/theme/theme.h"

namespace postnas {

WelcomePage::WelcomePage(QWidget* parent) : QWidget(parent)
{
    auto* frame = new QVBoxLayout(this);
    frame->setContentsMargins(0, 0, 0, 0);
    auto* scroll = new QScrollArea(this); // for small screens
    scroll->setWidgetResizable(true);
    scroll->setFrameShape(QFrame::NoFrame);
    frame->addWidget(scroll);
    auto* body = new QWidget(scroll);
    scroll->setWidget(body);
    auto* outer = new QHBoxLayout(body);
    auto* panel = new QWidget(body);
    panel->setMaximumWidth(640);
    auto* column = new QVBoxLayout(panel);
    column->setSpacing(kSpace);
    outer->addStretch(1);
    outer->addWidget(panel, 4);
    outer->addStretch(1);

    auto* head = new QHBoxLayout;
    auto* icon = new QLabel(panel);
    icon->setPixmap(QIcon(QStringLiteral(":/postnas/icons/app.svg")).pixmap(72, 72));
    auto* title = new QLabel(tr("PostNAS Workbench"), panel);
    QFont font = title->font();
    font.setPointSizeF(font.pointSizeF() * 2);
    font.setBold(true);
    title->setFont(font);
    auto* words = new QLabel(tr("Find which layers of a language model need full attention, replace the rest, and compare the hybrid "
                                "with the original."),
                             panel);
    words->setWordWrap(true);
    auto* text = new QVBoxLayout;
    text->addWidget(title);
    text->addWidget(words);
    head->addWidget(icon, 0, Qt::AlignTop);
    head->addSpacing(kSpaceLarge);
    head->addLayout(text, 1);
    column->addStretch(1);
    column->addLayout(head);
    column->addSpacing(kSpaceLarge * 2);

    const auto addButton = [&](const QString& caption, const QString& help) {
        auto* button = new QPushButton(caption, panel);
        button->setToolTip(help);
        button->setMinimumHeight(40);
        button->setStyleSheet(QStringLiteral("text-align: left; padding-left: 16px;"));
        column->addWidget(button);
        return button;
    };
    m_quickStart = addButton(tr("Open the &quick-start"), tr("A small trained model with three tasks, ready to search"));
    auto* create = addButton(tr("&New project…"), tr("A folder that keeps runs, results and chats together"));
    auto* open = addButton(tr("&Open project…"), tr("A folder with project.json"));
    auto* checkpoint = addButton(tr("Look at a &checkpoint…"), tr("A folder with config.json; no project is made"));
    connect(m_quickStart, &QPushButton::clicked, this, &WelcomePage::quickStartRequested);
    connect(create, &QPushButton::clicked, this, &WelcomePage::newProjectRequested);
    connect(open, &QPushButton::clicked, this, &WelcomePage::openProjectRequested);
    connect(checkpoint, &QPushButton::clicked, this, &WelcomePage::openCheckpointRequested);
    m_quickStart->setObjectName(QStringLiteral("quickStart"));

    column->addSpacing(kSpaceLarge);
    m_recentTitle = new QLabel(tr("Recent projects"), panel);
    m_recent = new QListWidget(panel);
    m_recent->setAccessibleName(tr("Recent projects"));
    m_recent->setMaximumHeight(150);
    m_recent->setTextElideMode(Qt::ElideMiddle);
    connect(m_recent, &QListWidget::itemActivated, this,
            [this](QListWidgetItem* item) { Q_EMIT projectChosen(item->data(Qt::UserRole).toString()); });
    column->addWidget(m_recentTitle);
    column->addWidget(m_recent);
    auto* drop = new QLabel(tr("A project or checkpoint folder can also be dropped here."), panel);
    drop->setForegroundRole(QPalette::PlaceholderText);
    column->addSpacing(kSpace);
    column->addWidget(drop);
    column->addStretch(2);
}

void WelcomePage::setRecent(const QStringList& projects)
{
    m_recent->clear();
    for (const QString& path : projects) {
        auto* item = new QListWidgetItem(displayText(QStringLiteral("%1   —   %2").arg(QDir(path).dirName(), path), 400), m_recent);
        item->setData(Qt::UserRole, path);
    }
    m_recent->setVisible(!projects.isEmpty());
    m_recentTitle->setVisible(!projects.isEmpty());
}

void WelcomePage::setQuickStartAvailable(bool available) { m_quickStart->setVisible(available); }

} // namespace postnas
