// A training step of the supernet: the teacher's layers are the targets of a randomly drawn path. Internal: torch.
#pragma once

#include "core/engine/postnas/supernet.h"
#include "core/engine/training/optimizer.h"
#include "core/engine/training/recomputation.h"

namespace postnas::engine {

struct SupernetTrainerOptions {
    double fullProbability = 0.25; ///< with which a layer takes its full path in a step
    std::uint64_t seed = 0;        ///< of the paths
    RecomputeChoice recompute = RecomputeChoice::Auto;
    OptimizerOptions optimizer;
};

class SupernetTrainer {
public:
    /// The linear paths require gradients while the trainer lives.
    SupernetTrainer(Supernet& supernet, const SupernetTrainerOptions& options);
    ~SupernetTrainer();
    SupernetTrainer(const SupernetTrainer&) = delete;
    SupernetTrainer& operator=(const SupernetTrainer&) = delete;

    /// The layers that are full in a step.
    LayerSet path(std::int64_t step) const;
    /// The teacher once, the student once through the step's path, and the gradients of the distance of their layers' outputs. ids int64, valid
    /// bool, both [batch, length]. Returns the loss.
    double backward(const torch::Tensor& ids, const torch::Tensor& valid, std::int64_t step);
    Optimizer& optimizer() { return m_optimizer; }
    /// See TrainingPass.
    int recomputedLayers() const { return m_pass.recomputedLayers(); }
    Json passState() const { return m_pass.state(); }
    void restorePass(const Json& state) { m_pass.restore(state); }

private:
    Supernet& m_supernet;
    SupernetTrainerOptions m_options;
    Optimizer m_optimizer;
    TrainingPass m_pass;
};

} // namespace postnas::engine
