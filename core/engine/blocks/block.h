// The engine half of a block: its weights and how it maps hidden states, with or without a decoding state. Internal: torch.
#pragma once

#include <map>
#include <memory>
#include <string>

#include <torch/torch.h>

#include "core/architecture/architecture.h"
#include "kernels/include/linear_operators.h"

namespace postnas::engine {

/// What decoding keeps for one layer and a batch of sequences. Created by Block::makeState for a fixed batch and capacity;
/// forward updates it in place and allocates nothing that grows with the position.
class BlockState {
public:
    virtual ~BlockState() = default;
    /// Holds the recurrent part, where there is one, in this type from now on (float32 unless this is called). What lies in it is converted.
    virtual void holdRecurrentIn(torch::ScalarType) {}
    /// Back to an empty sequence.
    virtual void reset() = 0;
    /// As if `position` random tokens had been seen, for measurements that need a full state and not its meaning.
    virtual void fillRandomly(std::int64_t position) = 0;
    /// Takes over the only sequence of `single`, a state of the same block, as sequence `row` of this batch.
    virtual void assignRow(std::int64_t row, const BlockState& single) = 0;
    /// Bytes that are really held for the whole batch.
    virtual std::int64_t bytes() const = 0;
};

/// Rotary tables of the positions of the current call: cos and sin, [length, headDim], float32, for every layer the same.
struct ForwardContext {
    torch::Tensor cosine;
    torch::Tensor sine;
    std::int64_t position = 0; ///< position of the first token of this call
};

/// What a decoding step needs besides the states: everything on the device, nothing that depends on the host.
struct DecodeContext {
    torch::Tensor cosine;  ///< [positions, headDim], float32
    torch::Tensor sine;    ///< [positions, headDim], float32
    torch::Tensor lengths; ///< int32 [batch]: tokens of each sequence, the current one included
    ops::Upcoming next = {}; ///< the weights that the layer reads after the mixer
};

class Block {
public:
    /// Allocates no weights; `setWeight` or `initialise` gives them.
    Block(const Architecture& architecture, int layer);
    virtual ~Block() = default;
    Block(const Block&) = delete;
    Block& operator=(const Block&) = delete;

    /// hidden [batch, length, hiddenSize] -> the mixer's output of the same shape (after o_proj, before the residual).
    /// With a state, the tokens follow those that the state has seen (prefill, chunk or single token); without, they are a
    /// whole sequence. Differentiable without a state.
    virtual torch::Tensor forward(const torch::Tensor& hidden, const ForwardContext& context, BlockState* state) const = 0;

    /// One token of each sequence of a batch, whose lengths may differ: adds the mixer's output for norm(hidden) to hidden [batch, hiddenSize],
    /// as the layer does. Changes the state in place and reads nothing back to the host, so that a step can be recorded and replayed. A state
    /// that was stepped this way counts its tokens in `lengths` alone: forward must not go on with it.
    virtual void decode(torch::Tensor& hidden, const ops::TokenNorm& norm, const DecodeContext& context, BlockState& state) const = 0;

    virtual std::unique_ptr<BlockState> makeState(std::int64_t batch, std::int64_t capacity, const torch::TensorOptions& options) const = 0;

    /// Random weights by the block's usual rules; `generator` makes it repeatable.
    virtual void initialise(torch::Generator& generator, const torch::TensorOptions& options);
    /// Copies what fits from an attention block (q, k, v, o projections of equal shape). Returns the names taken over.
    virtual std::vector<std::string> initialiseFrom(const Block& teacher);

    /// By the names of the block's description, relative to `self_attn.`.
    const std::map<std::string, torch::Tensor>& weights() const { return m_weights; }
    const torch::Tensor& weight(const std::string& name) const;
    bool hasWeight(const std::string& name) const { return m_weights.contains(name); }
    /// Checks the shape; throws Error(Input) naming the tensor.
    virtual void setWeight(const std::string& name, torch::Tensor value);
    /// Moves the weights of the projections that read the same hidden states into one storage, so that `decode` may take them as one matrix.
    /// They keep their names and values; a weight that is set later stands apart again.
    void joinProjections();
    /// What `decode` reads first, in the form of a hint.
    ops::Upcoming firstRead() const;

    const LayerSpec& spec() const { return m_spec; }
    const Architecture& architecture() const { return *m_architecture; }

protected:
    /// The projections of the hidden states, in the order in which `decode` asks for them.
    virtual std::vector<std::string> inputProjections() const = 0;
    /// The product with the weight `NAME.weight`, plus `NAME.bias` where there is one.
    ops::TokenProduct product(const std::string& name, bool silu = false) const;
    /// hidden [batch, length, hiddenSize] through all of inputProjections(); differentiable.
    std::vector<torch::Tensor> projected(const torch::Tensor& hidden) const;
    /// norm(hidden) through all of inputProjections(); the one named `silu`, if any, through silu too.
    std::vector<torch::Tensor> projectInputs(const torch::Tensor& hidden, const ops::TokenNorm& norm, const ops::Upcoming& upcoming,
                                             const std::string& silu = {}) const;
    /// The output projection and what comes after it, for what is read before it.
    ops::Upcoming outputAndNext(const DecodeContext& context) const;
    /// Adds y through the output projection to hidden.
    void addOutput(torch::Tensor& hidden, const torch::Tensor& y, const DecodeContext& context) const;

    const Architecture* m_architecture; ///< outlives the block (owned by the model)
    LayerSpec m_spec;
    std::map<std::string, torch::Tensor> m_weights;
};

/// The block of layer `layer` of the architecture, without weights. `architecture` must outlive it.
std::unique_ptr<Block> makeBlock(const Architecture& architecture, int layer);

} // namespace postnas::engine
