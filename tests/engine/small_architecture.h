// The smallest models that have everything, for tests.
#pragma once

#include <string>

#include "core/architecture/block_description.h"

namespace postnas::engine {

/// Sizes, and one layer so that blocks can be asked for their defaults.
inline Architecture smallSizes()
{
    Architecture a;
    a.vocabularySize = 61;
    a.hiddenSize = 24;
    a.intermediateSize = 32;
    a.attentionHeads = 4;
    a.keyValueHeads = 2;
    a.headDim = 6;
    a.layers = {LayerSpec {}};
    return a;
}

/// Two layers of the block around one of full attention.
inline Architecture architectureWith(const std::string& block, bool queryKeyNorm)
{
    Architecture a = smallSizes();
    a.queryKeyNorm = queryKeyNorm;
    LayerSpec layer = blockNamed(block).defaultLayer(a);
    if (block == "sliding_window")
        layer.parameters["window_size"] = 5;
    a.layers = {layer, blockNamed("attention").defaultLayer(a), layer};
    return a;
}

} // namespace postnas::engine
