// Times single-token steps over a filled state.
#include "core/engine/generation/decode_speed.h"

#include <algorithm>

#include "core/engine/benchmark/timing.h"

namespace postnas::engine {

double measureDecodeSpeed(const HybridModel& model, const std::vector<const Block*>* mixers, std::int64_t context, std::int64_t batch, int steps)
{
    const torch::InferenceMode guard;
    constexpr int kWarmUp = 2;
    constexpr std::int64_t kPiece = 512;
    ModelState state = model.makeState(batch, context + steps + kWarmUp, mixers);
    const auto tokens = [&](std::int64_t length) {
        return torch::randint(model.architecture().vocabularySize, {batch, length},
                              torch::TensorOptions().dtype(torch::kInt64).device(model.device()));
    };
    for (std::int64_t done = 0; done < context; done += kPiece)
        model.extend(tokens(std::min(kPiece, context - done)), state, mixers);
    std::vector<double> seconds;
    for (int i = 0; i < steps + kWarmUp; ++i) {
        const torch::Tensor next = tokens(1);
        const double one = secondsOf(model.device(), [&] { model.logits(model.extend(next, state, mixers)).argmax(-1); });
        if (i >= kWarmUp)
            seconds.push_back(one);
    }
    return double(batch) / median(seconds);
}

} // namespace postnas::engine
