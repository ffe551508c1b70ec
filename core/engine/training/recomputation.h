// Activation checkpointing: a layer keeps its input alone and runs again when its gradients are needed. Internal: torch.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include <torch/torch.h>

#include "core/base/json.h"
#include "core/engine/model/hybrid_model.h"
#include "core/jobs/job_spec.h"

namespace postnas::engine {

using HiddenFunction = std::function<torch::Tensor(const torch::Tensor&)>;

/// f(hidden), of whose computation nothing but `hidden` is kept for the backward pass; f runs a second time there, so it must be a function of
/// its input alone. `weights`: all tensors that require a gradient and that f uses. `measured`, when given, becomes the largest number of bytes
/// that f's computation held on a GPU.
torch::Tensor recomputed(const HiddenFunction& f, const torch::Tensor& hidden, const std::vector<torch::Tensor>& weights,
                         std::shared_ptr<double> measured = nullptr);

/// Runs a model's layers for training, and decides which of them run twice. On its own it lets all of them run twice in the first step on a GPU,
/// measures, and from then on keeps as many as the memory allows; on a CPU it keeps all. The gradients are the same either way, up to the order of sums.
class TrainingPass {
public:
    TrainingPass(RecomputeChoice choice, torch::Device device);

    /// As HybridModel::forward.
    torch::Tensor forward(const HybridModel& model, const torch::Tensor& ids, const std::vector<const Block*>* mixers = nullptr,
                          const std::function<void(int, const torch::Tensor&)>& visit = {});
    /// What was measured, for a checkpoint: a resumed run sums in the same order. Nothing where nothing is measured.
    Json state() const;
    void restore(const Json& state);
    /// Layers that ran twice in the last pass.
    int recomputedLayers() const { return m_recomputed; }

private:
    int layersToRecompute(int layers, std::int64_t tokens);

    RecomputeChoice m_choice;
    bool m_gpu;
    int m_recomputed = 0;
    std::int64_t m_tokens = 0;           ///< of the step that was measured
    std::shared_ptr<double> m_layerBytes; ///< what one layer held in it
    int m_kept = -1;                     ///< layers that fit; unknown before the second pass
};

} // namespace postnas::engine
