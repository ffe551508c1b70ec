// Choosing files for a spec.
#include "widgets/jobs/path_list.h"

#include <QDir>
#include <QDragEnterEvent>
#include <QFileDialog>
#include <QFileInfo>
#include <QHBoxLayout>
#include <QListWidget>
#include <QMimeData>
#include <QPushButton>
#include <QShortcut>
#include <QVBoxLayout>

namespace postnas {

PathList::PathList(Kind kind, const QString& what, const QString& filter, QWidget* parent)
    : QWidget(parent), m_what(what), m_filter(filter), m_list(new QListWidget(this))
{
    m_list->setSelectionMode(QAbstractItemView::ExtendedSelection);
    m_list->setTextElideMode(Qt::ElideLeft);
    m_list->setAccessibleName(what);
    m_list->setMinimumHeight(m_list->fontMetrics().height() * 4);
    setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Expanding);
    auto* row = new QHBoxLayout(this);
    row->setContentsMargins(0, 0, 0, 0);
    row->addWidget(m_list, 1);
    auto* buttons = new QVBoxLayout;
    auto* files = new QPushButton(tr("Add files…"), this);
    connect(files, &QPushButton::clicked, this, [this] {
        add(QFileDialog::getOpenFileNames(this, m_what, paths().isEmpty() ? QString() : QFileInfo(paths().constLast()).path(), m_filter));
    });
    buttons->addWidget(files);
    if (kind == Kind::FilesOrFolders) {
        auto* folder = new QPushButton(tr("Add folder…"), this);
        connect(folder, &QPushButton::clicked, this, [this] {
            const QString path = QFileDialog::getExistingDirectory(this, m_what);
            if (!path.isEmpty())
                add({path});
        });
        buttons->addWidget(folder);
    }
    auto* remove = new QPushButton(tr("Remove"), this);
    connect(remove, &QPushButton::clicked, this, &PathList::removeSelected);
    auto* key = new QShortcut(QKeySequence::Delete, m_list, nullptr, nullptr, Qt::WidgetShortcut);
    connect(key, &QShortcut::activated, this, &PathList::removeSelected);
    buttons->addWidget(remove);
    buttons->addStretch();
    row->addLayout(buttons);
    setAcceptDrops(true);
    setFocusProxy(m_list);
}

QStringList PathList::paths() const
{
    QStringList out;
    for (int i = 0; i < m_list->count(); ++i)
        out.append(m_list->item(i)->text());
    return out;
}

void PathList::setPaths(const QStringList& paths)
{
    m_list->clear();
    add(paths);
}

void PathList::add(const QStringList& added)
{
    QStringList known = paths();
    for (const QString& path : added) {
        const QString clean = QDir::cleanPath(QFileInfo(path).absoluteFilePath());
        if (known.contains(clean))
            continue;
        known.append(clean);
        m_list->addItem(clean);
        // A tooltip that begins like a tag would be read as rich text.
        m_list->item(m_list->count() - 1)->setToolTip(clean.toHtmlEscaped());
    }
    Q_EMIT changed();
}

void PathList::removeSelected()
{
    qDeleteAll(m_list->selectedItems());
    Q_EMIT changed();
}

void PathList::dragEnterEvent(QDragEnterEvent* event)
{
    if (event->mimeData()->hasUrls())
        event->acceptProposedAction();
}

void PathList::dropEvent(QDropEvent* event)
{
    QStringList dropped;
    for (const QUrl& url : event->mimeData()->urls())
        if (url.isLocalFile())
            dropped.append(url.toLocalFile());
    add(dropped);
    event->acceptProposedAction();
}

} // namespace postnas
