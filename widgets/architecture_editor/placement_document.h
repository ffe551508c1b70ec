// The placement being edited: the teacher, the present layers, the undo stack and the chosen context.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <vector>

#include <QObject>
#include <QString>
#include <QStringList>
#include <QUndoStack>
#include <QVector>

#include "core/architecture/architecture.h"

namespace postnas {

/// Every change goes through the undo stack; its clean mark is the last saved or opened placement. Layers count from 0 here.
class PlacementDocument : public QObject {
    Q_OBJECT
public:
    static constexpr qint64 kMinContext = 512;
    static constexpr qint64 kMaxContext = qint64 {1} << 20;

    explicit PlacementDocument(QObject* parent = nullptr);

    /// Begins anew with the layers of `teacher`; `name` is what people call it. Clears the undo stack.
    void setTeacher(const Architecture& teacher, const QString& name);
    void clear();
    bool isEmpty() const { return m_current.layers.empty(); }

    const Architecture& teacher() const { return m_teacher; }
    const QString& teacherName() const { return m_name; }
    const Architecture& architecture() const { return m_current; }
    int layerCount() const { return m_current.layerCount(); }
    const LayerSpec& layer(int index) const { return m_current.layers.at(static_cast<std::size_t>(index)); }
    bool differsFromTeacher(int index) const;
    QStringList blocks() const; ///< the block of each layer

    QUndoStack* undoStack() { return &m_undo; }

    /// Gives these layers the block: with the teacher's own hyperparameters where the teacher has that block there, else with
    /// defaults. Layers that have it already stay as they are. Throws Error(Usage) for an unknown block.
    void setBlock(const QVector<int>& layers, const QString& block);
    /// Sets one hyperparameter of layers that share a block. Throws Error(Usage) when the value does not fit; nothing changes then.
    void setParameter(const QVector<int>& layers, const std::string& name, const Json& value);
    void resetToTeacher(const QVector<int>& layers);
    /// A whole placement as one step, e.g. from a search. `parameters`: block -> the hyperparameters that differ from the
    /// defaults. Throws Error(Usage) when it has another number of layers or unknown blocks.
    void setPlacement(const QStringList& blocks, const std::map<QString, Json>& parameters, const QString& description);

    /// config.json of the present architecture. Throws Error.
    void save(const std::filesystem::path& file);
    /// The layers of a config.json (or a model folder) of the same shape, as one undoable step. Throws Error.
    void load(const std::filesystem::path& configOrFolder);

    /// The layers as the database keeps them between sessions.
    Json toJson() const;
    /// Reverse of toJson, checked; false (and nothing changes) when it does not fit the teacher. No undo step.
    bool restore(const Json& json);

    qint64 context() const { return m_context; }
    void setContext(qint64 tokens); ///< clamped

Q_SIGNALS:
    void replaced();                            ///< another teacher, or none: the number of layers may have changed
    void layersChanged(const QVector<int>& layers); ///< block or hyperparameters
    void contextChanged(qint64 tokens);

private:
    friend class LayersCommand;
    using Layers = std::vector<LayerSpec>;
    void push(Layers next, const QString& text, const QString& mergeKey = {});
    void apply(const Layers& layers);
    void check(const Layers& layers) const;

    Architecture m_teacher;
    Architecture m_current;
    QString m_name;
    QUndoStack m_undo;
    qint64 m_context = 65536;
};

/// "layer 3" or "5 layers", for undo texts and headings; layers count from 0 in `layers`.
QString layersText(const QVector<int>& layers);

} // namespace postnas
