// A decoder whose layers each have their own block: forward passes, decoding state, and its weights by name. Internal: torch.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "core/engine/blocks/block.h"
#include "core/engine/model/rotary.h"

namespace postnas {
class Checkpoint;
}

namespace postnas::engine {

/// Decoding state of all layers for one batch.
class ModelState {
public:
    void reset();
    /// As if `position` random tokens had been seen; for measurements. At most the capacity.
    void fillRandomly(std::int64_t position);
    /// Takes over the only sequence of `single` as sequence `row`; see BlockState::assignRow.
    void assignRow(std::int64_t row, const ModelState& single);
    std::int64_t position() const { return m_position; } ///< tokens seen so far
    std::int64_t capacity() const { return m_capacity; }
    std::int64_t bytes() const;

private:
    friend class HybridModel;
    std::vector<std::unique_ptr<BlockState>> m_layers;
    std::int64_t m_position = 0;
    std::int64_t m_capacity = 0;
};

/// What a layer has besides its block.
struct LayerWeights {
    torch::Tensor inputNorm;  ///< [hidden]
    torch::Tensor outputNorm; ///< [hidden]; Hugging Face's post_attention_layernorm
    torch::Tensor gate;       ///< [intermediate, hidden]
    torch::Tensor up;         ///< [intermediate, hidden]
    torch::Tensor down;       ///< [hidden, intermediate]
};

class HybridModel {
public:
    /// Maps or converts the checkpoint's weights, each once. On the CPU a weight that is already of type `dtype` is used
    /// where the file is mapped (read-only!). Throws Error(Input) or Error(Resource).
    static std::unique_ptr<HybridModel> load(const Checkpoint& checkpoint, torch::Device device, torch::ScalarType dtype);
    /// Random weights from a seed, the same on every device.
    static std::unique_ptr<HybridModel> random(const Architecture& architecture, std::uint64_t seed, torch::Device device, torch::ScalarType dtype);

    /// Random weights drawn where they are used: quick for large models, and different on each device. For measurements.
    static std::unique_ptr<HybridModel> drawnOnDevice(const Architecture& architecture, torch::Device device, torch::ScalarType dtype);

    const Architecture& architecture() const { return m_architecture; }
    torch::Device device() const { return m_embedding.device(); }
    torch::ScalarType dtype() const { return m_embedding.scalar_type(); }

    /// ids: int64 [batch, length].
    torch::Tensor embed(const torch::Tensor& ids) const;
    /// Rotary tables for positions [first, first + length).
    ForwardContext context(std::int64_t first, std::int64_t length) const;
    /// See RotaryTable::roundFrequencies.
    void roundRotaryFrequencies(bool round) { m_rotary.roundFrequencies(round); }
    /// The type of the recurrent parts of states that are made from now on; without this call float32.
    void holdRecurrentStatesIn(torch::ScalarType type) { m_recurrentType = type; }
    torch::ScalarType recurrentType() const { return m_recurrentType.value_or(torch::kFloat32); }
    /// One layer with the given mixer: norm, mixer, residual, norm, MLP, residual.
    torch::Tensor layer(int index, const Block& mixer, const torch::Tensor& hidden, const ForwardContext& context, BlockState* state) const;
    /// Final norm and head: [..., hidden] -> [..., vocabulary], in float32 where the model is in bfloat16 or float16: rounded to those, large logits
    /// that differ by less than 0.1 would be equal.
    torch::Tensor logits(const torch::Tensor& hidden) const;
    torch::Tensor finalNorm(const torch::Tensor& hidden) const;
    const torch::Tensor& head() const { return m_head; }

    /// Last hidden states of a whole sequence, before the final norm; `mixers` overrides the model's own blocks.
    /// `visit`, when given, sees each layer's output.
    torch::Tensor forward(const torch::Tensor& ids, const std::vector<const Block*>* mixers = nullptr,
                          const std::function<void(int, const torch::Tensor&)>& visit = {}) const;

    /// State for decoding `batch` sequences of at most `capacity` tokens.
    ModelState makeState(std::int64_t batch, std::int64_t capacity, const std::vector<const Block*>* mixers = nullptr) const;
    /// Continues the sequences of `state` by ids [batch, length] and returns the hidden states [batch, length, hidden].
    torch::Tensor extend(const torch::Tensor& ids, ModelState& state, const std::vector<const Block*>* mixers = nullptr) const;

    /// One token of each sequence, whose lengths may differ: ids int64 [batch] -> logits [batch, vocabulary] of the type that logits() gives.
    /// `lengths` int32 [batch] counts the tokens with this one. Nothing is read back to the host. See Block::decode. Not for dynamic RoPE, whose
    /// frequencies depend on the length.
    torch::Tensor decode(const torch::Tensor& ids, const torch::Tensor& lengths, ModelState& state, const std::vector<const Block*>* mixers = nullptr) const;

    const Block& block(int layer) const { return *m_blocks[static_cast<std::size_t>(layer)]; }
    Block& block(int layer) { return *m_blocks[static_cast<std::size_t>(layer)]; }
    const LayerWeights& layerWeights(int layer) const { return m_layers[static_cast<std::size_t>(layer)]; }

    /// All weights by their Hugging Face names, in the order of modelWeights(); a tied head is not listed.
    std::vector<std::pair<std::string, torch::Tensor>> namedWeights() const;
    /// Replaces one weight; throws Error(Internal) for an unknown name.
    void setWeight(const std::string& name, const torch::Tensor& value);
    /// Moves the weights of each layer that are multiplied with the same hidden states into one storage: decoding many sequences on a GPU is
    /// then fewer products. Names and values stay; each layer's weights are held twice while it is moved.
    void joinProjections();

private:
    explicit HybridModel(const Architecture& architecture);
    /// All layers over the embedded tokens when no gradient is asked for: each sum with its residual and the norm that follows are one pass.
    torch::Tensor layersWithoutGradient(const torch::Tensor& embedded, const ForwardContext& context, ModelState* state,
                                        const std::vector<const Block*>* mixers, const std::function<void(int, const torch::Tensor&)>& visit) const;
    const Block& mixer(int layer, const std::vector<const Block*>* mixers) const;

    Architecture m_architecture;
    torch::Tensor m_embedding; ///< [vocabulary, hidden]
    torch::Tensor m_norm;      ///< [hidden]
    torch::Tensor m_head;      ///< [vocabulary, hidden]; the embedding itself when tied
    std::vector<LayerWeights> m_layers;
    std::vector<std::unique_ptr<Block>> m_blocks;
    std::optional<torch::ScalarType> m_recurrentType;
    mutable RotaryTable m_rotary;
};

} // namespace postnas::engine
