// A list of files or folders with buttons to add and remove.
#pragma once

#include <QStringList>
#include <QWidget>

class QListWidget;

namespace postnas {

class PathList : public QWidget {
    Q_OBJECT
public:
    enum class Kind { Files, FilesOrFolders };

    PathList(Kind kind, const QString& what, const QString& filter, QWidget* parent = nullptr);

    QStringList paths() const;
    void setPaths(const QStringList& paths);

Q_SIGNALS:
    void changed();

protected:
    void dragEnterEvent(QDragEnterEvent* event) override;
    void dropEvent(QDropEvent* event) override;

private:
    void add(const QStringList& paths);
    void removeSelected();

    QString m_what;
    QString m_filter;
    QListWidget* m_list;
};

} // namespace postnas
