// The operators against their formulas, written once more with torch's own functions in float64.
#include "core/engine/benchmark/operator_checks.h"

#include <cmath>
#include <fstream>
#include <functional>
#include <thread>

#include <torch/torch.h>

#include "core/base/memory.h"
#include "core/engine/benchmark/comparison.h"
#include "kernels/include/cpu_vector.h"
#include "kernels/include/cuda_library.h"
#include "kernels/include/implementations.h"
#include "kernels/include/operators.h"

namespace postnas::engine {
namespace {

using torch::Tensor;
using Tensors = std::vector<Tensor>;

using Subject = GradientSubject;

/// q, k, v, g, state and, with the delta rule, beta.
Tensors recurrence(const Tensors& in, double scale)
{
    const Tensor &q = in[0], &k = in[1], &v = in[2], &g = in[3];
    Tensor state = in[4];
    Tensors outputs;
    for (std::int64_t t = 0; t < q.size(1); ++t) {
        const Tensor key = k.select(1, t).unsqueeze(-1), gate = g.select(1, t);
        state = state * (gate.dim() == 2 ? gate.unsqueeze(-1) : gate).unsqueeze(-1).exp();
        Tensor written = v.select(1, t);
        if (in.size() > 5)
            written = in[5].select(1, t).unsqueeze(-1) * (written - (state * key).sum(-2));
        state = state + key * written.unsqueeze(-2);
        outputs.push_back(scale * (state * q.select(1, t).unsqueeze(-1)).sum(-2));
    }
    return {torch::stack(outputs, 1), state};
}

/// x, kernels, history.
Tensors convolution(const Tensors& in)
{
    const std::int64_t length = in[0].size(1);
    const Tensor padded = torch::cat({in[2], in[0]}, 1);
    Tensor y = torch::zeros_like(in[0]);
    for (std::int64_t w = 0; w < in[1].size(-1); ++w)
        y = y + in[1].select(-1, w) * padded.narrow(1, w, length);
    return {y};
}

Subject recurrenceSubject(std::int64_t batch, std::int64_t length, std::int64_t heads, std::int64_t key, std::int64_t value, bool perChannel,
                          bool delta)
{
    const auto options = torch::TensorOptions().dtype(torch::kFloat64);
    const double scale = 1.0 / std::sqrt(static_cast<double>(key));
    Subject s;
    s.name = delta ? "gated_delta_rule" : "gated_linear_attention";
    s.primitive = "linear_recurrence";
    s.shape = "batch " + std::to_string(batch) + ", length " + std::to_string(length) + ", heads " + std::to_string(heads) + ", key "
              + std::to_string(key) + ", value " + std::to_string(value) + (perChannel ? ", gate per channel" : ", gate per head");
    Tensor k = torch::randn({batch, length, heads, key}, options);
    k = k / k.norm(2, {-1}, true);
    const Tensor g = -(perChannel ? torch::rand({batch, length, heads, key}, options) : torch::rand({batch, length, heads}, options));
    s.inputs = {torch::randn({batch, length, heads, key}, options), k, torch::randn({batch, length, heads, value}, options), g,
                torch::randn({batch, heads, key, value}, options)};
    if (delta)
        s.inputs.push_back(torch::rand({batch, length, heads}, options));
    s.formula = [scale](const Tensors& in) { return recurrence(in, scale); };
    s.implementation = [scale, delta](const Tensors& in) -> Tensors {
        const auto [o, state] = delta ? ops::gatedDeltaRule(in[0], in[1], in[2], in[3], in[5], in[4], scale)
                                      : ops::gatedLinearAttention(in[0], in[1], in[2], in[3], in[4], scale);
        return {o, state};
    };
    return s;
}

/// Three sequences, of which one is a single token, behind each other; the formula takes one after the other.
Subject packedSubject(std::int64_t heads, std::int64_t key, std::int64_t value, bool perChannel, bool delta)
{
    const std::vector<std::int64_t> starts = {0, 70, 71, 150};
    Subject s = recurrenceSubject(1, starts.back(), heads, key, value, perChannel, delta);
    s.name = "packed_recurrence";
    s.primitive = "packed_recurrence";
    s.shape += ", packed 70 + 1 + 79" + std::string(delta ? ", delta" : "");
    s.inputs[4] = torch::randn({3, heads, key, value}, torch::kFloat64);
    const double scale = 1.0 / std::sqrt(static_cast<double>(key));
    s.formula = [starts, scale](const Tensors& in) -> Tensors {
        Tensors outputs, states;
        for (std::size_t i = 0; i + 1 < starts.size(); ++i) {
            Tensors one;
            for (std::size_t n = 0; n < in.size(); ++n)
                one.push_back(n == 4 ? in[n].narrow(0, static_cast<std::int64_t>(i), 1) : in[n].narrow(1, starts[i], starts[i + 1] - starts[i]));
            const Tensors out = recurrence(one, scale);
            outputs.push_back(out[0]);
            states.push_back(out[1]);
        }
        return {torch::cat(outputs, 1), torch::cat(states, 0)};
    };
    s.implementation = [starts, scale, delta](const Tensors& in) -> Tensors {
        const auto row = [](const Tensor& t) { return t.squeeze(0); };
        const auto [o, state] = ops::packedLinearRecurrence(row(in[0]), row(in[1]), row(in[2]), row(in[3]), delta ? std::optional(row(in[5])) : std::nullopt, in[4],
                                                            torch::tensor(starts), scale);
        return {o.unsqueeze(0), state};
    };
    return s;
}

Subject convolutionSubject(std::int64_t batch, std::int64_t length, std::int64_t channels, std::int64_t taps, bool dynamic)
{
    const auto options = torch::TensorOptions().dtype(torch::kFloat64);
    Subject s;
    s.name = dynamic ? "dynamic_convolution" : "short_convolution";
    s.primitive = "causal_convolution";
    s.shape = "batch " + std::to_string(batch) + ", length " + std::to_string(length) + ", channels " + std::to_string(channels) + ", taps "
              + std::to_string(taps);
    s.inputs = {torch::randn({batch, length, channels}, options),
                dynamic ? torch::randn({batch, length, channels, taps}, options) : torch::randn({channels, taps}, options),
                torch::randn({batch, taps - 1, channels}, options)};
    s.formula = [](const Tensors& in) { return convolution(in); };
    s.implementation = [dynamic](const Tensors& in) -> Tensors {
        return {dynamic ? ops::dynamicConvolution(in[0], in[1], in[2]) : ops::shortConvolution(in[0], in[1], in[2])};
    };
    return s;
}

std::vector<Subject> subjects()
{
    std::vector<Subject> out;
    for (const bool delta : {false, true}) {
        out.push_back(recurrenceSubject(2, 33, 2, 16, 32, true, delta));
        out.push_back(recurrenceSubject(1, 40, 2, 96, 256, false, delta));
        out.push_back(recurrenceSubject(1, 70, 1, 128, 40, false, delta));
        out.push_back(recurrenceSubject(3, 1, 2, 64, 64, true, delta));
        out.push_back(recurrenceSubject(1, 150, 2, 96, 80, true, delta));
        out.push_back(recurrenceSubject(1, 129, 1, 256, 64, false, delta));
        out.push_back(recurrenceSubject(1, 70, 1, 256, 64, true, delta));
    }
    out.push_back(packedSubject(2, 96, 256, false, true));
    out.push_back(packedSubject(2, 64, 40, true, false));
    for (const bool dynamic : {true, false}) {
        out.push_back(convolutionSubject(2, 37, 96, 4, dynamic));
        out.push_back(convolutionSubject(1, 1, 70, 4, dynamic));
        out.push_back(convolutionSubject(3, 11, 33, 3, dynamic));
    }
    return out;
}

/// Which code runs it, and why where it is the slow one.
std::string pathOf(const Subject& s, const std::string& device, torch::ScalarType type, bool native)
{
    if (!native)
        return "through the CPU (slow): no operators for this device are loaded";
    if (device != "cuda" || (s.primitive != "linear_recurrence" && s.primitive != "packed_recurrence"))
        return "native";
    const ops::RecurrenceSizes sizes{s.inputs[0].size(0), s.inputs[0].size(1), s.inputs[0].size(2), s.inputs[0].size(3), s.inputs[2].size(3),
                                     s.inputs[3].dim() == 4, s.inputs.size() > 5};
    switch (ops::cudaRecurrencePath(sizes, type)) {
    case ops::RecurrencePath::Chunks: return "native, in chunks on the tensor cores";
    case ops::RecurrencePath::Tokens:
        return std::string("native, token by token (")
            + (type != torch::kBFloat16 ? "chunks are for bfloat16)" : sizes.length < 8 ? "fewer than 8 tokens)" : "the chunks do not take these widths)");
    case ops::RecurrencePath::Cpu: return "through the CPU (slow): keys wider than 256";
    }
    return "native";
}

OperatorCheck check(const Subject& s, const std::string& device, torch::ScalarType type, double tolerance)
{
    return checkWithGradients(s, device, type, tolerance, pathOf(s, device, type, isNative(s, device)));
}

std::string processorName()
{
    std::ifstream file("/proc/cpuinfo");
    std::string line;
    while (std::getline(file, line)) {
        if (line.rfind("model name", 0) != 0)
            continue;
        const std::size_t colon = line.find(':');
        return colon == std::string::npos ? line : line.substr(line.find_first_not_of(' ', colon + 1));
    }
    return "unknown";
}

} // namespace

MachineReport describeMachine()
{
    MachineReport out;
    out.processor = processorName();
    out.processors = static_cast<int>(std::thread::hardware_concurrency());
    out.threads = at::get_num_threads();
    switch (ops::cpu::bestVectorLevel()) {
    case ops::cpu::VectorLevel::Avx512: out.vectorInstructions = "AVX-512"; break;
    case ops::cpu::VectorLevel::Avx2: out.vectorInstructions = "AVX2"; break;
    case ops::cpu::VectorLevel::Baseline: out.vectorInstructions = "baseline"; break;
    }
    out.memoryBytes = availableMemoryBytes();
    out.torchVersion = TORCH_VERSION;
    const CudaStatus status = loadCudaLibrary();
    out.cuda = status.available && torch::cuda::is_available();
    out.gpu = status.available && !out.cuda ? "torch sees no GPU" : status.reason;
    out.cudaOperators = status.operators;
    out.cudaOperatorsDetail = status.operatorsReason;
    out.gpuMemoryBytes = status.memoryBytes;
    return out;
}

std::vector<OperatorCheck> checkOperators(const std::string& device, const std::string& only)
{
    std::vector<OperatorCheck> out;
    for (const Subject& s : subjects()) {
        if (s.name.find(only) == std::string::npos)
            continue;
        out.push_back(check(s, device, torch::kFloat32, 1e-4));
        // Inputs are rounded to bfloat16 for both sides; what remains is the rounding of o and of the gradients.
        out.push_back(check(s, device, torch::kBFloat16, 2e-2));
    }
    const std::vector<OperatorCheck> decoding = checkDecodeOperators(device, only);
    out.insert(out.end(), decoding.begin(), decoding.end());
    const std::vector<OperatorCheck> prefill = checkPrefillOperators(device, only);
    out.insert(out.end(), prefill.begin(), prefill.end());
    const std::vector<OperatorCheck> training = checkTrainingOperators(device, only);
    out.insert(out.end(), training.begin(), training.end());
    return out;
}

} // namespace postnas::engine
