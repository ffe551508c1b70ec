// Names, tooltips and accessible texts of the layers.
#include "widgets/models/layer_model.h"

#include "core/architecture/block_description.h"
#include "core/base/text.h"
#include "widgets/architecture_editor/placement_document.h"
#include "widgets/services/convert.h"

namespace postnas {

LayerModel::LayerModel(PlacementDocument& document, QObject* parent) : QAbstractListModel(parent), m_document(document)
{
    connect(&document, &PlacementDocument::replaced, this, [this] {
        beginResetModel();
        endResetModel();
    });
    connect(&document, &PlacementDocument::layersChanged, this, [this](const QVector<int>& layers) {
        for (const int layer : layers)
            Q_EMIT dataChanged(index(layer), index(layer));
    });
    connect(&document, &PlacementDocument::contextChanged, this, [this] {
        if (rowCount() > 0)
            Q_EMIT dataChanged(index(0), index(rowCount() - 1));
    });
}

int LayerModel::rowCount(const QModelIndex& parent) const { return parent.isValid() ? 0 : m_document.layerCount(); }

QVariant LayerModel::data(const QModelIndex& index, int role) const
{
    if (!index.isValid() || index.row() >= m_document.layerCount())
        return {};
    const int row = index.row();
    const LayerSpec& layer = m_document.layer(row);
    const bool changed = m_document.differsFromTeacher(row);
    const auto name = [&] {
        const BlockDescription* block = findBlock(layer.block);
        return toQString(block != nullptr ? block->displayName() : layer.block);
    };
    const auto state = [&] {
        const StateSize size = layerStateSize(m_document.architecture(), row, m_document.context());
        return toQString(formatBytes(size.total()));
    };
    switch (role) {
    case Qt::DisplayRole:
        return QString::number(row + 1);
    case Qt::ToolTipRole: {
        QString text = tr("Layer %1: %2").arg(row + 1).arg(name());
        for (const auto& [key, value] : layer.parameters.items())
            text += QStringLiteral("\n%1 = %2").arg(toQString(key), toQString(dumpJson(value)));
        text += QLatin1Char('\n') + tr("State for %L1 tokens: %2").arg(m_document.context()).arg(state());
        return text + QLatin1Char('\n') + (changed ? tr("Differs from the teacher") : tr("As in the teacher"));
    }
    case Qt::AccessibleTextRole:
        return tr("Layer %1, %2, %3, state %4")
            .arg(row + 1)
            .arg(name(), changed ? tr("changed") : tr("as in the teacher"), state());
    case BlockRole:
        return toQString(layer.block);
    case ChangedRole:
        return changed;
    case StateRole:
        return state();
    default:
        return {};
    }
}

} // namespace postnas
