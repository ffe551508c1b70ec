// The hyperparameters of the selected layers, with the ranges and explanations of their block.
#pragma once

#include <map>
#include <string>

#include <QVector>
#include <QWidget>

class QFormLayout;
class QLabel;

namespace postnas {

class PlacementDocument;

/// Shows something to edit only when the selected layers share one block. A value that differs among them is marked.
class HyperparameterEditor : public QWidget {
    Q_OBJECT
public:
    explicit HyperparameterEditor(PlacementDocument& document, QWidget* parent = nullptr);

    void setLayers(const QVector<int>& layers);
    /// The spin box or check box of a hyperparameter; null when it is not shown.
    QWidget* field(const std::string& name) const;

private:
    void rebuild();
    void showValues();
    void edit(const std::string& name, const struct EditedValue& value);

    PlacementDocument& m_document;
    QVector<int> m_layers;
    std::string m_block; ///< of the form that is built; empty: none
    std::map<std::string, QWidget*> m_fields;
    std::map<std::string, QLabel*> m_labels;
    QLabel* m_heading;
    QLabel* m_problem;
    QWidget* m_body = nullptr;
    bool m_showing = false;
};

} // namespace postnas
