// The torch-free half of a block: its names, hyperparameters, weights and formulas. blocks/NAME.cpp has one each.
#pragma once

#include <string>
#include <vector>

#include "core/architecture/architecture.h"

namespace postnas {

/// A named number that a search or a person may change.
struct Hyperparameter {
    enum class Kind { Integer, Real, Flag };
    std::string name;  ///< key in LayerSpec::parameters and in Hugging Face's efficient_attention_config
    std::string label; ///< for people
    std::string help;  ///< one sentence that explains the term
    Kind kind = Kind::Integer;
    double minimum = 0;
    double maximum = 0;
    double fallback = 0; ///< default for the given architecture
};

class BlockDescription {
public:
    virtual ~BlockDescription() = default;

    virtual std::string name() const = 0;        ///< the project's vocabulary: "gated_delta_net"
    virtual std::string displayName() const = 0; ///< for people: "Gated DeltaNet"
    virtual std::string summary() const = 0;     ///< one sentence
    virtual std::string source() const = 0;      ///< paper of the formula
    /// Whether the state grows with the context (softmax attention over everything).
    virtual bool growsWithContext() const { return false; }
    /// Names in `layer_types`; the first one is written.
    virtual std::vector<std::string> huggingFaceNames() const = 0;

    /// The hyperparameters with ranges, and defaults that fit this architecture.
    virtual std::vector<Hyperparameter> hyperparameters(const Architecture& architecture) const = 0;
    /// The mixer's weights, named relative to `self_attn.`.
    virtual std::vector<WeightSpec> weights(const Architecture& architecture, const LayerSpec& layer) const = 0;
    virtual StateSize state(const Architecture& architecture, const LayerSpec& layer, std::int64_t context,
                            const StateTypes& types) const = 0;
    /// Operations of the mixer for one decoded token beyond its weight products.
    virtual double stateFlops(const Architecture& architecture, const LayerSpec& layer, std::int64_t context) const = 0;

    /// From and to the object of this block in `efficient_attention_config` (jet_nemotron form). Reading throws
    /// Error(Input) when an integer hyperparameter is missing; others have defaults.
    virtual LayerSpec readHuggingFace(const Architecture& architecture, const JsonReader& config) const;
    virtual Json writeHuggingFace(const Architecture& architecture, const LayerSpec& layer) const;
    /// Extra checks beyond the ranges; throws Error(Usage) with `where` in front.
    virtual void check(const Architecture& architecture, const LayerSpec& layer, const std::string& where) const;

    /// A layer of this block with default hyperparameters.
    LayerSpec defaultLayer(const Architecture& architecture) const;
};

/// All blocks of this build, sorted by name.
const std::vector<const BlockDescription*>& allBlocks();
/// Null when there is none of that name.
const BlockDescription* findBlock(const std::string& name);
/// The block, or Error(Usage) that lists the known ones.
const BlockDescription& blockNamed(const std::string& name);
/// By a name that stands in `layer_types`; null when unknown.
const BlockDescription* findBlockByHuggingFaceName(const std::string& name);

} // namespace postnas
