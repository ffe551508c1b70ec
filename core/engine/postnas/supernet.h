// The once-for-all supernet: a frozen teacher with a trainable linear path beside the attention of every layer.
// MLPs, norms and embeddings are the teacher's own tensors. Internal: torch.
#pragma once

#include <memory>
#include <vector>

#include "core/engine/model/hybrid_model.h"
#include "core/engine/postnas/placement_search.h"
#include "core/engine/training/optimizer.h"

namespace postnas::engine {

class Supernet {
public:
    /// `linear` is the block and hyperparameters of all linear paths. Weights are drawn from `seed`, then taken over from
    /// the teacher's projections where shapes allow, if asked.
    Supernet(std::shared_ptr<const HybridModel> teacher, const LayerSpec& linear, bool initialiseFromTeacher, std::uint64_t seed);

    const HybridModel& teacher() const { return *m_teacher; }
    int layerCount() const { return m_teacher->architecture().layerCount(); }

    /// The trainable weights: "layers.3.q_proj.weight". The masters are float32, the paths compute in the teacher's type.
    const TrainedWeights& weights() const { return m_weights; }
    /// The projections that each path took over from the teacher.
    const std::vector<std::string>& takenOver() const { return m_takenOver; }

    /// Mixers of a placement: `full` layers use the teacher's attention, `sliding` ones the teacher's weights with a window,
    /// the rest their linear path.
    std::vector<const Block*> mixers(const LayerSet& full, const LayerSet& sliding = {}) const;
    /// Makes the sliding-window paths (the teacher's own projections seen through a window; nothing to train).
    void addSlidingWindows(std::int64_t window);

    /// The architecture of a placement, and its weights by Hugging Face names; of linear paths the masters.
    Architecture architectureOf(const LayerSet& full, const LayerSet& sliding = {}) const;
    NamedTensors weightsOf(const LayerSet& full, const LayerSet& sliding = {}) const;

private:
    LayerSpec specOf(int layer, const LayerSet& full, const LayerSet& sliding) const;

    std::shared_ptr<const HybridModel> m_teacher;
    Architecture m_linearArchitecture;  ///< the teacher's, with every layer linear; outlives the blocks
    Architecture m_slidingArchitecture; ///< the teacher's, with every layer sliding
    std::vector<std::unique_ptr<Block>> m_linear;
    TrainedWeights m_weights; ///< in the order of the layers, and there of the names
    std::vector<std::unique_ptr<Block>> m_sliding;
    std::vector<std::string> m_takenOver;
};

/// Which layers take their full path in a training step: each on its own with `probability`; a function of seed and step.
LayerSet randomPath(int layers, double probability, std::uint64_t seed, std::int64_t step);

} // namespace postnas::engine
