// Times the operators on the shapes of the published comparisons, or on small ones.
#include "core/engine/benchmark/operator_speed.h"

#include <cmath>

#include "core/engine/benchmark/timing.h"
#include "core/engine/model/functional.h"
#include "core/engine/model/tensor_io.h"
#include "kernels/include/decode_operators.h"
#include "kernels/include/operators.h"

namespace postnas::engine {
namespace {

using torch::Tensor;

struct Subject {
    OperatorTiming timing;
    std::vector<Tensor> inputs;
    std::function<Tensor(const std::vector<Tensor>&)> forward;
    bool backward = false;
};

/// Makes the inputs only when the subject's turn comes.
using Maker = std::function<Subject()>;

struct Dimensions {
    std::int64_t batch, length, heads, key, value;
};

std::string textOf(const Dimensions& d)
{
    return "batch " + std::to_string(d.batch) + ", length " + std::to_string(d.length) + ", heads " + std::to_string(d.heads) + ", key "
        + std::to_string(d.key) + ", value " + std::to_string(d.value);
}

class Catalogue {
public:
    explicit Catalogue(const OperatorSpeedRequest& request)
        : m_options(torch::TensorOptions().device(torch::Device(request.device)).dtype(scalarTypeNamed(request.dtype)))
    {
        const std::int64_t part = request.small ? 64 : 1;
        for (const auto& [batch, length, backward] : {std::tuple(1, 65536, false), std::tuple(8, 4096, true), std::tuple(128, 2048, false)})
            recurrence("gated_delta_rule", {request.small ? std::min(batch, 2) : batch, length / part, 12, 96, 256}, false, true, backward);
        recurrence("gated_linear_attention", {request.small ? 1 : 8, 4096 / part, 12, 128, 128}, true, false, true);
        rwkv7({request.small ? 1 : 8, 4096 / part, 32, 64, 64});
        for (const std::int64_t batch : {128, 256})
            recurrentStep({request.small ? batch / 64 : batch, 1, 12, 96, 256});
        convolution(request.small ? 1 : 8, 4096 / part, 3072, 4);
        decodeAttention(request.small ? 2 : 128, 65536 / part, 12, 2, 128);
        causalAttention(1, 32768 / (request.small ? 128 : 1), 12, 2, 128);
    }

    const std::vector<std::pair<std::string, Maker>>& makers() const { return m_makers; }

private:
    Tensor normal(at::IntArrayRef shape) const { return torch::randn(shape, m_options); }
    Tensor uniform(at::IntArrayRef shape) const { return torch::rand(shape, m_options.dtype(torch::kFloat32)); }
    double elementBytes() const { return static_cast<double>(m_options.dtype().itemsize()); }

    void recurrence(const std::string& name, const Dimensions& d, bool perChannel, bool delta, bool backward)
    {
        m_makers.emplace_back(name, [this, name, d, perChannel, delta, backward] {
            Subject s;
            const Tensor k = normal({d.batch, d.length, d.heads, d.key});
            const Tensor g = -uniform(perChannel ? std::vector<std::int64_t>{d.batch, d.length, d.heads, d.key}
                                                 : std::vector<std::int64_t>{d.batch, d.length, d.heads});
            s.inputs = {normal({d.batch, d.length, d.heads, d.key}), k / k.norm(2, {-1}, true), normal({d.batch, d.length, d.heads, d.value}), g * 0.1,
                        torch::zeros({d.batch, d.heads, d.key, d.value}, m_options.dtype(torch::kFloat32))};
            if (delta)
                s.inputs.push_back(uniform({d.batch, d.length, d.heads}));
            const double scale = 1.0 / std::sqrt(static_cast<double>(d.key));
            s.forward = [scale, delta](const std::vector<Tensor>& in) {
                return std::get<0>(delta ? ops::gatedDeltaRule(in[0], in[1], in[2], in[3], in[5], in[4], scale)
                                         : ops::gatedLinearAttention(in[0], in[1], in[2], in[3], in[4], scale));
            };
            const double tokens = static_cast<double>(d.batch * d.length * d.heads), state = static_cast<double>(d.key * d.value);
            // Decay, the prediction (delta), the written outer product and the output: one or two operations an element of the state each.
            s.timing = {name, textOf(d), 0, 0,
                        tokens * elementBytes() * static_cast<double>(2 * d.key + 2 * d.value) + 4 * tokens * ((perChannel ? static_cast<double>(d.key) : 1) + 1)
                            + 8 * static_cast<double>(d.batch * d.heads) * state,
                        tokens * state * (delta ? 7 : 5)};
            s.backward = backward;
            return s;
        });
    }

    void rwkv7(const Dimensions& d)
    {
        m_makers.emplace_back("rwkv7", [this, d] {
            Subject s;
            const std::vector<std::int64_t> keys = {d.batch, d.length, d.heads, d.key};
            const Tensor kappa = normal(keys);
            s.inputs = {normal(keys), -0.6 * uniform(keys), normal(keys), normal({d.batch, d.length, d.heads, d.value}),
                        kappa / kappa.norm(2, {-1}, true), uniform(keys).to(m_options.dtype()),
                        torch::zeros({d.batch, d.heads, d.key, d.value}, m_options.dtype(torch::kFloat32))};
            s.forward = [](const std::vector<Tensor>& in) { return std::get<0>(ops::rwkv7(in[0], in[1], in[2], in[3], in[4], in[5], in[6], 1.0)); };
            const double tokens = static_cast<double>(d.batch * d.length * d.heads), state = static_cast<double>(d.key * d.value);
            // Decay, what is found, the removed and the written outer product, and the output.
            s.timing = {"rwkv7", textOf(d), 0, 0,
                        tokens * (elementBytes() * static_cast<double>(4 * d.key + 2 * d.value) + 4 * static_cast<double>(d.key))
                            + 8 * static_cast<double>(d.batch * d.heads) * state,
                        tokens * state * 9};
            s.backward = true;
            return s;
        });
    }

    /// The rule alone for one token, as decoding runs it: over a state in place.
    void recurrentStep(const Dimensions& d)
    {
        m_makers.emplace_back("gated_delta_rule_step", [this, d] {
            Subject s;
            s.inputs = {normal({d.batch, d.heads * d.key}), normal({d.batch, d.heads * d.key}), normal({d.batch, d.heads * d.value}),
                        -0.1 * uniform({d.batch, d.heads}), normal({d.batch, d.heads}),
                        torch::zeros({d.batch, d.heads, d.key, d.value}, m_options.dtype(torch::kFloat32))};
            s.forward = [d](const std::vector<Tensor>& in) {
                ops::RecurrentStep step;
                step.heads = step.groups = d.heads;
                step.q = in[0];
                step.k = in[1];
                step.v = in[2];
                step.unitLength = true;
                step.scale = 1.0 / std::sqrt(static_cast<double>(d.key));
                step.decay = ops::StepDecay::PerHead;
                step.g = in[3];
                step.b = in[4];
                step.state = in[5];
                return ops::recurrentStep(step);
            };
            const double heads = static_cast<double>(d.batch * d.heads), state = static_cast<double>(d.key * d.value);
            s.timing = {"gated_delta_rule_step", textOf(d), 0, 0,
                        heads * (elementBytes() * static_cast<double>(2 * d.key + 2 * d.value + 1) + 4 + 8 * state), heads * state * 7};
            return s;
        });
    }

    void convolution(std::int64_t batch, std::int64_t length, std::int64_t channels, std::int64_t taps)
    {
        m_makers.emplace_back("dynamic_convolution", [=, this] {
            Subject s;
            s.inputs = {normal({batch, length, channels}), normal({batch, length, channels, taps})};
            s.forward = [](const std::vector<Tensor>& in) { return ops::dynamicConvolution(in[0], in[1], std::nullopt); };
            const double elements = static_cast<double>(batch * length * channels);
            s.timing = {"dynamic_convolution",
                        "batch " + std::to_string(batch) + ", length " + std::to_string(length) + ", channels " + std::to_string(channels) + ", taps "
                            + std::to_string(taps),
                        0, 0, elements * elementBytes() * static_cast<double>(2 + taps), elements * static_cast<double>(2 * taps)};
            s.backward = true;
            return s;
        });
    }

    void decodeAttention(std::int64_t batch, std::int64_t context, std::int64_t heads, std::int64_t groups, std::int64_t dim)
    {
        m_makers.emplace_back("decode_attention", [=, this] {
            Subject s;
            s.inputs = {normal({batch, heads, dim}), normal({batch, groups, context, dim}), normal({batch, groups, context, dim}),
                        torch::full({batch}, context, m_options.dtype(torch::kInt32))};
            const double scale = 1.0 / std::sqrt(static_cast<double>(dim));
            s.forward = [scale](const std::vector<Tensor>& in) { return ops::decodeAttention(in[0], in[1], in[2], in[3], scale); };
            s.timing = {"decode_attention",
                        "batch " + std::to_string(batch) + ", context " + std::to_string(context) + ", heads " + std::to_string(heads) + " in "
                            + std::to_string(groups) + " groups, dim " + std::to_string(dim),
                        0, 0, 2 * static_cast<double>(batch * groups * context * dim) * elementBytes(),
                        4 * static_cast<double>(batch * heads * context * dim)};
            return s;
        });
    }

    void causalAttention(std::int64_t batch, std::int64_t length, std::int64_t heads, std::int64_t groups, std::int64_t dim)
    {
        m_makers.emplace_back("causal_attention", [=, this] {
            Subject s;
            s.inputs = {normal({batch, heads, length, dim}), normal({batch, groups, length, dim}), normal({batch, groups, length, dim})};
            s.forward = [](const std::vector<Tensor>& in) { return engine::causalAttention(in[0], in[1], in[2]); };
            s.timing = {"causal_attention",
                        "batch " + std::to_string(batch) + ", length " + std::to_string(length) + ", heads " + std::to_string(heads) + " in "
                            + std::to_string(groups) + " groups, dim " + std::to_string(dim),
                        0, 0, static_cast<double>(batch * length * dim * (2 * heads + 2 * groups)) * elementBytes(),
                        // Half of the square is masked.
                        2 * static_cast<double>(batch * heads) * static_cast<double>(length) * static_cast<double>(length) * static_cast<double>(dim)};
            return s;
        });
    }

    torch::TensorOptions m_options;
    std::vector<std::pair<std::string, Maker>> m_makers;
};

/// Short calls are timed several at a time, or the clock's and the first launch's own time would count, which a layer between others does not see.
/// Long ones are not: repeated, they would show what the card's power allows.
int callsAtATime(double seconds) { return seconds < 2e-3 ? static_cast<int>(std::min(50.0, std::ceil(20e-3 / std::max(seconds, 1e-6)))) : 1; }

/// The median of one call, with the device idle before.
double secondsOfOne(const std::function<void()>& once, const torch::Device& device, int repeats)
{
    once(); // the first call also loads code
    const int calls = callsAtATime(secondsOf(device, once));
    std::vector<double> seconds;
    for (int i = 0; i < repeats; ++i)
        seconds.push_back(secondsOf(device, [&] {
                              for (int call = 0; call < calls; ++call)
                                  once();
                          })
                          / calls);
    return median(seconds);
}

double secondsOfForward(const Subject& s, const torch::Device& device, int repeats)
{
    const torch::InferenceMode guard;
    return secondsOfOne([&] { s.forward(s.inputs); }, device, repeats);
}

double secondsOfBackward(const Subject& s, const torch::Device& device, int repeats)
{
    std::vector<Tensor> leaves;
    for (const Tensor& t : s.inputs)
        leaves.push_back(t.detach().clone().requires_grad_());
    const Tensor out = s.forward(leaves);
    const Tensor upstream = torch::randn_like(out);
    return secondsOfOne([&] { torch::autograd::grad({out}, leaves, {upstream}, true, false, true); }, device, repeats);
}

} // namespace

std::vector<OperatorTiming> measureOperatorSpeed(const OperatorSpeedRequest& request, const std::function<void(const OperatorTiming&)>& onTiming,
                                                 const CancellationToken& cancellation)
{
    const torch::Device device(request.device);
    std::vector<OperatorTiming> out;
    const Catalogue catalogue(request);
    for (const auto& [name, make] : catalogue.makers()) {
        cancellation.throwIfCancelled();
        if (name.find(request.only) == std::string::npos)
            continue;
        Subject s = make();
        s.timing.forwardSeconds = secondsOfForward(s, device, request.repeats);
        if (s.backward)
            s.timing.backwardSeconds = secondsOfBackward(s, device, request.repeats);
        onTiming(s.timing);
        out.push_back(s.timing);
    }
    return out;
}

} // namespace postnas::engine
