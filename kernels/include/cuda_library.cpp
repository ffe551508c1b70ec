// Opens libtorch_cuda.so and libpostnas_cuda.so when the driver reports a GPU.
#include "kernels/include/cuda_library.h"

#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <vector>

#include <ATen/Context.h>
#include <dlfcn.h>
#include <link.h>

namespace postnas {
namespace {

namespace fs = std::filesystem;

std::string lastError()
{
    const char* text = ::dlerror();
    return text ? text : "unknown error";
}

/// Name and memory of the first GPU, asked of the driver itself: loading torch's CUDA library costs seconds and a gigabyte of
/// address space, so that machines without a GPU should not pay for it.
bool firstDevice(std::string& nameOrReason, std::uint64_t& memoryBytes)
{
    void* driver = ::dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!driver) {
        nameOrReason = "no NVIDIA driver (libcuda.so.1) is installed";
        return false;
    }
    const auto init = reinterpret_cast<int (*)(unsigned)>(::dlsym(driver, "cuInit"));
    const auto count = reinterpret_cast<int (*)(int*)>(::dlsym(driver, "cuDeviceGetCount"));
    const auto name = reinterpret_cast<int (*)(char*, int, int)>(::dlsym(driver, "cuDeviceGetName"));
    if (!init || !count || !name) {
        nameOrReason = "libcuda.so.1 lacks the driver functions";
        return false;
    }
    if (const int code = init(0); code != 0) {
        nameOrReason = "the NVIDIA driver did not start (cuInit gave " + std::to_string(code) + ")";
        return false;
    }
    int devices = 0;
    if (count(&devices) != 0 || devices == 0) {
        nameOrReason = "the NVIDIA driver reports no GPU";
        return false;
    }
    char text[256] = {};
    nameOrReason = name(text, static_cast<int>(sizeof text) - 1, 0) == 0 ? text : "NVIDIA GPU";
    const auto memory = reinterpret_cast<int (*)(std::size_t*, int)>(::dlsym(driver, "cuDeviceTotalMem_v2"));
    if (std::size_t bytes = 0; memory && memory(&bytes, 0) == 0)
        memoryBytes = bytes;
    return true;
}

/// The folder from which libtorch_cpu.so came.
fs::path torchFolder()
{
    fs::path folder;
    ::dl_iterate_phdr(
        [](dl_phdr_info* info, std::size_t, void* out) {
            const fs::path file = info->dlpi_name ? info->dlpi_name : "";
            if (file.filename() != "libtorch_cpu.so")
                return 0;
            *static_cast<fs::path*>(out) = file.parent_path();
            return 1;
        },
        &folder);
    return folder;
}

bool openTorchCuda(std::string& reason)
{
    const fs::path folder = torchFolder();
    const std::string file = folder.empty() ? "libtorch_cuda.so" : (folder / "libtorch_cuda.so").string();
    if (::dlopen(file.c_str(), RTLD_NOW | RTLD_GLOBAL))
        return true;
    reason = "torch's CUDA library does not open: " + lastError();
    return false;
}

void openOperators(CudaStatus& status)
{
    constexpr std::string_view kFile = "libpostnas_cuda.so";
    std::vector<fs::path> candidates;
    if (const char* file = std::getenv("POSTNAS_CUDA_LIBRARY"); file && *file)
        candidates.emplace_back(file);
    std::error_code ignored;
    const fs::path program = fs::read_symlink("/proc/self/exe", ignored).parent_path();
    if (!program.empty()) {
        candidates.push_back(program.parent_path() / "lib" / kFile);
        candidates.push_back(program / kFile);
    }
    for (const fs::path& file : candidates) {
        if (!fs::exists(file, ignored))
            continue;
        if (::dlopen(file.c_str(), RTLD_NOW | RTLD_GLOBAL)) {
            status.operators = true;
            status.operatorsReason = file.string();
        } else {
            status.operatorsReason = "the CUDA operators do not open: " + lastError();
        }
        return;
    }
    status.operatorsReason = std::string(kFile) + " is not beside the program; set POSTNAS_CUDA_LIBRARY to it";
}

CudaStatus load()
{
    CudaStatus status;
    if (!firstDevice(status.reason, status.memoryBytes)) {
        status.operatorsReason = status.reason;
        return status;
    }
    std::string failure;
    if (openTorchCuda(failure) && !at::hasCUDA())
        failure = "torch sees no GPU";
    if (!failure.empty()) {
        status.reason = failure;
        status.operatorsReason = failure;
        return status;
    }
    status.available = true;
    openOperators(status);
    return status;
}

} // namespace

CudaStatus loadCudaLibrary()
{
    static const CudaStatus status = load();
    return status;
}

} // namespace postnas
