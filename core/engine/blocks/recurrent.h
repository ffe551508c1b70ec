// What the blocks with a recurrent state share: the state itself, short convolutions with history, norms and gates.
// Internal: torch.
#pragma once

#include <vector>

#include "core/engine/blocks/block.h"
#include "kernels/include/decode_operators.h"

namespace postnas::engine {

/// A recurrent state, in float32 unless it is told otherwise, and the last inputs of the block's convolutions. Its size does not depend on the position.
class RecurrentState final : public BlockState {
public:
    /// `histories`: (taps - 1, channels) of each convolution.
    RecurrentState(std::int64_t batch, std::int64_t heads, std::int64_t keyDim, std::int64_t valueDim,
                   const std::vector<std::pair<std::int64_t, std::int64_t>>& histories, const torch::TensorOptions& options);

    void holdRecurrentIn(torch::ScalarType type) override { recurrent = recurrent.to(type); }
    void reset() override;
    void fillRandomly(std::int64_t position) override;
    void assignRow(std::int64_t row, const BlockState& single) override;
    std::int64_t bytes() const override;
    /// Takes over the state after a pass, in the type that the state is held in.
    void keep(const torch::Tensor& after) { recurrent = after.detach().to(recurrent.scalar_type()); }

    torch::Tensor recurrent;               ///< [batch, heads, key, value]
    std::vector<torch::Tensor> histories;  ///< [batch, taps - 1, channels]
};

class RecurrentBlock : public Block {
public:
    using Block::Block;

protected:
    /// hidden times the weight `NAME.weight`, split into heads of `dim`: [batch, length, heads, dim].
    torch::Tensor projectHeads(const torch::Tensor& hidden, const std::string& name, std::int64_t dim) const;
    /// hidden times the weight `NAME.weight`, plus `NAME.bias` where there is one.
    torch::Tensor project(const torch::Tensor& hidden, const std::string& name) const;
    /// RMSNorm of each head's output in float32, times silu(gate) when a gate is given, then o_proj. o [batch, length, heads, value].
    torch::Tensor output(const torch::Tensor& o, const std::string& normName, const torch::Tensor& gate, torch::ScalarType type) const;
    /// The part of a decoding step that is the same for all: state, and norm and gate of the output. `gate` may be undefined.
    ops::RecurrentStep stepOf(RecurrentState& state, const std::string& normName, const torch::Tensor& gate) const;

    /// The log decay of Gated DeltaNet: -exp(A_log) * softplus(a_proj(hidden) + dt_bias), float32, [batch, length, heads].
    torch::Tensor logDecay(const torch::Tensor& hidden) const;

    /// Draws A_log = log U(1, 16) and dt_bias = inverse softplus of a step that is log-uniform in [0.001, 0.1], as Mamba-2
    /// and Gated DeltaNet do.
    void initialiseDecay(torch::Generator& generator);
    /// Draws a weight from U(-bound, bound).
    void initialiseUniform(const std::string& name, double bound, torch::Generator& generator);

private:
    void replace(const std::string& name, const torch::Tensor& value);
};

/// x / sqrt(sum(x^2) + 1e-6) over the last dimension, of silu(x) when asked for, computed in float32 or wider.
torch::Tensor unitLength(const torch::Tensor& x, bool silu);
/// silu of the causal convolution: kernels [channels, taps] or [batch, length, channels, taps].
torch::Tensor siluConvolution(const torch::Tensor& x, const torch::Tensor& kernels, const std::optional<torch::Tensor>& history);
/// Moves the last rows of (history, x) into `history`; x [batch, length, channels].
void advanceHistory(torch::Tensor& history, const torch::Tensor& x);

} // namespace postnas::engine
