// The operators against their formulas, written once more with torch's own functions in float64.
#include "core/engine/benchmark/operator_checks.h"

#include <fstream>
#include <functional>
#include <thread>

#include <torch/torch.h>

#include "core/base/memory.h"
#include "core/engine/benchmark/comparison.h"
#include "kernels/include/cpu_vector.h"
#include "kernels/include/cuda_library.h"
#include "kernels/include/operators.h"

namespace postnas::engine {
namespace {

using torch::Tensor;
using Tensors = std::vector<Tensor>;

using Subject = GradientSubject;

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

Subject convolutionSubject(std::int64_t batch, std::int64_t length, std::int64_t channels, std::int64_t taps, bool dynamic)
{
    const auto options = torch::TensorOptions().dtype(torch::kFloat64);
    Subject s;
    s.name = dynamic ? "dynamic_convolution" : "short_convolution";
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
    for (const bool dynamic : {true, false}) {
        out.push_back(convolutionSubject(2, 37, 96, 4, dynamic));
        out.push_back(convolutionSubject(1, 1, 70, 4, dynamic));
        out.push_back(convolutionSubject(3, 11, 33, 3, dynamic));
        out.push_back(convolutionSubject(0, 5, 32, 4, dynamic));
    }
    return out;
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
    out.cuda = status.available;
    out.gpu = status.reason;
    out.cudaOperators = status.operators;
    out.cudaOperatorsDetail = status.operatorsReason;
    out.gpuMemoryBytes = status.memoryBytes;
    return out;
}

std::vector<OperatorCheck> checkOperators(const std::string& device, const std::string& only)
{
    std::vector<OperatorCheck> out = checkRecurrences(device, only);
    for (const Subject& s : subjects()) {
        if (!isChosen(s.name, s.shape, only))
            continue;
        out.push_back(checkWithGradients(s, device, torch::kFloat32, 1e-4));
        // Inputs are rounded to bfloat16 for both sides; what remains is the rounding of o and of the gradients.
        out.push_back(checkWithGradients(s, device, torch::kBFloat16, 2e-2));
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
