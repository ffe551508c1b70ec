// The inverse of a chunk's unit lower triangular system in shared memory, in blocks of 16: those on the diagonal column by column, the others as
// products of them on the tensor cores.
#pragma once

#include "kernels/linear_recurrence/chunk.cuh"

namespace postnas::ops::cuda::chunk {

constexpr int kSystemStride = kTokens + 8; ///< of the system, float32; loads of pairs by eight rows do not collide

/// The inverse of a 16 x 16 block of I + system on the diagonal, in its place: lane j solves for column j, which stays in registers.
__device__ __forceinline__ void invertBlock(float* system, Element16* inverse, int block)
{
    const int j = int(threadIdx.x) % 16;
    float* at = system + block * 16 * (kSystemStride + 1);
    float x[16];
#pragma unroll
    for (int i = 0; i < 16; ++i) {
        x[i] = i == j ? 1.f : 0.f;
#pragma unroll
        for (int m = 0; m < i; m += 4) {
            const float4 row = *reinterpret_cast<const float4*>(at + i * kSystemStride + m);
            x[i] -= row.x * x[m];
            if (m + 1 < i)
                x[i] -= row.y * x[m + 1];
            if (m + 2 < i)
                x[i] -= row.z * x[m + 2];
            if (m + 3 < i)
                x[i] -= row.w * x[m + 3];
        }
    }
    __syncwarp();
    // Each half of the warp has the whole inverse and writes half of it.
#pragma unroll
    for (int i = 0; i < 16; ++i)
        if (i / 8 == int(threadIdx.x) % 32 / 16) {
            at[i * kSystemStride + j] = x[i];
            inverse[(block * 16 + i) * kSquareStride + block * 16 + j] = __float2bfloat16(x[i]);
        }
}

/// y[16, 16] += left[16, 16] square^T, all float32 (rounded to TF32), left and y in the layout of results.
__device__ __forceinline__ void addProduct(float (&y)[2][4], const float (&left)[2][4], const float* square)
{
    const int lane = int(threadIdx.x) % 32;
#pragma unroll
    for (int k = 0; k < 2; ++k)
#pragma unroll
        for (int n = 0; n < 2; ++n) {
            const float2 b = *reinterpret_cast<const float2*>(square + (n * 8 + lane / 4) * kSystemStride + k * 8 + lane % 4 * 2);
            multiplyTf32(y[n], left[k], b.x, b.y);
        }
}

/// Column `column` of the inverse's 16 x 16 blocks below the diagonal, whose blocks lie in the system's place. With X and L in blocks:
/// X_ij = -X_ii (sum over m from j to i - 1 of L_im X_mj), transposed here, so that results are operands.
__device__ __forceinline__ void invertBelow(const float* system, Element16* inverse, int column)
{
    const int lane = int(threadIdx.x) % 32, r = lane / 4, c = lane % 4 * 2;
    const auto at = [&](int i, int j) { return system + i * 16 * kSystemStride + j * 16; };
    float y[4][2][4] = {};
#pragma unroll
    for (int n = 0; n < 2; ++n)
#pragma unroll
        for (int e = 0; e < 4; ++e)
            y[0][n][e] = at(column, column)[(n * 8 + c + e % 2) * kSystemStride + r + e / 2 * 8];
#pragma unroll
    for (int step = 1; step < 4; ++step) {
        const int i = column + step;
        if (i > 3)
            break;
        float sum[2][4] = {};
#pragma unroll
        for (int m = 0; m < step; ++m)
            addProduct(sum, y[m], at(i, column + m));
        addProduct(y[step], sum, at(i, i));
#pragma unroll
        for (int n = 0; n < 2; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                y[step][n][e] = -y[step][n][e];
                inverse[(i * 16 + n * 8 + c + e % 2) * kSquareStride + column * 16 + r + e / 2 * 8] = __float2bfloat16(y[step][n][e]);
            }
    }
}

} // namespace postnas::ops::cuda::chunk
