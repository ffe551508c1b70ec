// The loops of the linear recurrence on the CPU, compiled for three instruction sets and chosen at run time.
#include "kernels/linear_recurrence/cpu_kernel.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <new>

namespace postnas::ops::cpu {
namespace {

template <typename Scalar>
using Buffer = std::unique_ptr<Scalar[], decltype(&std::free)>;

template <typename Scalar>
Buffer<Scalar> alignedBuffer(std::int64_t elements)
{
    const std::size_t bytes = (static_cast<std::size_t>(std::max<std::int64_t>(elements, 1)) * sizeof(Scalar) + 63) / 64 * 64;
    void* memory = std::aligned_alloc(64, bytes);
    if (!memory)
        throw std::bad_alloc();
    return Buffer<Scalar>(static_cast<Scalar*>(memory), &std::free);
}

/// Tokens between two checkpoints of the state in the backward pass: near the square root, so that checkpoints and the
/// states of one chunk need the same memory.
std::int64_t chunkTokens(std::int64_t length)
{
    const auto root = static_cast<std::int64_t>(std::ceil(std::sqrt(static_cast<double>(length))));
    return std::clamp<std::int64_t>(root, 16, 256);
}

template <typename Scalar>
POSTNAS_INLINE void copyIn(Scalar* tile, const Scalar* from, std::int64_t columns)
{
    for (std::int64_t j = 0; j < columns; ++j)
        tile[j] = from[j];
    for (std::int64_t j = columns; j < kTileColumns; ++j)
        tile[j] = 0;
}

/// One tile of columns of one head.
template <typename Scalar>
struct Tile {
    std::int64_t batchIndex, head, column, columns;

    POSTNAS_INLINE Tile(const RecurrenceInputs<Scalar>& in, std::int64_t headIndex, std::int64_t tile)
        : batchIndex(headIndex / in.heads), head(headIndex % in.heads), column(tile * kTileColumns),
          columns(std::min<std::int64_t>(kTileColumns, in.valueDim - tile * kTileColumns))
    {
    }
    POSTNAS_INLINE std::int64_t token(const RecurrenceInputs<Scalar>& in, std::int64_t t) const
    {
        return (batchIndex * in.length + t) * in.heads + head;
    }
    POSTNAS_INLINE std::int64_t stateOffset(const RecurrenceInputs<Scalar>& in) const
    {
        return (batchIndex * in.heads + head) * in.keyDim * in.valueDim + column;
    }
    POSTNAS_INLINE void loadState(const RecurrenceInputs<Scalar>& in, const Scalar* states, Scalar* state) const
    {
        if (!states) {
            std::fill_n(state, in.keyDim * kTileColumns, Scalar(0));
            return;
        }
        const Scalar* from = states + stateOffset(in);
        for (std::int64_t i = 0; i < in.keyDim; ++i)
            copyIn(state + i * kTileColumns, from + i * in.valueDim, columns);
    }
    POSTNAS_INLINE void storeState(const RecurrenceInputs<Scalar>& in, const Scalar* state, Scalar* states) const
    {
        Scalar* to = states + stateOffset(in);
        for (std::int64_t i = 0; i < in.keyDim; ++i)
            std::copy_n(state + i * kTileColumns, columns, to + i * in.valueDim);
    }
};

/// What is read for one token of one head.
template <typename Scalar, Decay D>
struct Token {
    const Scalar* q;
    const Scalar* k;
    const Scalar* removal;
    const Scalar* decay;
    Scalar headDecay;

    POSTNAS_INLINE Token(const RecurrenceInputs<Scalar>& in, std::int64_t index)
        : q(in.q + index * in.keyDim), k(in.k + index * in.keyDim),
          removal((in.removalKey ? in.removalKey : in.k) + index * in.keyDim), decay(nullptr), headDecay(1)
    {
        if constexpr (D == Decay::PerChannel)
            decay = in.decay + index * in.keyDim;
        else if constexpr (D == Decay::PerHead)
            headDecay = in.decay[index];
    }
    POSTNAS_INLINE Scalar at(std::int64_t i) const
    {
        if constexpr (D == Decay::PerChannel)
            return decay[i];
        else
            return headDecay;
    }
};

/// v - S'^T r, the error that the delta rule writes.
template <typename Scalar, int Bytes, Decay D>
POSTNAS_INLINE Row<Scalar, Bytes, kTileColumns> deltaError(const Token<Scalar, D>& token, const Scalar* state, std::int64_t keyDim,
                                                           const Row<Scalar, Bytes, kTileColumns>& v)
{
    using R = Row<Scalar, Bytes, kTileColumns>;
    R prediction = R::zero();
    for (std::int64_t i = 0; i < keyDim; ++i)
        prediction.add(token.at(i) * token.removal[i], R::load(state + i * kTileColumns));
    return v.minus(prediction);
}

/// Advances the state from `before` to `after` (may be the same memory) by one token.
template <typename Scalar, int Bytes, Decay D, bool Output>
POSTNAS_INLINE Row<Scalar, Bytes, kTileColumns> advance(const Token<Scalar, D>& token, const Scalar* before, Scalar* after,
                                                        std::int64_t keyDim, const Row<Scalar, Bytes, kTileColumns>& u)
{
    using R = Row<Scalar, Bytes, kTileColumns>;
    R o = R::zero();
    for (std::int64_t i = 0; i < keyDim; ++i) {
        R row = R::load(before + i * kTileColumns);
        if constexpr (D != Decay::None)
            row *= token.at(i);
        row.add(token.k[i], u);
        row.store(after + i * kTileColumns);
        if constexpr (Output)
            o.add(token.q[i], row);
    }
    return o;
}

template <typename Scalar, int Bytes, Decay D, bool Delta>
POSTNAS_INLINE void forwardTile(const RecurrenceInputs<Scalar>& in, const RecurrenceOutputs<Scalar>& out, const Tile<Scalar>& tile,
                                Scalar* state)
{
    using R = Row<Scalar, Bytes, kTileColumns>;
    tile.loadState(in, in.initialState, state);
    for (std::int64_t t = 0; t < in.length; ++t) {
        const std::int64_t index = tile.token(in, t);
        const Token<Scalar, D> token(in, index);
        R u = R::loadPart(in.v + index * in.valueDim + tile.column, tile.columns);
        if constexpr (Delta) {
            u = deltaError<Scalar, Bytes, D>(token, state, in.keyDim, u);
            u *= in.beta[index];
        }
        R o = advance<Scalar, Bytes, D, true>(token, state, state, in.keyDim, u);
        o *= in.scale;
        o.storePart(out.o + index * in.valueDim + tile.column, tile.columns);
    }
    tile.storeState(in, state, out.finalState);
}

/// Memory of one backward tile: the gradient of the state, checkpoints, the states inside a chunk, and its delta errors.
template <typename Scalar>
struct Scratch {
    std::int64_t chunk, stateSize;
    Buffer<Scalar> gradState, checkpoints, states, errors;

    explicit Scratch(const RecurrenceInputs<Scalar>& in)
        : chunk(chunkTokens(in.length)), stateSize(in.keyDim * kTileColumns), gradState(alignedBuffer<Scalar>(stateSize)),
          checkpoints(alignedBuffer<Scalar>(((in.length + chunk - 1) / chunk + 1) * stateSize)),
          states(alignedBuffer<Scalar>((chunk + 1) * stateSize)), errors(alignedBuffer<Scalar>(chunk * kTileColumns))
    {
    }
};

/// The gradients of one token. `gradState` holds dL/dS_t of later tokens and leaves as dL/dS_{t-1}.
template <typename Scalar, int Bytes, Decay D, bool Delta>
POSTNAS_INLINE void backwardToken(const RecurrenceInputs<Scalar>& in, const RecurrenceGradients<Scalar>& grad, const Tile<Scalar>& tile,
                                  std::int64_t index, const Scalar* before, const Scalar* after, const Scalar* error, Scalar* gradState)
{
    using R = Row<Scalar, Bytes, kTileColumns>;
    const Token<Scalar, D> token(in, index);
    const std::int64_t keyDim = in.keyDim;
    Scalar* gradQ = grad.q + index * keyDim;
    Scalar* gradK = grad.k + index * keyDim;
    Scalar* gradRemoval = (grad.removalKey ? grad.removalKey : grad.k) + index * keyDim;

    R gradO = R::zero();
    if (grad.gradO) {
        gradO = R::loadPart(grad.gradO + index * in.valueDim + tile.column, tile.columns);
        gradO *= in.scale;
    }
    const R e = R::load(error); // v without the delta rule
    R u = e;
    if constexpr (Delta)
        u *= in.beta[index];

    R gradU = R::zero();
    R headGate = R::zero();
    for (std::int64_t i = 0; i < keyDim; ++i) {
        R row = R::load(gradState + i * kTileColumns);
        row.add(token.q[i], gradO);
        gradQ[i] += R::load(after + i * kTileColumns).dot(gradO);
        gradK[i] += row.dot(u);
        gradU.add(token.k[i], row);
        if constexpr (!Delta && D != Decay::None) {
            row *= token.at(i);
            const R old = R::load(before + i * kTileColumns);
            if constexpr (D == Decay::PerChannel)
                grad.g[index * keyDim + i] += row.dot(old);
            else
                headGate.addProduct(row, old);
        }
        row.store(gradState + i * kTileColumns);
    }
    R gradV = gradU;
    if constexpr (Delta) {
        grad.beta[index] += gradU.dot(e);
        gradV *= in.beta[index];
        R gradPrediction = gradV;
        gradPrediction *= Scalar(-1);
        for (std::int64_t i = 0; i < keyDim; ++i) {
            R row = R::load(gradState + i * kTileColumns);
            row.add(token.removal[i], gradPrediction);
            R decayed = R::load(before + i * kTileColumns);
            if constexpr (D != Decay::None)
                decayed *= token.at(i);
            gradRemoval[i] += decayed.dot(gradPrediction);
            if constexpr (D == Decay::PerChannel)
                grad.g[index * keyDim + i] += row.dot(decayed);
            else if constexpr (D == Decay::PerHead)
                headGate.addProduct(row, decayed);
            if constexpr (D != Decay::None)
                row *= token.at(i);
            row.store(gradState + i * kTileColumns);
        }
    }
    if constexpr (D == Decay::PerHead)
        grad.g[index] += headGate.sum();
    // Each value column belongs to one tile, so this is its only contribution.
    gradV.storePart(grad.v + index * in.valueDim + tile.column, tile.columns);
}

template <typename Scalar, int Bytes, Decay D, bool Delta>
POSTNAS_INLINE void backwardTile(const RecurrenceInputs<Scalar>& in, const RecurrenceGradients<Scalar>& grad, const Tile<Scalar>& tile,
                                 const Scratch<Scalar>& scratch)
{
    using R = Row<Scalar, Bytes, kTileColumns>;
    const std::int64_t size = scratch.stateSize, chunk = scratch.chunk;
    // From `before` to `after`; the delta error (or v) of the token goes to `error`.
    const auto step = [&](std::int64_t index, const Scalar* before, Scalar* after, Scalar* error) __attribute__((always_inline))
    {
        const Token<Scalar, D> token(in, index);
        R u = R::loadPart(in.v + index * in.valueDim + tile.column, tile.columns);
        if constexpr (Delta)
            u = deltaError<Scalar, Bytes, D>(token, before, in.keyDim, u);
        u.store(error);
        if constexpr (Delta)
            u *= in.beta[index];
        advance<Scalar, Bytes, D, false>(token, before, after, in.keyDim, u);
    };

    // Checkpoint c is the state before token c * chunk.
    const std::int64_t chunks = (in.length + chunk - 1) / chunk;
    Scalar* state = scratch.states.get();
    tile.loadState(in, in.initialState, state);
    for (std::int64_t c = 0; c + 1 < chunks; ++c) {
        std::copy_n(state, size, scratch.checkpoints.get() + c * size);
        for (std::int64_t t = c * chunk; t < (c + 1) * chunk; ++t)
            step(tile.token(in, t), state, state, scratch.errors.get());
    }
    if (chunks > 0)
        std::copy_n(state, size, scratch.checkpoints.get() + (chunks - 1) * size);

    tile.loadState(in, grad.gradFinalState, scratch.gradState.get());
    for (std::int64_t c = chunks - 1; c >= 0; --c) {
        const std::int64_t first = c * chunk, count = std::min(chunk, in.length - first);
        std::copy_n(scratch.checkpoints.get() + c * size, size, scratch.states.get());
        for (std::int64_t j = 0; j < count; ++j)
            step(tile.token(in, first + j), scratch.states.get() + j * size, scratch.states.get() + (j + 1) * size,
                 scratch.errors.get() + j * kTileColumns);
        for (std::int64_t j = count - 1; j >= 0; --j)
            backwardToken<Scalar, Bytes, D, Delta>(in, grad, tile, tile.token(in, first + j), scratch.states.get() + j * size,
                                                   scratch.states.get() + (j + 1) * size, scratch.errors.get() + j * kTileColumns,
                                                   scratch.gradState.get());
    }
    if (grad.initialState)
        tile.storeState(in, scratch.gradState.get(), grad.initialState);
}

/// Picks the loops of the decay and delta that the work has.
template <int Bytes, typename Work>
POSTNAS_INLINE void choosePolicy(const Work& work)
{
    const bool delta = work.in.beta != nullptr;
    switch (work.in.decayKind) {
    case Decay::None:
        return delta ? work.template tiles<Bytes, Decay::None, true>() : work.template tiles<Bytes, Decay::None, false>();
    case Decay::PerHead:
        return delta ? work.template tiles<Bytes, Decay::PerHead, true>() : work.template tiles<Bytes, Decay::PerHead, false>();
    case Decay::PerChannel:
        return delta ? work.template tiles<Bytes, Decay::PerChannel, true>() : work.template tiles<Bytes, Decay::PerChannel, false>();
    }
}

template <typename Scalar>
struct ForwardWork {
    const RecurrenceInputs<Scalar>& in;
    const RecurrenceOutputs<Scalar>& out;
    Scalar* state;
    std::int64_t begin, end;

    template <int Bytes>
    POSTNAS_INLINE void run() const
    {
        choosePolicy<Bytes>(*this);
    }
    template <int Bytes, Decay D, bool Delta>
    POSTNAS_INLINE void tiles() const
    {
        const std::int64_t tiles = (in.valueDim + kTileColumns - 1) / kTileColumns;
        for (std::int64_t item = begin; item < end; ++item)
            forwardTile<Scalar, Bytes, D, Delta>(in, out, Tile<Scalar>(in, item / tiles, item % tiles), state);
    }
};

template <typename Scalar>
struct BackwardWork {
    const RecurrenceInputs<Scalar>& in;
    const RecurrenceGradients<Scalar>& grad;
    const Scratch<Scalar>& scratch;
    std::int64_t begin, end;

    template <int Bytes>
    POSTNAS_INLINE void run() const
    {
        choosePolicy<Bytes>(*this);
    }
    template <int Bytes, Decay D, bool Delta>
    POSTNAS_INLINE void tiles() const
    {
        const std::int64_t tiles = (in.valueDim + kTileColumns - 1) / kTileColumns;
        for (std::int64_t head = begin; head < end; ++head)
            for (std::int64_t tile = 0; tile < tiles; ++tile)
                backwardTile<Scalar, Bytes, D, Delta>(in, grad, Tile<Scalar>(in, head, tile), scratch);
    }
};

} // namespace

template <typename Scalar>
void recurrenceForward(const RecurrenceInputs<Scalar>& in, const RecurrenceOutputs<Scalar>& out, std::int64_t begin, std::int64_t end,
                       VectorLevel level)
{
    if (begin >= end)
        return;
    const Buffer<Scalar> state = alignedBuffer<Scalar>(in.keyDim * kTileColumns);
    runAt(level, ForwardWork<Scalar>{in, out, state.get(), begin, end});
}

template <typename Scalar>
void recurrenceBackward(const RecurrenceInputs<Scalar>& in, const RecurrenceGradients<Scalar>& grad, std::int64_t begin, std::int64_t end,
                        VectorLevel level)
{
    if (begin >= end)
        return;
    const Scratch<Scalar> scratch(in);
    runAt(level, BackwardWork<Scalar>{in, grad, scratch, begin, end});
}

template void recurrenceForward(const RecurrenceInputs<float>&, const RecurrenceOutputs<float>&, std::int64_t, std::int64_t, VectorLevel);
template void recurrenceForward(const RecurrenceInputs<double>&, const RecurrenceOutputs<double>&, std::int64_t, std::int64_t, VectorLevel);
template void recurrenceBackward(const RecurrenceInputs<float>&, const RecurrenceGradients<float>&, std::int64_t, std::int64_t,
                                 VectorLevel);
template void recurrenceBackward(const RecurrenceInputs<double>&, const RecurrenceGradients<double>&, std::int64_t, std::int64_t,
                                 VectorLevel);

} // namespace postnas::ops::cpu
