// Table form of the heatmap.
#include "widgets/heatmap/heatmap_model.h"

#include <QFont>

#include "widgets/plots/export.h"
#include "widgets/services/convert.h"

namespace postnas {

HeatmapModel::HeatmapModel(QObject* parent)
    : QAbstractTableModel(parent)
{
}

void HeatmapModel::setData(const HeatmapData& data, ScoreMetric metric)
{
    // Live updates only change numbers: a reset would lose selection and scroll position ten times a second.
    bool sameShape = data.layers == m_data.layers && data.tasks.size() == m_data.tasks.size();
    for (qsizetype i = 0; sameShape && i < data.tasks.size(); ++i)
        sameShape = data.tasks[i].name == m_data.tasks[i].name;
    if (!sameShape)
        beginResetModel();
    m_data = data;
    m_metric = metric;
    if (!sameShape)
        endResetModel();
    else if (rowCount() > 0)
        Q_EMIT dataChanged(index(0, 0), index(rowCount() - 1, columnCount() - 1));
}

int HeatmapModel::rowCount(const QModelIndex& parent) const
{
    return parent.isValid() || m_data.isEmpty() ? 0 : m_data.layers + 2;
}

int HeatmapModel::columnCount(const QModelIndex& parent) const
{
    return parent.isValid() ? 0 : 1 + static_cast<int>(m_data.tasks.size());
}

double HeatmapModel::value(int row, int task) const
{
    const HeatmapTask& t = m_data.tasks[task];
    if (row == 0)
        return t.none.value(m_metric);
    return row <= m_data.layers ? t.cells[row - 1].value(m_metric) : t.all.value(m_metric);
}

QVariant HeatmapModel::data(const QModelIndex& index, int role) const
{
    if (!index.isValid())
        return {};
    const int row = index.row();
    if (index.column() == 0) {
        switch (role) {
        case Qt::DisplayRole: return row == 0 ? tr("none") : row <= m_data.layers ? QString::number(row) : tr("all");
        case SortRole: return row;
        case Qt::TextAlignmentRole: return int(Qt::AlignRight | Qt::AlignVCenter);
        default: return {};
        }
    }
    const double number = value(row, index.column() - 1);
    switch (role) {
    case Qt::DisplayRole: return std::isnan(number) ? QStringLiteral("–") : QString::number(number, 'f', 3);
    case kCsvRole: return number;
    case SortRole: return std::isnan(number) ? -std::numeric_limits<double>::infinity() : number;
    case Qt::TextAlignmentRole: return int(Qt::AlignRight | Qt::AlignVCenter);
    default: return {};
    }
}

QVariant HeatmapModel::headerData(int section, Qt::Orientation orientation, int role) const
{
    if (orientation != Qt::Horizontal)
        return {};
    if (role == Qt::DisplayRole)
        return section == 0 ? tr("Layer") : displayText(m_data.tasks.value(section - 1).name, 200);
    if (role == Qt::ToolTipRole && section == 0)
        return tr("Layers are numbered from 1 here, from 0 in files.");
    return {};
}

} // namespace postnas
