// Launch functions of the linear recurrence on CUDA: raw pointers, sizes and a stream; no torch header is seen by nvcc.
#pragma once

#include <cstddef>
#include <cstdint>

#include <cuda_runtime_api.h>

namespace postnas::ops::cuda {

enum class Element { Float32, Float16, BFloat16 };

/// All arrays are contiguous in the order given and lie on the current device.
struct RecurrenceProblem {
    std::int64_t batch = 0, length = 0, heads = 0, keyDim = 0, valueDim = 0;
    Element element = Element::Float32;  ///< of q, k, v and o
    const void* q = nullptr;             ///< [batch, length, heads, key]
    const void* k = nullptr;             ///< [batch, length, heads, key]
    const void* v = nullptr;             ///< [batch, length, heads, value]
    const float* g = nullptr;            ///< log decay, [batch, length, heads] or with [.., key]; null: none
    bool gatePerChannel = false;
    const float* beta = nullptr;         ///< [batch, length, heads]; null: no delta correction
    const float* initialState = nullptr; ///< [batch, heads, key, value]; null: zeros
    const void* removalKey = nullptr;    ///< as k; null: k itself is what the delta correction reads along
    /// RWKV-7, with a decay of each channel and no starts: tokens come in pairs, of which the first decays and removes, and the second writes and
    /// is asked. length, v, o and beta count all tokens; q, k, g, removalKey (there kappa) and this (there a) have a row for a pair. Null: no pairs.
    const void* removalRate = nullptr;
    float scale = 1;
    /// Packed sequences: batch is 1, and sequence s has the tokens starts[s] to starts[s + 1]; on the device, [sequences + 1]. States are
    /// [sequences, heads, key, value] then. Null: each row of the batch is a sequence.
    const std::int64_t* starts = nullptr;
    std::int64_t sequences = 0;
};

/// Gradients in float32; every one that has an input is written completely.
struct RecurrenceGradients {
    const float* gradO = nullptr;          ///< [batch, length, heads, value]; null: zeros
    const float* gradFinalState = nullptr; ///< [batch, heads, key, value]; null: zeros
    float* q = nullptr;
    float* k = nullptr;
    float* v = nullptr;
    float* g = nullptr;
    float* beta = nullptr;
    float* initialState = nullptr; ///< may be null
    float* removalKey = nullptr;
};

/// Key widths that the kernels can hold; others take the slow path through the CPU.
inline constexpr std::int64_t kMaxKeyDim = 256;

/// o in the problem's type and the final state, [batch, heads, key, value], in float32.
cudaError_t launchRecurrenceForward(const RecurrenceProblem& problem, void* o, float* finalState, cudaStream_t stream);

/// Whether the chunked kernels can take it: bfloat16, key width a multiple of 8 up to 256, value width a multiple of 8, arrays on
/// 16 bytes; with a removal key a decay of each channel and a key width up to 128, and for pairs an even length. They use the tensor cores and are
/// the fast path; sums and states stay float32, products are of bfloat16 numbers.
bool chunkedCanTake(const RecurrenceProblem& problem);
/// Whether the current device has the shared memory for the chunked passes of this problem, which chunkedCanTake() says yes to. All fit where a block
/// can have 227 KiB, as on Hopper; of smaller devices some hold the forward pass only.
bool chunkedFits(const RecurrenceProblem& problem, bool backward);
/// Bytes of scratch memory of the chunked forward pass, on 16 bytes.
std::size_t chunkedForwardWorkspace(const RecurrenceProblem& problem);
/// The same results as launchRecurrenceForward, 64 tokens at a time. `finalState` may be null.
cudaError_t launchChunkedForward(const RecurrenceProblem& problem, void* o, float* finalState, void* workspace, cudaStream_t stream);

/// Gradients of the chunked pass; those of q, k, v are bfloat16 like their inputs. Every one that has an input is written completely, but for
/// tokens that no packed sequence has.
struct ChunkedGradients {
    const void* gradO = nullptr;           ///< [batch, length, heads, value], bfloat16, on 16 bytes
    const float* gradFinalState = nullptr; ///< [batch, heads, key, value]; null: zeros
    void* q = nullptr;
    void* k = nullptr;
    void* v = nullptr;
    float* g = nullptr;            ///< as the problem's g
    float* beta = nullptr;
    float* initialState = nullptr; ///< may be null
    void* removalKey = nullptr;    ///< bfloat16
    void* removalRate = nullptr;   ///< bfloat16
};
/// Bytes of scratch memory of the chunked backward pass, on 16 bytes; the states of all chunks are kept in it.
std::size_t chunkedBackwardWorkspace(const RecurrenceProblem& problem);
/// Computes the forward pass's inner results again, then the gradients.
cudaError_t launchChunkedBackward(const RecurrenceProblem& problem, const ChunkedGradients& gradients, void* workspace, cudaStream_t stream);

/// Bytes of scratch memory that the backward pass needs on a device with that many multiprocessors.
std::size_t recurrenceBackwardWorkspace(const RecurrenceProblem& problem, int multiprocessors);

/// The problem's q, k and v must be Float32 here.
cudaError_t launchRecurrenceBackward(const RecurrenceProblem& problem, const RecurrenceGradients& gradients, void* workspace,
                                     int multiprocessors, cudaStream_t stream);

} // namespace postnas::ops::cuda
