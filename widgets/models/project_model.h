// The tree at the left of the window: checkpoints and runs of the project.
#pragma once

#include <vector>

#include <QIcon>
#include <QStandardItemModel>
#include <QStringList>

#include "widgets/services/project_session.h"

namespace postnas {

class ProjectModel : public QStandardItemModel {
    Q_OBJECT
public:
    enum Role { KindRole = Qt::UserRole, KeyRole };
    enum class Kind { Group, Checkpoint, Run };

    explicit ProjectModel(QObject* parent = nullptr);

    struct CheckpointEntry {
        QString label;
        QString path;
    };
    /// Brings the tree in step and keeps items that stay, so that selection and expansion stay too.
    void setCheckpoints(const std::vector<CheckpointEntry>& checkpoints);
    void setRuns(const std::vector<RunEntry>& runs);
    void setIcons(const QIcon& checkpoint, const QIcon& run);

    QStandardItem* checkpointGroup() const { return m_checkpoints; }
    QStandardItem* runGroup() const { return m_runs; }
    QModelIndex indexOf(Kind kind, const QString& key) const;

private:
    QStandardItem* place(QStandardItem* group, int row, Kind kind, const QString& key);

    QStandardItem* m_checkpoints;
    QStandardItem* m_runs;
    QIcon m_checkpointIcon, m_runIcon;
};

/// "20260101-101112-placement" -> "Placement search, 2026-01-01 10:11"; other ids stay as they are.
QString runLabel(const RunEntry& run);
/// The stage for people: "placement" -> "Placement search".
QString stageLabel(const QString& stage);

} // namespace postnas
