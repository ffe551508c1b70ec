// Starts a CUDA kernel; the one place that knows whether a GPU or the emulation (kernels/emulation) runs it.
#pragma once

#include <cstddef>

#include <cuda_runtime_api.h>

namespace postnas::ops::cuda {

/// Bytes of shared memory that a block can have on the current device: 227 KiB on Hopper, 99 at compute capability 8.6 and 8.9.
inline std::size_t sharedMemoryOfBlock()
{
#ifdef POSTNAS_CUDA_EMULATION
    return emulation::sharedMemoryLimit;
#else
    int device = 0, bytes = 0;
    if (cudaGetDevice(&device) != cudaSuccess || cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device) != cudaSuccess)
        return 48 * 1024;
    return std::size_t(bytes);
#endif
}

/// While this is true on a thread, its launches only find out whether the device has the shared memory that they ask for.
inline bool& onlyAsking()
{
    thread_local bool asking = false;
    return asking;
}

/// Dynamic shared memory of more than 48 KiB is asked for as CUDA wants it; cudaErrorInvalidValue where the device does not have it.
template <typename... Parameters, typename... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t sharedBytes, cudaStream_t stream, Arguments&&... arguments)
{
#ifdef POSTNAS_CUDA_EMULATION
    (void)stream;
    if (sharedBytes > emulation::sharedMemoryLimit)
        return cudaErrorInvalidValue;
    if (onlyAsking())
        return cudaSuccess;
    emulation::run(grid, block, sharedBytes, [&] { kernel(static_cast<Parameters>(arguments)...); });
    return cudaSuccess;
#else
    if (sharedBytes > 48 * 1024) {
        const cudaError_t code = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(sharedBytes));
        if (code != cudaSuccess) {
            cudaGetLastError(); // or a later launch would be taken for the failed one
            return code;
        }
    }
    if (onlyAsking())
        return cudaSuccess;
    kernel<<<grid, block, sharedBytes, stream>>>(static_cast<Parameters>(arguments)...);
    return cudaGetLastError();
#endif
}

} // namespace postnas::ops::cuda

/// Declares `name`, the block's dynamic shared memory in bytes.
#ifdef POSTNAS_CUDA_EMULATION
#define POSTNAS_SHARED_MEMORY(name) unsigned char* name = ::postnas::emulation::sharedMemory()
#else
#define POSTNAS_SHARED_MEMORY(name) extern __shared__ __align__(1024) unsigned char name[]
#endif
