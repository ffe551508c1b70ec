// The losses of training: weighted next-token cross-entropy over a chunked head, and feature distillation. Internal: torch.
#pragma once

#include <torch/torch.h>

#include "core/engine/model/hybrid_model.h"
#include "core/engine/training/batch_tensors.h"
#include "core/engine/training/recomputation.h"

namespace postnas::engine {

/// Cross-entropy of predicting ids[b, t] from the tokens before it, averaged by `weights`, times `share`. Runs forward and
/// backward: gradients are added to every weight that requires them. See headLoss. Returns the loss (without `share`) as a detached scalar on the device.
torch::Tensor nextTokenLossBackward(const HybridModel& model, TrainingPass& pass, const BatchTensors& batch, double share);

/// Mean over layers of |student - teacher|^2 / |teacher|^2 over the valid tokens: each layer counts the same, however large
/// its activations are. Both lists: [batch, length, hidden] for each layer; `valid`: bool [batch, length].
torch::Tensor featureDistillationLoss(const std::vector<torch::Tensor>& student, const std::vector<torch::Tensor>& teacher,
                                      const torch::Tensor& valid);

} // namespace postnas::engine
