// Items of the project tree.
#include "widgets/models/project_model.h"

#include <QRegularExpression>

#include "widgets/services/convert.h"

namespace postnas {

QString stageLabel(const QString& stage)
{
    if (stage == QLatin1String("placement"))
        return ProjectModel::tr("Placement search");
    if (stage == QLatin1String("pretrain"))
        return ProjectModel::tr("Pretraining");
    if (stage == QLatin1String("evaluate"))
        return ProjectModel::tr("Evaluation");
    return stage.isEmpty() ? ProjectModel::tr("Run") : displayText(stage, 60);
}

QString runLabel(const RunEntry& run)
{
    static const QRegularExpression form(QStringLiteral("^(\\d{4})(\\d{2})(\\d{2})-(\\d{2})(\\d{2})\\d{2}-"));
    const QRegularExpressionMatch match = form.match(run.id);
    if (!match.hasMatch())
        return displayText(run.id, 80);
    return QStringLiteral("%1, %2-%3-%4 %5:%6")
        .arg(stageLabel(run.stage), match.captured(1), match.captured(2), match.captured(3), match.captured(4), match.captured(5));
}

ProjectModel::ProjectModel(QObject* parent) : QStandardItemModel(parent), m_checkpoints(new QStandardItem), m_runs(new QStandardItem)
{
    m_checkpoints->setText(tr("Checkpoints"));
    m_runs->setText(tr("Runs"));
    for (QStandardItem* group : {m_checkpoints, m_runs}) {
        group->setEditable(false);
        group->setSelectable(false);
        group->setData(static_cast<int>(Kind::Group), KindRole);
        QFont font;
        font.setBold(true);
        group->setFont(font);
        appendRow(group);
    }
}

void ProjectModel::setIcons(const QIcon& checkpoint, const QIcon& run)
{
    m_checkpointIcon = checkpoint;
    m_runIcon = run;
    for (int i = 0; i < m_checkpoints->rowCount(); ++i)
        m_checkpoints->child(i)->setIcon(checkpoint);
    for (int i = 0; i < m_runs->rowCount(); ++i)
        m_runs->child(i)->setIcon(run);
}

QStandardItem* ProjectModel::place(QStandardItem* group, int row, Kind kind, const QString& key)
{
    // Items between here and the wanted one belong to what is gone.
    int found = -1;
    for (int i = row; i < group->rowCount(); ++i) {
        if (group->child(i)->data(KeyRole).toString() == key) {
            found = i;
            break;
        }
    }
    if (found < 0) {
        auto* item = new QStandardItem;
        item->setEditable(false);
        item->setData(static_cast<int>(kind), KindRole);
        item->setData(key, KeyRole);
        item->setIcon(kind == Kind::Run ? m_runIcon : m_checkpointIcon);
        group->insertRow(row, item);
        return item;
    }
    if (found > row)
        group->removeRows(row, found - row);
    return group->child(row);
}

void ProjectModel::setCheckpoints(const std::vector<CheckpointEntry>& checkpoints)
{
    int row = 0;
    for (const CheckpointEntry& entry : checkpoints) {
        QStandardItem* item = place(m_checkpoints, row++, Kind::Checkpoint, entry.path);
        item->setText(displayText(entry.label, 200));
        item->setToolTip(displayText(entry.path).toHtmlEscaped());
    }
    m_checkpoints->removeRows(row, m_checkpoints->rowCount() - row);
}

void ProjectModel::setRuns(const std::vector<RunEntry>& runs)
{
    int row = 0;
    for (auto it = runs.rbegin(); it != runs.rend(); ++it) { // newest first
        QStandardItem* item = place(m_runs, row++, Kind::Run, it->id);
        QString state = runStateName(it->status.state);
        if (it->status.state == RunState::Running && it->total > 0)
            state += QStringLiteral(" %1%").arg(it->done * 100 / it->total);
        const QString label = runLabel(*it);
        // The kind of run on the first line, its time and state on the second: both are short enough for a narrow dock.
        const qsizetype comma = label.indexOf(QStringLiteral(", "));
        item->setText(comma < 0 ? QStringLiteral("%1\n%2").arg(label, state)
                                : QStringLiteral("%1\n%2 · %3").arg(label.left(comma), label.mid(comma + 2), state));
        const QString tip = displayText(it->id + QLatin1Char('\n') + it->status.sentence()).toHtmlEscaped();
        item->setToolTip(QString(tip).replace(QLatin1Char('\n'), QLatin1String("<br>")));
        item->setAccessibleText(tr("%1, %2").arg(runLabel(*it), state));
    }
    m_runs->removeRows(row, m_runs->rowCount() - row);
}

QModelIndex ProjectModel::indexOf(Kind kind, const QString& key) const
{
    const QStandardItem* group = kind == Kind::Run ? m_runs : m_checkpoints;
    for (int i = 0; i < group->rowCount(); ++i)
        if (group->child(i)->data(KeyRole).toString() == key)
            return group->child(i)->index();
    return {};
}

} // namespace postnas
