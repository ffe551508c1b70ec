// The warp-wide instructions of the tensor cores as functions: products of 16-bit tiles, loads of tiles, copies to shared memory.
// PTX ISA 8.x, sections "mma.m16n8k16", "ldmatrix" and "cp.async"; the layouts are the instructions' own.
#pragma once

#include <cstdint>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace postnas::ops::cuda {

/// Two 16-bit numbers as the instructions take them: `low` in the lower half.
template <typename T>
__device__ __forceinline__ std::uint32_t pack(float low, float high);
template <>
__device__ __forceinline__ std::uint32_t pack<__nv_bfloat16>(float low, float high)
{
    const __nv_bfloat162 both = __floats2bfloat162_rn(low, high);
    return *reinterpret_cast<const std::uint32_t*>(&both);
}
template <>
__device__ __forceinline__ std::uint32_t pack<__half>(float low, float high)
{
    const __half2 both = __floats2half2_rn(low, high);
    return *reinterpret_cast<const std::uint32_t*>(&both);
}
template <typename T>
__device__ __forceinline__ float2 unpack(std::uint32_t both);
template <>
__device__ __forceinline__ float2 unpack<__nv_bfloat16>(std::uint32_t both)
{
    return __bfloat1622float2(*reinterpret_cast<const __nv_bfloat162*>(&both));
}
template <>
__device__ __forceinline__ float2 unpack<__half>(std::uint32_t both)
{
    return __half22float2(*reinterpret_cast<const __half2*>(&both));
}

/// d[16 x 8] += a[16 x 16] b[16 x 8]. Lane l holds, with r = l / 4 and c = 2 (l % 4):
///   a: {(r, c), (r, c+1)}, {(r+8, c), ..}, {(r, c+8), ..}, {(r+8, c+8), ..};  b: {(c, r), (c+1, r)}, {(c+8, r), (c+9, r)};
///   d: (r, c), (r, c+1), (r+8, c), (r+8, c+1).
/// So the d of two neighbouring tiles, packed, is the a of a later product.
template <typename T>
__device__ __forceinline__ void multiply(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1)
{
#ifdef POSTNAS_CUDA_EMULATION
    using emulation::warpScratch;
    const std::uint32_t mine[6] = {a[0], a[1], a[2], a[3], b0, b1};
    const int lane = emulation::lane();
    std::memcpy(warpScratch() + lane * 64, mine, sizeof mine);
    emulation::warpBarrier();
    const auto word = [&](int from, int index) {
        std::uint32_t out = 0;
        std::memcpy(&out, warpScratch() + from * 64 + index * 4, 4);
        return unpack<T>(out);
    };
    for (int e = 0; e < 4; ++e) {
        const int row = lane / 4 + (e / 2) * 8, column = lane % 4 * 2 + e % 2;
        float sum = 0;
        for (int k = 0; k < 16; k += 2) {
            const float2 left = word(row % 8 * 4 + k % 8 / 2, row / 8 + k / 8 * 2), right = word(column * 4 + k % 8 / 2, 4 + k / 8);
            sum += left.x * right.x + left.y * right.y;
        }
        d[e] += sum;
    }
    emulation::warpBarrier();
#else
    if constexpr (sizeof(T) == 2 && !std::is_same_v<T, __half>)
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
    else
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}

/// d[16 x 8] += a[16 x 8] b[8 x 8] of float32 numbers that are rounded to TF32 (10 bits of mantissa). With r = l / 4 and c = 2 (l % 4), lane l
/// holds   a and d: (r, c), (r, c+1), (r+8, c), (r+8, c+1);   b: (c, r), (c+1, r).
/// The instruction's own order of k is another one, but any order that both operands share gives the same sum, and with this one a d is an a.
__device__ __forceinline__ void multiplyTf32(float (&d)[4], const float (&a)[4], float b0, float b1)
{
#ifdef POSTNAS_CUDA_EMULATION
    using emulation::warpScratch;
    const auto rounded = [](float x) { return __uint_as_float((__float_as_uint(x) + 0x1000u) & 0xffffe000u); };
    const float mine[6] = {rounded(a[0]), rounded(a[1]), rounded(a[2]), rounded(a[3]), rounded(b0), rounded(b1)};
    const int lane = emulation::lane();
    std::memcpy(warpScratch() + lane * 64, mine, sizeof mine);
    emulation::warpBarrier();
    const auto number = [&](int from, int index) {
        float out = 0;
        std::memcpy(&out, warpScratch() + from * 64 + index * 4, 4);
        return out;
    };
    for (int e = 0; e < 4; ++e) {
        const int row = lane / 4, column = lane % 4 * 2 + e % 2;
        float sum = 0;
        for (int k = 0; k < 8; ++k)
            sum += number(row * 4 + k / 2, e / 2 * 2 + k % 2) * number(column * 4 + k / 2, 4 + k % 2);
        d[e] += sum;
    }
    emulation::warpBarrier();
#else
    std::uint32_t x[6];
    const float from[6] = {a[0], a[2], a[1], a[3], b0, b1};
#pragma unroll
    for (int i = 0; i < 6; ++i)
        asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(x[i]) : "f"(from[i]));
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"(x[4]), "r"(x[5]));
#endif
}

/// Four 8 x 8 tiles of 16-bit numbers from shared memory: lane l gives the address of row l % 8 of tile l / 8 (16 bytes, aligned) and
/// receives of each tile the pair (l / 4, 2 (l % 4)), (l / 4, 2 (l % 4) + 1); transposed: (2 (l % 4), l / 4), (2 (l % 4) + 1, l / 4).
template <bool Transposed>
__device__ __forceinline__ void loadTiles(std::uint32_t (&out)[4], const void* row)
{
#ifdef POSTNAS_CUDA_EMULATION
    std::memcpy(emulation::warpScratch() + emulation::lane() * 64, &row, sizeof row);
    emulation::warpBarrier();
    const int lane = emulation::lane();
    const auto at = [&](int tile, int r, int c) {
        const std::uint16_t* from = nullptr;
        std::memcpy(&from, emulation::warpScratch() + (tile * 8 + r) * 64, sizeof from);
        return std::uint32_t(from[c]);
    };
    for (int tile = 0; tile < 4; ++tile)
        out[tile] = Transposed ? at(tile, lane % 4 * 2, lane / 4) | at(tile, lane % 4 * 2 + 1, lane / 4) << 16
                               : at(tile, lane / 4, lane % 4 * 2) | at(tile, lane / 4, lane % 4 * 2 + 1) << 16;
    emulation::warpBarrier();
#else
    const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
    if constexpr (Transposed)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                     : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                     : "r"(address)
                     : "memory");
    else
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                     : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                     : "r"(address)
                     : "memory");
#endif
}

/// Starts a copy of 16 bytes to shared memory; without `valid` zeros are written. Both addresses are multiples of 16.
__device__ __forceinline__ void copyAsync16(void* to, const void* from, bool valid)
{
#ifdef POSTNAS_CUDA_EMULATION
    emulation::copyAsync(to, from, 16, valid ? 16 : 0);
#else
    const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(to));
    const int bytes = valid ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(bytes) : "memory");
#endif
}
/// The copies since the last commit become one group.
__device__ __forceinline__ void commitCopies()
{
#ifdef POSTNAS_CUDA_EMULATION
    emulation::commitCopies();
#else
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
/// Until at most Pending groups of this thread are still under way; others' copies need a barrier after it.
template <int Pending>
__device__ __forceinline__ void waitCopies()
{
#ifdef POSTNAS_CUDA_EMULATION
    emulation::waitCopies(Pending);
#else
    asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
#endif
}

} // namespace postnas::ops::cuda
