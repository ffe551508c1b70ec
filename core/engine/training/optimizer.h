// AdamW over named weights: float32 masters, decay for matrices only, clipping, and a state that a checkpoint keeps exactly. Internal: torch.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include "core/huggingface/safetensors.h"

namespace postnas::engine {

using NamedTensors = std::vector<std::pair<std::string, torch::Tensor>>;

/// A weight that trains. The model computes with `compute`, the gradient arrives there, and the optimizer moves `master`: one tensor in float32
/// training; in bfloat16 training the master stays float32, since a small step would be lost in the digits of its rounded copy.
struct TrainedWeight {
    std::string name;
    torch::Tensor master;
    torch::Tensor compute;
};
using TrainedWeights = std::vector<TrainedWeight>;
/// With a copy of the master to compute with, unless it has that type already.
TrainedWeight trainedWeight(std::string name, const torch::Tensor& master, torch::ScalarType compute);

struct OptimizerOptions {
    double weightDecay = 0.1;
    double beta1 = 0.9;
    double beta2 = 0.95;
    double epsilon = 1e-8;
    double gradientClip = 1.0; ///< largest norm of all gradients together; 0: no limit
};

class Optimizer {
public:
    /// The weights' `compute` must be leaves that require gradients. Vectors (norms, biases) get no weight decay.
    Optimizer(TrainedWeights weights, const OptimizerOptions& options);

    /// Adds the gradients of rounded copies to float32 sums and clears them. `step` does it itself; to be called between the parts of a step
    /// whose gradients are accumulated.
    void gather();
    /// Clips, steps with the given rate, renews the copies and clears the gradients. A weight without a gradient stays as it is. Returns the
    /// norm before clipping.
    double step(double learningRate);

    const TrainedWeights& weights() const { return m_weights; }

    /// Adds "NAME.exp_avg", "NAME.exp_avg_sq" and "NAME.step" for each weight that was stepped.
    void save(SafetensorsWriter& writer) const;
    /// The masters from one file and the state from another. Throws Error(Input) naming the tensor when a file does not fit the weights.
    void load(const SafetensorsFile& masters, const SafetensorsFile& state);

private:
    struct State {
        torch::Tensor gradient; ///< float32 sum; undefined without one, or where the gradient is the copy's own
        torch::Tensor first, second; ///< moments; undefined before the first step
        std::int64_t steps = 0;
    };
    void publish(const std::vector<std::size_t>& indices);

    TrainedWeights m_weights;
    std::vector<State> m_states;
    OptimizerOptions m_options;
};

} // namespace postnas::engine
