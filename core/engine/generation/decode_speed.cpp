// Times single-token steps over a filled state.
#include "core/engine/generation/decode_speed.h"

#include <algorithm>
#include <chrono>

namespace postnas::engine {

double measureDecodeSpeed(const HybridModel& model, const std::vector<const Block*>* mixers, std::int64_t context, std::int64_t batch, int steps)
{
    const torch::InferenceMode guard;
    constexpr int kWarmUp = 2;
    constexpr std::int64_t kPiece = 512;
    ModelState state = model.makeState(batch, context + steps + kWarmUp, mixers);
    const auto synchronise = [&] {
        if (model.device().is_cuda())
            torch::cuda::synchronize();
    };
    const auto tokens = [&](std::int64_t length) {
        return torch::randint(model.architecture().vocabularySize, {batch, length},
                              torch::TensorOptions().dtype(torch::kInt64).device(model.device()));
    };
    for (std::int64_t done = 0; done < context; done += kPiece)
        model.extend(tokens(std::min(kPiece, context - done)), state, mixers);
    std::vector<double> seconds;
    for (int i = 0; i < steps + kWarmUp; ++i) {
        const torch::Tensor next = tokens(1);
        synchronise();
        const auto start = std::chrono::steady_clock::now();
        model.logits(model.extend(next, state, mixers)).argmax(-1);
        synchronise();
        if (i >= kWarmUp)
            seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    const auto middle = seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2);
    std::nth_element(seconds.begin(), middle, seconds.end());
    return double(batch) / *middle;
}

} // namespace postnas::engine
