// Devices, threads and versions of the engine, and how a spec's words choose among them. No torch.
#pragma once

#include <map>
#include <string>

#include "kernels/include/cuda_library.h"

namespace postnas::engine {

/// Must run once before anything else of the engine: opens the CUDA libraries where a driver is (torch remembers a 'no'),
/// and sets the number of threads (0: as many as the process may use).
void initialiseRuntime(int threads = 0);

/// "cpu" or "cuda": resolves "auto"; throws Error(Usage) with the reason when "cuda" is asked for and is not there. A GPU counts when the CUDA
/// operators are open too: torch alone does not know the project's own.
std::string resolveDevice(const std::string& device);
/// The same for a machine of which `status` is known.
std::string chooseDevice(const std::string& device, const CudaStatus& status);
/// "float32", "bfloat16", "float16": resolves "auto" (float32 on a CPU; the checkpoint's type on a GPU).
std::string resolveDtype(const std::string& dtype, const std::string& device, const std::string& checkpointDtype);

/// For people: "cpu (2 threads)", "cuda (NVIDIA H100 80GB HBM3)"; of a CPU beside a GPU that cannot be used, why.
std::string describeDevice(const std::string& device);
/// Versions of postnas and torch.
std::map<std::string, std::string> versions();

} // namespace postnas::engine
