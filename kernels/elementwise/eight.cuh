// Eight elements at a time in registers, and what the elementwise kernels do with them.
#pragma once

#include "kernels/include/cuda_element.cuh"

namespace postnas::ops::cuda {

template <typename T>
struct alignas(16) Eight {
    T at[8];
};

template <typename T>
__device__ __forceinline__ void load(float (&x)[8], const T* from)
{
    const Eight<T> piece = *reinterpret_cast<const Eight<T>*>(from);
#pragma unroll
    for (int i = 0; i < 8; ++i)
        x[i] = toFloat(piece.at[i]);
}
template <typename T>
__device__ __forceinline__ void store(T* to, const float (&x)[8])
{
    Eight<T> piece;
#pragma unroll
    for (int i = 0; i < 8; ++i)
        piece.at[i] = fromFloat<T>(x[i]);
    *reinterpret_cast<Eight<T>*>(to) = piece;
}

/// The division is off by a few units in the last place of float32, and takes a third of the instructions of the exact one.
__device__ __forceinline__ float silu(float x) { return __fdividef(x, 1.0f + __expf(-x)); }

/// Over `Lanes` neighbouring lanes of a warp; all 32 take part.
template <int Lanes>
__device__ __forceinline__ float sumOver(float x)
{
#pragma unroll
    for (int mask = Lanes / 2; mask > 0; mask /= 2)
        x += __shfl_xor_sync(0xffffffffu, x, mask);
    return x;
}

} // namespace postnas::ops::cuda
