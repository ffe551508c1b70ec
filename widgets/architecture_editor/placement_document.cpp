// Edits of the placement as undo commands over whole layer lists.
#include "widgets/architecture_editor/placement_document.h"

#include <algorithm>
#include <utility>

#include "core/architecture/block_description.h"
#include "core/base/error.h"
#include "core/base/files.h"
#include "core/huggingface/model_config.h"
#include "widgets/services/convert.h"

namespace postnas {

/// Before and after of one edit. Whole lists are small (some hundred layers), and make every edit reversible alike.
class LayersCommand : public QUndoCommand {
public:
    LayersCommand(PlacementDocument& document, PlacementDocument::Layers after, const QString& text, QString mergeKey)
        : QUndoCommand(text), m_document(document), m_before(document.m_current.layers), m_after(std::move(after)),
          m_mergeKey(std::move(mergeKey))
    {
    }
    void undo() override { m_document.apply(m_before); }
    void redo() override { m_document.apply(m_after); }
    int id() const override { return m_mergeKey.isEmpty() ? -1 : 1; }
    bool mergeWith(const QUndoCommand* other) override
    {
        const auto* next = static_cast<const LayersCommand*>(other);
        if (next->m_mergeKey != m_mergeKey)
            return false;
        m_after = next->m_after;
        return true;
    }

private:
    PlacementDocument& m_document;
    PlacementDocument::Layers m_before, m_after;
    QString m_mergeKey; ///< steps of one spin box become one step
};

QString layersText(const QVector<int>& layers)
{
    return layers.size() == 1 ? PlacementDocument::tr("layer %1").arg(layers[0] + 1) : PlacementDocument::tr("%1 layers").arg(layers.size());
}

PlacementDocument::PlacementDocument(QObject* parent) : QObject(parent)
{
    m_undo.setUndoLimit(1000);
}

void PlacementDocument::setTeacher(const Architecture& teacher, const QString& name)
{
    m_teacher = teacher;
    m_current = teacher;
    m_name = name;
    m_undo.clear();
    Q_EMIT replaced();
}

void PlacementDocument::clear() { setTeacher({}, {}); }

bool PlacementDocument::differsFromTeacher(int index) const
{
    return !(layer(index) == m_teacher.layers.at(static_cast<std::size_t>(index)));
}

QStringList PlacementDocument::blocks() const
{
    QStringList out;
    for (const LayerSpec& layer : m_current.layers)
        out.append(toQString(layer.block));
    return out;
}

void PlacementDocument::check(const Layers& layers) const
{
    Architecture candidate = m_current;
    candidate.layers = layers;
    validate(candidate, "placement");
}

void PlacementDocument::push(Layers next, const QString& text, const QString& mergeKey)
{
    if (next == m_current.layers)
        return;
    check(next);
    m_undo.push(new LayersCommand(*this, std::move(next), text, mergeKey));
}

void PlacementDocument::apply(const Layers& layers)
{
    QVector<int> changed;
    for (int i = 0; i < m_current.layerCount(); ++i)
        if (!(m_current.layers[static_cast<std::size_t>(i)] == layers[static_cast<std::size_t>(i)]))
            changed.append(i);
    m_current.layers = layers;
    Q_EMIT layersChanged(changed);
}

void PlacementDocument::setBlock(const QVector<int>& layers, const QString& block)
{
    const BlockDescription& description = blockNamed(toStd(block));
    Layers next = m_current.layers;
    for (const int index : layers) {
        LayerSpec& layer = next.at(static_cast<std::size_t>(index));
        if (layer.block == description.name())
            continue;
        const LayerSpec& original = m_teacher.layers[static_cast<std::size_t>(index)];
        layer = original.block == description.name() ? original : description.defaultLayer(m_current);
    }
    push(std::move(next), tr("%1 on %2").arg(toQString(description.displayName()), layersText(layers)));
}

void PlacementDocument::setParameter(const QVector<int>& layers, const std::string& name, const Json& value)
{
    Layers next = m_current.layers;
    QString key = toQString(name);
    for (const int index : layers) {
        next.at(static_cast<std::size_t>(index)).parameters[name] = value;
        key += QLatin1Char(' ') + QString::number(index);
    }
    push(std::move(next), tr("Change of %1").arg(toQString(name)), key);
}

void PlacementDocument::resetToTeacher(const QVector<int>& layers)
{
    Layers next = m_current.layers;
    for (const int index : layers)
        next.at(static_cast<std::size_t>(index)) = m_teacher.layers[static_cast<std::size_t>(index)];
    push(std::move(next), tr("Teacher's block on %1").arg(layersText(layers)));
}

void PlacementDocument::setPlacement(const QStringList& blocks, const std::map<QString, Json>& parameters, const QString& description)
{
    if (blocks.size() != layerCount())
        throw usageError(toStd(tr("The placement has %1 layers, but the open checkpoint has %2.").arg(blocks.size()).arg(layerCount())),
                         toStd(tr("Open the checkpoint that the search was run on.")));
    Layers next;
    for (int i = 0; i < layerCount(); ++i) {
        const BlockDescription& block = blockNamed(toStd(blocks[i]));
        const LayerSpec& original = m_teacher.layers[static_cast<std::size_t>(i)];
        const auto given = parameters.find(blocks[i]);
        LayerSpec layer = original.block == block.name() && given == parameters.end() ? original : block.defaultLayer(m_current);
        if (given != parameters.end() && given->second.is_object())
            for (const auto& [name, value] : given->second.items())
                layer.parameters[name] = value;
        next.push_back(std::move(layer));
    }
    push(std::move(next), description);
}

void PlacementDocument::save(const std::filesystem::path& file)
{
    writeFileAtomically(file, dumpJson(writeModelConfig(m_current), 2) + "\n");
    m_undo.setClean();
}

void PlacementDocument::load(const std::filesystem::path& configOrFolder)
{
    const Architecture other = readModelConfig(configOrFolder);
    const auto require = [&](const QString& what, qint64 theirs, qint64 ours) {
        if (theirs != ours)
            throw inputError(configOrFolder.string() + ": " + toStd(tr("%1 is %2, but the open checkpoint has %3.").arg(what).arg(theirs).arg(ours)),
                             toStd(tr("Open the checkpoint that this placement belongs to first.")));
    };
    require(tr("the number of layers"), other.layerCount(), layerCount());
    require(tr("the hidden size"), other.hiddenSize, m_current.hiddenSize);
    require(tr("the number of attention heads"), other.attentionHeads, m_current.attentionHeads);
    require(tr("the number of key-value heads"), other.keyValueHeads, m_current.keyValueHeads);
    push(other.layers, tr("Open placement %1").arg(toQString(configOrFolder.filename())));
    m_undo.setClean();
}

Json PlacementDocument::toJson() const
{
    Json layers = Json::array();
    for (const LayerSpec& layer : m_current.layers)
        layers.push_back({{"block", layer.block}, {"parameters", layer.parameters}});
    return {{"layers", std::move(layers)}, {"context", m_context}, {"clean", m_undo.isClean()}};
}

bool PlacementDocument::restore(const Json& json)
{
    try {
        const JsonReader in(json, "board");
        const Json& list = in.value("layers");
        if (!list.is_array() || list.size() != m_current.layers.size())
            return false;
        Layers layers;
        for (const Json& entry : list) {
            const JsonReader layer(entry, "board");
            layers.push_back({layer.string("block"), layer.object("parameters").json()});
        }
        check(layers);
        setContext(in.integer("context", kMinContext, kMaxContext, m_context));
        apply(layers);
        m_undo.clear();
        if (!in.boolean("clean", true))
            m_undo.resetClean();
        return true;
    } catch (const std::exception&) {
        return false; // of another version, or broken: the teacher's own placement is shown
    }
}

void PlacementDocument::setContext(qint64 tokens)
{
    tokens = std::clamp(tokens, kMinContext, kMaxContext);
    if (tokens == m_context)
        return;
    m_context = tokens;
    Q_EMIT contextChanged(tokens);
}

} // namespace postnas
