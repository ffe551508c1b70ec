// Whether this GPU can run what was built for compute capability 9.0 alone.
#pragma once

#include <cuda_runtime_api.h>

namespace postnas::ops::cuda {

/// True on devices of compute capability 9.0, where code of this kernel was built for them: elsewhere its instructions do not exist.
template <typename... Parameters>
bool runsHopperCode([[maybe_unused]] void (*kernel)(Parameters...))
{
#ifdef POSTNAS_CUDA_EMULATION
    return emulation::warpGroups;
#else
    cudaFuncAttributes code;
    return cudaFuncGetAttributes(&code, kernel) == cudaSuccess && code.binaryVersion == 90 && code.ptxVersion >= 90;
#endif
}

} // namespace postnas::ops::cuda
