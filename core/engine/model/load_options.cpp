// Words of the command line to properties of a model.
#include "core/engine/model/load_options.h"

#include "core/base/error.h"

namespace postnas::engine {
namespace {

bool isBFloat16(const std::string& word, const std::string& what)
{
    if (word != "float32" && word != "bfloat16")
        throw usageError(what + " \"" + word + "\" is unknown", "Known: float32, bfloat16.");
    return word == "bfloat16";
}

} // namespace

void applyLoadOptions(const LoadOptions& options, HybridModel& model)
{
    model.roundRotaryFrequencies(isBFloat16(options.ropeFrequencies, "rope frequencies"));
    if (isBFloat16(options.stateDtype, "state dtype"))
        model.holdRecurrentStatesIn(torch::kBFloat16);
}

} // namespace postnas::engine
