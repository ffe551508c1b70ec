// What all block descriptions share: look-up, defaults, and the plain Hugging Face form.
#include "core/architecture/block_description.h"

#include <algorithm>

#include "core/base/error.h"

namespace postnas {
namespace {

Json toJson(const Hyperparameter& p, double value)
{
    switch (p.kind) {
    case Hyperparameter::Kind::Integer: return static_cast<std::int64_t>(value);
    case Hyperparameter::Kind::Flag: return value != 0;
    case Hyperparameter::Kind::Real: break;
    }
    return value;
}

} // namespace

LayerSpec BlockDescription::defaultLayer(const Architecture& architecture) const
{
    LayerSpec layer;
    layer.block = name();
    for (const Hyperparameter& p : hyperparameters(architecture))
        layer.parameters[p.name] = toJson(p, p.fallback);
    return layer;
}

LayerSpec BlockDescription::readHuggingFace(const Architecture& architecture, const JsonReader& config) const
{
    LayerSpec layer = defaultLayer(architecture);
    for (const Hyperparameter& p : hyperparameters(architecture)) {
        // Sizes decide the weights' shapes: a guess would only show as a puzzling shape error later.
        if (!config.has(p.name) && p.kind == Hyperparameter::Kind::Integer)
            config.fail(p.name, "is missing");
        if (!config.has(p.name))
            continue;
        if (p.kind == Hyperparameter::Kind::Flag)
            layer.parameters[p.name] = config.boolean(p.name, p.fallback != 0);
        else if (p.kind == Hyperparameter::Kind::Integer)
            layer.parameters[p.name] = config.integer(p.name, static_cast<std::int64_t>(p.minimum), static_cast<std::int64_t>(p.maximum));
        else
            layer.parameters[p.name] = config.number(p.name, p.minimum, p.maximum);
    }
    return layer;
}

Json BlockDescription::writeHuggingFace(const Architecture&, const LayerSpec& layer) const { return layer.parameters; }

void BlockDescription::check(const Architecture&, const LayerSpec&, const std::string&) const {}

const BlockDescription* findBlock(const std::string& name)
{
    for (const BlockDescription* block : allBlocks())
        if (block->name() == name)
            return block;
    return nullptr;
}

const BlockDescription& blockNamed(const std::string& name)
{
    if (const BlockDescription* block = findBlock(name))
        return *block;
    std::string known;
    for (const BlockDescription* block : allBlocks())
        known += (known.empty() ? "" : ", ") + block->name();
    throw usageError("block \"" + name + "\" is unknown", "Known blocks: " + known + ".");
}

const BlockDescription* findBlockByHuggingFaceName(const std::string& name)
{
    for (const BlockDescription* block : allBlocks()) {
        const std::vector<std::string> names = block->huggingFaceNames();
        if (std::find(names.begin(), names.end(), name) != names.end())
            return block;
    }
    return nullptr;
}

} // namespace postnas
