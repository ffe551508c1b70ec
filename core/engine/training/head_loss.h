// The losses of a language model's head, over slices of tokens: logits of a whole batch are never stored. Internal: torch.
#pragma once

#include <optional>

#include <torch/torch.h>

namespace postnas::engine {

/// What the logits of each token are compared with.
struct HeadTargets {
    torch::Tensor weights; ///< float [tokens]: how much each counts
    double scale = 1;      ///< of the whole loss

    double crossEntropy = 1; ///< share of -log p(id)
    torch::Tensor ids;       ///< int64 [tokens]; may be undefined when crossEntropy is 0

    double divergence = 0;       ///< share of temperature^2 * KL(teacher || student), both at the temperature
    double temperature = 1;
    torch::Tensor teacherHidden; ///< [tokens, width], after the teacher's final norm
    torch::Tensor teacherHead;   ///< [vocabulary, width of the teacher]
};

/// The sum over tokens of weight * (crossEntropy * CE + divergence * temperature^2 * KL), times the scale, float32 (float64 for float64 inputs).
/// hidden [tokens, width] after the final norm, head [vocabulary, width]; differentiable in both, once. Logits of about `sliceElements` values
/// exist at a time (0: 2^25 on a CPU, 2^28 on a GPU). Their gradient is made in the forward pass, while they are there; what stays is the size of `hidden` and of a head that
/// trains. The arithmetic behind the products is float32.
torch::Tensor headLoss(const torch::Tensor& hidden, const torch::Tensor& head, const HeadTargets& targets,
                       std::int64_t sliceElements = 0);

} // namespace postnas::engine
