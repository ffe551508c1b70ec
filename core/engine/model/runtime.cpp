// Opening CUDA where there is a driver, choosing devices and types.
#include "core/engine/runtime.h"

#include <algorithm>
#include <sched.h>

#include <torch/torch.h>

#include "core/base/error.h"
#include "core/base/version.h"

namespace postnas::engine {
namespace {

int usableProcessors()
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (::sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    return std::max(1, CPU_COUNT(&set));
}

} // namespace

void initialiseRuntime(int threads)
{
    loadCudaLibrary();
    at::set_num_threads(threads > 0 ? threads : usableProcessors());
    at::globalContext().setDeterministicAlgorithms(false, false);
}

std::string resolveDevice(const std::string& device) { return chooseDevice(device, loadCudaLibrary()); }

std::string chooseDevice(const std::string& device, const CudaStatus& status)
{
    if (device == "cpu")
        return device;
    if (device == "auto")
        return status.available && status.operators ? "cuda" : "cpu";
    if (device == "cuda") {
        if (!status.available)
            throw usageError("device \"cuda\" is not available: " + status.reason, "Use --device cpu, or run `postnas doctor` to see what is missing.");
        if (!status.operators)
            throw usageError("device \"cuda\" cannot be used: " + status.operatorsReason,
                             "Build with the CUDA toolkit, which makes libpostnas_cuda.so, or use --device cpu.");
        return device;
    }
    throw usageError("device \"" + device + "\" is unknown", "Known devices: auto, cpu, cuda.");
}

std::string resolveDtype(const std::string& dtype, const std::string& device, const std::string& checkpointDtype)
{
    if (dtype == "auto") {
        if (device == "cpu")
            return "float32";
        return checkpointDtype == "float16" || checkpointDtype == "bfloat16" ? checkpointDtype : "float32";
    }
    if (dtype != "float32" && dtype != "bfloat16" && dtype != "float16")
        throw usageError("dtype \"" + dtype + "\" is unknown", "Known types: auto, float32, bfloat16, float16.");
    return dtype;
}

std::string describeDevice(const std::string& device)
{
    const CudaStatus status = loadCudaLibrary();
    if (device != "cpu")
        return "cuda (" + status.reason + ")";
    const std::string unused = status.available && !status.operators ? "; the GPU is not used: " + status.operatorsReason : "";
    return "cpu (" + std::to_string(at::get_num_threads()) + " threads" + unused + ")";
}

std::map<std::string, std::string> versions() { return {{"postnas", kVersion}, {"torch", TORCH_VERSION}}; }

} // namespace postnas::engine
