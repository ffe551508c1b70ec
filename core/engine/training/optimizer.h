// AdamW over named tensors: decay for matrices only, clipping, and a state that a checkpoint keeps exactly. Internal: torch.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include "core/huggingface/safetensors.h"

namespace postnas::engine {

using NamedTensors = std::vector<std::pair<std::string, torch::Tensor>>;

struct OptimizerOptions {
    double weightDecay = 0.1;
    double beta1 = 0.9;
    double beta2 = 0.95;
    double epsilon = 1e-8;
    double gradientClip = 1.0; ///< largest norm of all gradients together; 0: no limit
};

class Optimizer {
public:
    /// The tensors must be leaves that require gradients. Vectors (norms, biases) get no weight decay.
    Optimizer(NamedTensors parameters, const OptimizerOptions& options);

    /// Clips, steps with the given rate and clears the gradients. Returns the norm before clipping.
    double step(double learningRate);

    const NamedTensors& parameters() const { return m_parameters; }

    /// Adds "NAME.exp_avg", "NAME.exp_avg_sq" and "NAME.step" for each parameter that was stepped.
    void save(SafetensorsWriter& writer) const;
    /// Throws Error(Input) naming the tensor when the file does not fit the parameters.
    void load(const SafetensorsFile& file);

private:
    NamedTensors m_parameters;
    OptimizerOptions m_options;
    torch::optim::AdamW m_adam;
};

/// Copies the values of a file of weights into parameters; throws Error(Input) for a missing one or a wrong shape.
void loadParameters(const SafetensorsFile& file, const NamedTensors& parameters);

} // namespace postnas::engine
