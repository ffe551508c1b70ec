// What four warps do together on compute capability 9.0, as functions: products whose left operand and result are in registers and whose right
// operand is in shared memory; barriers for some of a block's warps. PTX ISA 8.x, sections "wgmma", "stmatrix", "bar" and "setmaxnreg".
#pragma once

#include "kernels/include/tensor_core.cuh"

/// Whether the code being compiled may use them; elsewhere the functions are there but must not be called.
#if defined(POSTNAS_CUDA_EMULATION) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define POSTNAS_WARP_GROUPS 1
#else
#define POSTNAS_WARP_GROUPS 0
#endif

namespace postnas::ops::cuda {

/// 16-bit numbers in shared memory as the products read them and asynchronous copies write them well: panels of Width bytes a row, one after the
/// other, in which the 16-byte pieces of a row change places with the row (the instructions' swizzling of 64 or 128 bytes). Panels start on 1024
/// bytes.
template <int Rows, int Width> struct Panels {
    static_assert(Width == 64 || Width == 128);
    static constexpr int kPanel = Rows * Width, kColumns = Width / 2;
    __host__ __device__ static constexpr int bytes(int columns) { return columns / kColumns * kPanel; }
    /// The piece of 8 columns that `column` begins.
    __device__ static int at(int row, int column)
    {
        return column / kColumns * kPanel + row * Width + (column % kColumns / 8 ^ row * Width / 128 % (Width / 16)) * 16;
    }
};

#ifdef POSTNAS_CUDA_EMULATION
using GroupTile = emulation::GroupTile;
#else
using GroupTile = std::uint64_t;
#endif

/// The descriptor that the products take, for panels of Width bytes a row: `leading` bytes between panels, `stride` between groups of eight rows.
template <int Width> __device__ __forceinline__ GroupTile groupTile(const void* corner, int leading, int stride)
{
#ifdef POSTNAS_CUDA_EMULATION
    return { corner, leading, stride, Width };
#else
    const std::uint64_t address = (static_cast<std::uint32_t>(__cvta_generic_to_shared(corner)) & 0x3ffffu) >> 4;
    return address | std::uint64_t(leading >> 4) << 16 | std::uint64_t(stride >> 4) << 32 | std::uint64_t(Width == 128 ? 1 : 2) << 62;
#endif
}
/// The right operand b[k][n] of a product: rows of the panels are n, and k are the 16 columns from `column`.
template <int Rows, int Width> __device__ __forceinline__ GroupTile columnsAsK(const void* panels, int column)
{
    constexpr int kColumns = Width / 2;
    return groupTile<Width>(static_cast<const unsigned char*>(panels) + column / kColumns * (Rows * Width) + column % kColumns * 2, 16, 8 * Width);
}
/// The same where the panels' 16 rows from `row` are k, and their columns n.
template <int Rows, int Width> __device__ __forceinline__ GroupTile rowsAsK(const void* panels, int row)
{
    return groupTile<Width>(static_cast<const unsigned char*>(panels) + row * Width, Rows * Width, 8 * Width);
}

/// Before the first product, and after other instructions wrote registers that products use.
__device__ __forceinline__ void groupFence()
{
#if POSTNAS_WARP_GROUPS && !defined(POSTNAS_CUDA_EMULATION)
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}
__device__ __forceinline__ void groupCommit()
{
#ifdef POSTNAS_CUDA_EMULATION
    emulation::commitProducts();
#elif POSTNAS_WARP_GROUPS
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}
/// Until at most Pending groups of products are under way.
template <int Pending> __device__ __forceinline__ void groupWait()
{
#ifdef POSTNAS_CUDA_EMULATION
    emulation::waitProducts(Pending);
#elif POSTNAS_WARP_GROUPS
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Pending) : "memory");
#endif
}
/// What this thread wrote to shared memory becomes visible to products.
__device__ __forceinline__ void sharedFence()
{
#if POSTNAS_WARP_GROUPS && !defined(POSTNAS_CUDA_EMULATION)
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}
/// Keeps the compiler from moving uses of results to before the wait.
template <int N> __device__ __forceinline__ void settle([[maybe_unused]] float (&d)[N][4])
{
#ifndef POSTNAS_CUDA_EMULATION
#pragma unroll
    for (int i = 0; i < N; ++i)
        asm volatile("" : "+f"(d[i][0]), "+f"(d[i][1]), "+f"(d[i][2]), "+f"(d[i][3])::"memory");
#endif
}

/// Barriers 1 to 15 of a block for some of its threads: `threads` of them, in whole warps, arrive or wait.
__device__ __forceinline__ void barrierSync(int barrier, int threads)
{
#ifdef POSTNAS_CUDA_EMULATION
    emulation::namedBarrier(barrier, threads, true);
#else
    asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
#endif
}
__device__ __forceinline__ void barrierArrive(int barrier, int threads)
{
#ifdef POSTNAS_CUDA_EMULATION
    emulation::namedBarrier(barrier, threads, false);
#else
    asm volatile("bar.arrive %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
#endif
}

/// Gives the calling four warps so many registers a thread; the block as a whole must not have more than it started with.
template <int Registers> __device__ __forceinline__ void takeRegisters()
{
#if POSTNAS_WARP_GROUPS && !defined(POSTNAS_CUDA_EMULATION)
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Registers));
#endif
}
template <int Registers> __device__ __forceinline__ void giveRegisters()
{
#if POSTNAS_WARP_GROUPS && !defined(POSTNAS_CUDA_EMULATION)
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Registers));
#endif
}

#define POSTNAS_D4(i) "+f"(d[i][0]), "+f"(d[i][1]), "+f"(d[i][2]), "+f"(d[i][3])
#define POSTNAS_D16(i) POSTNAS_D4(i), POSTNAS_D4(i + 1), POSTNAS_D4(i + 2), POSTNAS_D4(i + 3)
#define POSTNAS_R16_0 "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15"
#define POSTNAS_R16_1 "%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define POSTNAS_R16_2 "%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47"
#define POSTNAS_R16_3 "%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"
#define POSTNAS_GROUP_PRODUCT(N, REGISTERS, A, B, ACCUMULATE, TRANSPOSED, ...)                                                                       \
    asm volatile("{ .reg .pred p; setp.ne.b32 p, " ACCUMULATE ", 0; wgmma.mma_async.sync.aligned.m64n" #N "k16.f32.bf16.bf16 {" REGISTERS "}, {" A   \
                 "}, " B ", p, 1, 1, " TRANSPOSED "; }"                                                                                              \
                 : __VA_ARGS__                                                                                                                       \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(int(Accumulate)), "n"(int(ByColumns)))

/// Starts d[64 x N] = a[64 x 16] b[16 x N], or += with Accumulate, of bfloat16 numbers. Each warp has 16 rows of a and d, in the layouts of
/// multiply(). ByColumns: b is rowsAsK, not columnsAsK. Until the wait, nobody may touch d, a or b.
template <int N, bool Accumulate, bool ByColumns>
__device__ __forceinline__ void multiplyGroup(float (*d)[4], const std::uint32_t (&a)[4], GroupTile b)
{
#ifdef POSTNAS_CUDA_EMULATION
    emulation::startProduct({ &d[0][0], a, b, N, Accumulate, ByColumns });
#elif POSTNAS_WARP_GROUPS
    if constexpr (N == 16)
        POSTNAS_GROUP_PRODUCT(16, "%0,%1,%2,%3,%4,%5,%6,%7", "%8,%9,%10,%11", "%12", "%13", "%14", POSTNAS_D4(0), POSTNAS_D4(1));
    else if constexpr (N == 32)
        POSTNAS_GROUP_PRODUCT(32, POSTNAS_R16_0, "%16,%17,%18,%19", "%20", "%21", "%22", POSTNAS_D16(0));
    else if constexpr (N == 48)
        POSTNAS_GROUP_PRODUCT(48, POSTNAS_R16_0 ",%16,%17,%18,%19,%20,%21,%22,%23", "%24,%25,%26,%27", "%28", "%29", "%30", POSTNAS_D16(0),
            POSTNAS_D4(4), POSTNAS_D4(5));
    else if constexpr (N == 64)
        POSTNAS_GROUP_PRODUCT(64, POSTNAS_R16_0 "," POSTNAS_R16_1, "%32,%33,%34,%35", "%36", "%37", "%38", POSTNAS_D16(0), POSTNAS_D16(4));
    else if constexpr (N == 96)
        POSTNAS_GROUP_PRODUCT(96, POSTNAS_R16_0 "," POSTNAS_R16_1 "," POSTNAS_R16_2, "%48,%49,%50,%51", "%52", "%53", "%54", POSTNAS_D16(0),
            POSTNAS_D16(4), POSTNAS_D16(8));
    else
        POSTNAS_GROUP_PRODUCT(128, POSTNAS_R16_0 "," POSTNAS_R16_1 "," POSTNAS_R16_2 "," POSTNAS_R16_3, "%64,%65,%66,%67", "%68", "%69", "%70",
            POSTNAS_D16(0), POSTNAS_D16(4), POSTNAS_D16(8), POSTNAS_D16(12));
    static_assert(N == 16 || N == 32 || N == 48 || N == 64 || N == 96 || N == 128);
#endif
}
#undef POSTNAS_D4
#undef POSTNAS_D16
#undef POSTNAS_R16_0
#undef POSTNAS_R16_1
#undef POSTNAS_R16_2
#undef POSTNAS_R16_3
#undef POSTNAS_GROUP_PRODUCT

/// The opposite of loadTiles<Transposed>: four 8 x 8 tiles to shared memory (compute capability 9.0).
template <bool Transposed> __device__ __forceinline__ void storeTiles(void* row, const std::uint32_t (&from)[4])
{
#ifdef POSTNAS_CUDA_EMULATION
    emulation::storeTiles(row, from, Transposed);
#elif POSTNAS_WARP_GROUPS
    const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
    if constexpr (Transposed)
        asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1,%2,%3,%4};" ::"r"(address), "r"(from[0]), "r"(from[1]), "r"(from[2]),
                     "r"(from[3])
                     : "memory");
    else
        asm volatile(
            "stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1,%2,%3,%4};" ::"r"(address), "r"(from[0]), "r"(from[1]), "r"(from[2]), "r"(from[3])
            : "memory");
#endif
}

} // namespace postnas::ops::cuda
