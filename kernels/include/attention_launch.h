// Launch functions of attention while decoding on CUDA: raw pointers, sizes and a stream; no torch header is seen by nvcc.
//
// Sizes known to the host are capacities. How long each sequence is stands in `lengths` on the device, so that the same launches,
// captured once as a CUDA graph, serve every step.
#pragma once

#include <cstddef>
#include <cstdint>

#include <cuda_runtime_api.h>

#include "kernels/include/recurrence_launch.h"

namespace postnas::ops::cuda {

/// One query token of each sequence against its cache. All arrays are contiguous in the order given, bfloat16 unless said otherwise.
struct DecodeAttentionProblem {
    std::int64_t batch = 0, heads = 0, keyValueHeads = 0, capacity = 0, dim = 0;
    const void* q = nullptr;               ///< [batch, heads, dim]; query heads h g to h g + g - 1 belong to key head h
    const void* keys = nullptr;            ///< [batch, keyValueHeads, capacity, dim]
    const void* values = nullptr;          ///< [batch, keyValueHeads, capacity, dim]
    const std::int32_t* lengths = nullptr; ///< [batch] on the device: tokens so far, the current one included
    /// [batch] on the device: where it is not 0 the cache is not read and the output is zero. Null: every sequence counts.
    const std::uint8_t* finished = nullptr;
    float scale = 1;
    int splits = 0; ///< parts that a sequence is cut into; 0: chosen from the sizes
    /// Caches of so many bytes are read by the copy engine where the GPU has one: faster once it runs, but slower to begin.
    std::int64_t tileBytes = std::int64_t(64) << 20;
};

/// A sequence attends to min(length, capacity) slots: a ring of W slots, where position p has slot p % W, is a cache of capacity W.
/// Their order does not matter, since keys are rotated before they are stored.
///
/// Widths that are multiples of 8 up to 128, arrays on 16 bytes.
bool decodeAttentionCanTake(const DecodeAttentionProblem& problem);
std::size_t decodeAttentionWorkspace(const DecodeAttentionProblem& problem, int multiprocessors);
/// out: [batch, heads, dim]. A sequence of length 0 gets zeros.
cudaError_t launchDecodeAttention(const DecodeAttentionProblem& problem, void* out, void* workspace, int multiprocessors, cudaStream_t stream);

/// Norm and rotation of new queries and keys, and keys and values into the cache, `length` new tokens of each sequence at once.
struct RopeAppendProblem {
    std::int64_t batch = 0, length = 0, heads = 0, keyValueHeads = 0, dim = 0, capacity = 0;
    Element element = Element::BFloat16; ///< of all arrays without another type
    const void* q = nullptr;             ///< [batch, length, heads, dim]
    const void* k = nullptr;             ///< [batch, length, keyValueHeads, dim]
    const void* v = nullptr;             ///< [batch, length, keyValueHeads, dim]
    /// Elements from one token to the next, so that q, k and v may be parts of one projection. 0: nothing between tokens.
    std::int64_t queryStride = 0, keyStride = 0, valueStride = 0;
    const void* queryNorm = nullptr; ///< weights [dim] of RMSNorm per head before the rotation; null: none
    const void* keyNorm = nullptr;
    float epsilon = 1e-6f;
    const float* cosine = nullptr; ///< [positions, dim]
    const float* sine = nullptr;   ///< [positions, dim]
    /// [batch] on the device: the first new token of sequence b has position positions[b] + positionOffset. With the lengths that
    /// attention takes (the current token included) the offset of a decoding step is -1. Null: zeros.
    const std::int32_t* positions = nullptr;
    int positionOffset = 0;
    /// [batch] on the device: how many of the `length` tokens are real; the others are not appended. Null: all.
    const std::int32_t* counts = nullptr;
    /// Slot of position p: p % capacity in a ring, else p; positions beyond the capacity are not stored then.
    bool ring = false;
    void* keys = nullptr;     ///< the cache [batch, keyValueHeads, capacity, dim]; null: nothing is appended
    void* values = nullptr;   ///< the cache of values, the same shape
    void* queryOut = nullptr; ///< [batch, length, heads, dim], may be q if that has no gaps
    void* keyOut = nullptr;   ///< [batch, length, keyValueHeads, dim], for attention among the new tokens; may be null
};

/// Widths that are multiples of 8 up to 256, arrays and strides on 16 bytes.
bool ropeAppendCanTake(const RopeAppendProblem& problem);
cudaError_t launchRopeAppend(const RopeAppendProblem& problem, cudaStream_t stream);

} // namespace postnas::ops::cuda
