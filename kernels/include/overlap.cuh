// Overlap of neighbouring launches: a kernel starts while the one before it on the stream still runs, and loads what does not depend on it
// (CUDA's programmatic dependent launch; recorded graphs keep it). PTX ISA 8.x, "griddepcontrol".
#pragma once

#include "kernels/include/launch.cuh"

namespace postnas::ops::cuda {

/// Everything that earlier launches wrote may be read, and what they read may be written, from here on. Each kernel that is started by
/// launchOverlapped calls it in every thread, before it touches anything but constants.
__device__ __forceinline__ void waitForEarlierLaunches()
{
#if !defined(POSTNAS_CUDA_EMULATION) && defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/// Brings a line into the cache that all multiprocessors share, where the writes of earlier launches arrive too: harmless before the wait.
__device__ __forceinline__ void prefetchLine(const void* at)
{
#ifdef POSTNAS_CUDA_EMULATION
    (void)at;
#else
    asm volatile("prefetch.global.L2 [%0];" ::"l"(at));
#endif
}

/// The same for `bytes` bytes at once, by one thread; both on 16 bytes.
__device__ __forceinline__ void prefetchPiece(const void* at, unsigned bytes)
{
#if !defined(POSTNAS_CUDA_EMULATION) && defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(at), "r"(bytes) : "memory");
#else
    (void)at, (void)bytes;
#endif
}

/// The next launch may start as soon as all blocks of this one have; its own wait makes that safe.
__device__ __forceinline__ void letNextLaunchStart()
{
#if !defined(POSTNAS_CUDA_EMULATION) && defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

/// As launch, for kernels that call waitForEarlierLaunches. GPUs before Hopper start it when the one before has ended.
template <typename... Parameters, typename... Arguments>
cudaError_t launchOverlapped(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t sharedBytes, cudaStream_t stream, Arguments&&... arguments)
{
#ifdef POSTNAS_CUDA_EMULATION
    return launch(kernel, grid, block, sharedBytes, stream, arguments...);
#else
    int device = 0, major = 0;
    cudaError_t code = cudaGetDevice(&device);
    if (code == cudaSuccess)
        code = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
    if (code == cudaSuccess && sharedBytes > 48 * 1024)
        code = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(sharedBytes));
    // Blocks of two launches share a multiprocessor only when both want the same part of it as shared memory.
    if (code == cudaSuccess)
        code = cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared);
    if (code != cudaSuccess)
        return code;
    cudaLaunchAttribute overlap = {};
    overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    overlap.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = sharedBytes;
    config.stream = stream;
    config.attrs = &overlap;
    config.numAttrs = major >= 9 ? 1 : 0;
    return cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...);
#endif
}

} // namespace postnas::ops::cuda
