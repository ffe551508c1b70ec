// Tiles of a matrix of 16-bit numbers to shared memory by the copy engine of compute capability 9.0, one instruction a tile. PTX ISA 8.x,
// sections "cp.async.bulk.tensor", "mbarrier" and "Swizzling Modes".
//
// A request of 16 KiB keeps more of the memory's pages open than the same bytes in small requests.
#pragma once

#include "kernels/include/bulk_copy.cuh"

#ifndef POSTNAS_CUDA_EMULATION
#include <cudaTypedefs.h>
#endif

namespace postnas::ops::cuda {

/// Where tiles come from: made on the host, passed to the kernel as a `const __grid_constant__` parameter.
#ifdef POSTNAS_CUDA_EMULATION
using TileRows = emulation::TileRows;
#else
using TileRows = CUtensorMap;
#endif

/// Tiles lie in shared memory as panels of 64 columns, 128 bytes a row, in which the 16-byte pieces of a row change places with the row. Panels
/// start on 1024 bytes.
constexpr int kPanelColumns = 64, kPanelRowBytes = kPanelColumns * 2;

/// `data` is [rows, width] bfloat16 without gaps, on 16 bytes; the width is a multiple of 8. Tiles have tileRows <= 256 rows.
inline cudaError_t makeTileRows(TileRows& out, const void* data, std::int64_t rows, std::int64_t width, int tileRows)
{
#ifdef POSTNAS_CUDA_EMULATION
    (void)tileRows;
    out = {data, rows, int(width)};
    return cudaSuccess;
#else
    void* found = nullptr;
    cudaDriverEntryPointQueryResult answer = cudaDriverEntryPointSymbolNotFound;
    const cudaError_t code = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000, cudaEnableDefault, &answer);
    if (code != cudaSuccess || !found)
        return code != cudaSuccess ? code : cudaErrorNotSupported;
    const cuuint64_t sizes[2] = {cuuint64_t(width), cuuint64_t(rows)}, strides[1] = {cuuint64_t(width) * 2};
    const cuuint32_t box[2] = {kPanelColumns, cuuint32_t(tileRows)}, steps[2] = {1, 1};
    const CUresult result = reinterpret_cast<PFN_cuTensorMapEncodeTiled_v12000>(found)(
        &out, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, const_cast<void*>(data), sizes, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
        CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    return result == CUDA_SUCCESS ? cudaSuccess : cudaErrorInvalidValue;
#endif
}

/// One arrival, which promises Panels panels of Rows rows from row `first`, and their copies; rows and columns outside the matrix become zeros.
template <int Rows, int Panels>
__device__ __forceinline__ void copyTile([[maybe_unused]] void* to, [[maybe_unused]] const TileRows& from, [[maybe_unused]] int first,
                                         [[maybe_unused]] Arrival* barrier)
{
#ifdef POSTNAS_CUDA_EMULATION
    emulation::copyTile(to, from, first, Rows, Panels, barrier);
#elif POSTNAS_BULK_COPIES
    const auto at = static_cast<std::uint32_t>(__cvta_generic_to_shared(barrier)), corner = static_cast<std::uint32_t>(__cvta_generic_to_shared(to));
    // What is read once should not push other things out of the cache.
    std::uint64_t policy = 0;
    asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(at), "r"(Panels * Rows * kPanelRowBytes) : "memory");
#pragma unroll
    for (int panel = 0; panel < Panels; ++panel)
        asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1, {%3, %4}], [%2], %5;" ::"r"(
                         corner + panel * Rows * kPanelRowBytes),
                     "l"(&from), "r"(at), "r"(panel * kPanelColumns), "r"(first), "l"(policy)
                     : "memory");
#endif
}

/// One arrival without bytes.
__device__ __forceinline__ void arrive([[maybe_unused]] Arrival* barrier)
{
#ifdef POSTNAS_CUDA_EMULATION
    emulation::arrive(barrier);
#elif POSTNAS_BULK_COPIES
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(static_cast<std::uint32_t>(__cvta_generic_to_shared(barrier))) : "memory");
#endif
}

} // namespace postnas::ops::cuda
