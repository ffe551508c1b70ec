// The linear recurrence on the CPU over raw pointers: what gated linear attention, the gated delta rule and their
// relatives are instances of. No torch here.
//
// Per head, with a_t = exp(g_t) and an optional delta correction:
//   S' = diag(a_t) S_{t-1};   u_t = v_t                       without beta
//                             u_t = beta_t (v_t - S'^T r_t)   with beta, where r_t is k_t unless there is a removal key
//   S_t = S' + k_t u_t^T;     o_t = scale * S_t^T q_t
// The columns of S (value channels) do not depend on one another, so the work is cut into tiles of columns that stay in
// the cache while time runs.
#pragma once

#include <cstdint>

#include "kernels/include/cpu_vector.h"

namespace postnas::ops::cpu {

enum class Decay { None, PerHead, PerChannel };

/// Sizes and inputs; every array is contiguous in the order given.
template <typename Scalar>
struct RecurrenceInputs {
    std::int64_t batch = 0, length = 0, heads = 0, keyDim = 0, valueDim = 0;
    Decay decayKind = Decay::None;
    const Scalar* q = nullptr;            ///< [batch, length, heads, key]
    const Scalar* k = nullptr;            ///< [batch, length, heads, key]
    const Scalar* v = nullptr;            ///< [batch, length, heads, value]
    const Scalar* decay = nullptr;        ///< exp(g): [batch, length, heads] or [batch, length, heads, key]; null without
    const Scalar* beta = nullptr;         ///< [batch, length, heads]; null: no delta correction
    const Scalar* initialState = nullptr; ///< [batch, heads, key, value]; null: zeros
    const Scalar* removalKey = nullptr;   ///< [batch, length, heads, key]; null: k
    Scalar scale = 1;
};

template <typename Scalar>
struct RecurrenceOutputs {
    Scalar* o = nullptr;          ///< [batch, length, heads, value]
    Scalar* finalState = nullptr; ///< [batch, heads, key, value]
};

/// Gradients are added to, so the caller clears them.
template <typename Scalar>
struct RecurrenceGradients {
    const Scalar* gradO = nullptr;          ///< null: zeros
    const Scalar* gradFinalState = nullptr; ///< null: zeros
    Scalar* q = nullptr;
    Scalar* k = nullptr;
    Scalar* v = nullptr;
    Scalar* g = nullptr; ///< of the log decay, shaped as `decay`
    Scalar* beta = nullptr;
    Scalar* initialState = nullptr; ///< may be null
    Scalar* removalKey = nullptr;   ///< null without one
};

/// Columns of one tile.
inline constexpr int kTileColumns = 32;

/// Tiles that can run side by side in the forward pass: batch * heads * ceil(value / kTileColumns).
template <typename Scalar>
std::int64_t forwardItems(const RecurrenceInputs<Scalar>& inputs)
{
    return inputs.batch * inputs.heads * ((inputs.valueDim + kTileColumns - 1) / kTileColumns);
}

/// Computes items [begin, end) of `forwardItems`. Ranges may run on different threads.
template <typename Scalar>
void recurrenceForward(const RecurrenceInputs<Scalar>& inputs, const RecurrenceOutputs<Scalar>& outputs, std::int64_t begin,
                       std::int64_t end, VectorLevel level);

/// Computes heads [begin, end) of batch * heads. States are recomputed from checkpoints, so that scratch memory grows with
/// the square root of the length only.
template <typename Scalar>
void recurrenceBackward(const RecurrenceInputs<Scalar>& inputs, const RecurrenceGradients<Scalar>& gradients, std::int64_t begin,
                        std::int64_t end, VectorLevel level);

} // namespace postnas::ops::cpu
