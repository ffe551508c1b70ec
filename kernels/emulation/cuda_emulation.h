// Runs CUDA kernels on the CPU, thread by thread, so that machines without a GPU test their arithmetic and their barriers.
// Included before everything else when a .cu file is compiled as C++ (option -include); nvcc never sees it.
//
// The threads of a block are fibers that one CPU thread resumes in a shuffled order, from barrier to barrier. To find what only
// shows on a GPU now and then: shared memory starts as NaN, asynchronous copies land as late as they may, and a barrier that
// some threads never reach ends the test with a message.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <type_traits>

#include <cuda_runtime_api.h>
#include <vector_functions.h>
#include <vector_types.h>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#undef __global__
#undef __device__
#undef __host__
#undef __shared__
#undef __constant__
#undef __launch_bounds__
#undef __grid_constant__
#undef __forceinline__
#define __global__
#define __device__
#define __host__
#define __shared__ static
#define __constant__ static const
#define __launch_bounds__(...)
#define __grid_constant__
#define __forceinline__ inline

namespace postnas::emulation {

struct ThreadContext {
    uint3 thread{}, block{};
    dim3 blockSize, gridSize;
};
/// Of the fiber that runs now.
ThreadContext& context();

/// Runs body once for each thread of each block. Ends the process with a message on a barrier that cannot be passed.
void run(dim3 grid, dim3 block, std::size_t sharedBytes, const std::function<void()>& body);
/// The block's dynamic shared memory, 1024-byte aligned.
unsigned char* sharedMemory();

void blockBarrier();
void warpBarrier();
/// Barrier 1 to 15 of the block, passed when that many threads have arrived; those that do not wait only arrive.
void namedBarrier(int barrier, int threads, bool wait);
/// Bytes of the warp where each lane leaves up to 64 of its own for the others: [lane][64].
unsigned char* warpScratch();
int lane();

/// Copies at the wait, not here: a missing wait shows.
void copyAsync(void* to, const void* from, int bytes, int bytesFilled);
void commitCopies();
void waitCopies(int pendingGroups);

/// The barriers of kernels/include/bulk_copy.cuh and tile_copy.cuh, passed again and again: turns of parity 0, 1, 0, ... Copies land when a thread
/// waits and all arrivals of their turn have come: a missing wait shows.
void makeArrival(const void* barrier, int arrivals);
void arrive(const void* barrier);
void copyPiece(void* to, const void* from, unsigned bytes, const void* barrier);
void waitArrival(const void* barrier, unsigned parity = 0);
/// Rows of 16-bit numbers in one piece, from which tiles are copied as in kernels/include/tile_copy.cuh.
struct TileRows {
    const void* data;
    std::int64_t rows;
    int width;
};
void copyTile(void* to, const TileRows& from, std::int64_t firstRow, int rows, int panels, const void* barrier);

/// Whether the device that is played has what came with compute capability 9.0, the products of four warps and the copies of pieces; tests of
/// what other devices run change it.
extern bool warpGroups;
/// Bytes of shared memory that a block can have, as on Hopper; tests of smaller devices change it.
extern std::size_t sharedMemoryLimit;
/// The right operand of such a product and the product itself, as in kernels/include/warpgroup.cuh. The operand lies in panels of `width` bytes a
/// row; `leading` bytes between panels, `stride` between groups of eight rows.
struct GroupTile {
    const void* corner;
    int leading, stride, width;
};
struct GroupProduct {
    float* d;               ///< of this lane, [n / 8][4]
    const std::uint32_t* a; ///< of this lane, [4]
    GroupTile b;
    int n;
    bool accumulate, byColumns; ///< the panels' rows are k, not n
};
/// Computes at the wait, from what registers and shared memory hold then: a missing wait shows.
void startProduct(const GroupProduct& product);
void commitProducts();
void waitProducts(int pendingGroups);
/// The warp's four 8 x 8 tiles of 16-bit numbers to the rows whose addresses its lanes give.
void storeTiles(void* row, const std::uint32_t (&from)[4], bool transposed);

template <typename T>
T exchange(T value, int fromLane)
{
    static_assert(sizeof(T) <= 64);
    std::memcpy(warpScratch() + lane() * 64, &value, sizeof value);
    warpBarrier();
    if (fromLane >= 0 && fromLane < 32)
        std::memcpy(&value, warpScratch() + fromLane * 64, sizeof value);
    warpBarrier();
    return value;
}

} // namespace postnas::emulation

#define threadIdx (::postnas::emulation::context().thread)
#define blockIdx (::postnas::emulation::context().block)
#define blockDim (::postnas::emulation::context().blockSize)
#define gridDim (::postnas::emulation::context().gridSize)

inline void __syncthreads() { postnas::emulation::blockBarrier(); }
inline void __syncwarp(unsigned = 0xffffffffu) { postnas::emulation::warpBarrier(); }
inline void __threadfence() {}
[[noreturn]] inline void __trap() { std::abort(); }
template <typename T>
T __shfl_xor_sync(unsigned, T value, int mask, int = 32)
{
    return postnas::emulation::exchange(value, postnas::emulation::lane() ^ mask);
}
template <typename T>
T __shfl_sync(unsigned, T value, int from, int width = 32)
{
    const int lane = postnas::emulation::lane();
    return postnas::emulation::exchange(value, lane / width * width + from % width);
}
template <typename T>
T __shfl_up_sync(unsigned, T value, unsigned delta, int width = 32)
{
    const int lane = postnas::emulation::lane(), inside = lane % width;
    return postnas::emulation::exchange(value, inside >= int(delta) ? lane - int(delta) : lane);
}
template <typename T>
T __shfl_down_sync(unsigned, T value, unsigned delta, int width = 32)
{
    const int lane = postnas::emulation::lane(), inside = lane % width;
    return postnas::emulation::exchange(value, inside + int(delta) < width ? lane + int(delta) : lane);
}
inline unsigned __ballot_sync(unsigned, bool predicate)
{
    unsigned out = 0;
    const unsigned mine = predicate ? 1u : 0u;
    std::memcpy(postnas::emulation::warpScratch() + postnas::emulation::lane() * 64, &mine, sizeof mine);
    postnas::emulation::warpBarrier();
    for (int i = 0; i < 32; ++i) {
        unsigned one = 0;
        std::memcpy(&one, postnas::emulation::warpScratch() + i * 64, sizeof one);
        out |= (one & 1u) << i;
    }
    postnas::emulation::warpBarrier();
    return out;
}
inline bool __any_sync(unsigned mask, bool predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b)
{
    __extension__ using Wide = unsigned __int128;
    return static_cast<unsigned long long>(static_cast<Wide>(a) * b >> 64);
}
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __uint_as_float(unsigned x)
{
    float out = 0;
    std::memcpy(&out, &x, sizeof out);
    return out;
}
inline unsigned __float_as_uint(float x)
{
    unsigned out = 0;
    std::memcpy(&out, &x, sizeof out);
    return out;
}
template <typename T>
T __ldg(const T* from)
{
    return *from;
}
// Blocks and threads run one after another, so plain sums are atomic.
template <typename T>
T atomicAdd(T* to, T value)
{
    const T old = *to;
    *to = old + value;
    return old;
}
template <typename T>
T atomicMax(T* to, T value)
{
    const T old = *to;
    *to = std::max(old, value);
    return old;
}
template <typename T>
T atomicOr(T* to, T value)
{
    const T old = *to;
    *to = old | value;
    return old;
}
template <typename A, typename B>
constexpr std::common_type_t<A, B> min(A a, B b)
{
    using C = std::common_type_t<A, B>;
    return C(b) < C(a) ? C(b) : C(a);
}
template <typename A, typename B>
constexpr std::common_type_t<A, B> max(A a, B b)
{
    using C = std::common_type_t<A, B>;
    return C(a) < C(b) ? C(b) : C(a);
}
