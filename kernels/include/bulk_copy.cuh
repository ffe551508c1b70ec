// Copies of whole pieces to shared memory by the copy engine of compute capability 9.0, and the barriers in shared memory that count what has
// arrived. PTX ISA 8.x, sections "cp.async.bulk" and "mbarrier".
#pragma once

#include <cstdint>

#include <cuda_runtime_api.h>

/// Whether the code being compiled may use them; elsewhere the functions are there but must not be called.
#if defined(POSTNAS_CUDA_EMULATION) || (defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900)
#define POSTNAS_BULK_COPIES 1
#else
#define POSTNAS_BULK_COPIES 0
#endif

namespace postnas::ops::cuda {

/// Passed when all `arrivals` and the bytes that they promised have come. In shared memory; one thread makes it, then the block synchronizes.
using Arrival = std::uint64_t;

__device__ __forceinline__ void makeArrival([[maybe_unused]] Arrival* barrier, [[maybe_unused]] int arrivals)
{
#ifdef POSTNAS_CUDA_EMULATION
    emulation::makeArrival(barrier, arrivals);
#elif POSTNAS_BULK_COPIES
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;\n\tfence.mbarrier_init.release.cluster;" ::"r"(
                     static_cast<std::uint32_t>(__cvta_generic_to_shared(barrier))),
                 "r"(arrivals)
                 : "memory");
#endif
}

/// One arrival, which promises the `bytes` that this thread then copies to shared memory; addresses and bytes are multiples of 16.
__device__ __forceinline__ void copyPiece([[maybe_unused]] void* to, [[maybe_unused]] const void* from, [[maybe_unused]] unsigned bytes,
                                          [[maybe_unused]] Arrival* barrier)
{
#ifdef POSTNAS_CUDA_EMULATION
    emulation::copyPiece(to, from, bytes, barrier);
#elif POSTNAS_BULK_COPIES
    const auto at = static_cast<std::uint32_t>(__cvta_generic_to_shared(barrier));
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(at), "r"(bytes) : "memory");
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                     static_cast<std::uint32_t>(__cvta_generic_to_shared(to))),
                 "l"(from), "r"(bytes), "r"(at)
                 : "memory");
#endif
}

/// Until the barrier's turn of that parity has been passed, when all threads may read what was copied: 0 for the first, third, .. time. A turn
/// that was before the first counts as passed.
__device__ __forceinline__ void waitTurn([[maybe_unused]] Arrival* barrier, [[maybe_unused]] unsigned parity)
{
#ifdef POSTNAS_CUDA_EMULATION
    emulation::waitArrival(barrier, parity);
#elif POSTNAS_BULK_COPIES
    const auto at = static_cast<std::uint32_t>(__cvta_generic_to_shared(barrier));
    std::uint32_t passed = 0;
    while (!passed)
        asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }"
                     : "=r"(passed)
                     : "r"(at), "r"(parity)
                     : "memory");
#endif
}

} // namespace postnas::ops::cuda
