// Launch functions of matrix products with few tokens on CUDA: raw pointers, sizes and a stream; no torch header is seen by nvcc.
#pragma once

#include <cstddef>
#include <cstdint>

#include <cuda_runtime_api.h>

namespace postnas::ops::cuda {

/// One matrix of several that read the same tokens. bfloat16, on 16 bytes.
struct TokenProduct {
    const void* weight = nullptr; ///< [rows, width]
    const void* bias = nullptr;   ///< [rows]; null: none
    void* out = nullptr;          ///< [tokens, rows], any alignment
    std::int64_t rows = 0;
    bool silu = false;            ///< of the result
    bool unrounded = false;       ///< out is float32
};

/// Memory that a later launch reads, on 128 bytes. Some of it is brought into the cache towards the end of a launch that has nothing left to read.
struct UpcomingRead {
    const void* data = nullptr;
    std::int64_t bytes = 0;
};

inline constexpr int kMaxTokenProducts = 8;
inline constexpr int kMaxUpcomingReads = 3;
inline constexpr std::int64_t kMaxProductTokens = 8;

/// out = x W^T + bias of each product, for a few tokens: the time is that of reading the weights once. bfloat16 in and out, sums in float32,
/// one rounding at the end, or none.
struct TokenProducts {
    std::int64_t tokens = 0, width = 0;
    const void* x = nullptr;          ///< [tokens, width]
    const void* normWeight = nullptr; ///< [width]; x goes through RMSNorm first, rounded to bfloat16 as the norm alone would; null: as it is
    float epsilon = 1e-6f;
    const void* residual = nullptr;   ///< [tokens, rows] of the only product, added to it; may be its output
    bool swiGlu = false;              ///< of two products of equal rows one output, that of the first: silu(first) * second
    int count = 0;
    TokenProduct products[kMaxTokenProducts];
    UpcomingRead upcoming[kMaxUpcomingReads]; ///< hints alone
    std::int64_t upcomingBytes = 0; ///< of each that one block asks for, at most
};

/// Up to 8 tokens whose inputs fit beside each other in shared memory, widths that are multiples of 32.
bool tokenProductsCanTake(const TokenProducts& problem);
cudaError_t launchTokenProducts(const TokenProducts& problem, int multiprocessors, cudaStream_t stream);

} // namespace postnas::ops::cuda
