// The layers of the placement as a list model: one row per layer.
#pragma once

#include <QAbstractListModel>

namespace postnas {

class PlacementDocument;

class LayerModel : public QAbstractListModel {
    Q_OBJECT
public:
    enum Role {
        BlockRole = Qt::UserRole, ///< the block's name
        ChangedRole,              ///< whether it differs from the teacher
        StateRole                 ///< bytes of state at the document's context, as text
    };

    /// `document` must outlive the model.
    explicit LayerModel(PlacementDocument& document, QObject* parent = nullptr);

    int rowCount(const QModelIndex& parent = {}) const override;
    QVariant data(const QModelIndex& index, int role = Qt::DisplayRole) const override;

private:
    PlacementDocument& m_document;
};

} // namespace postnas
