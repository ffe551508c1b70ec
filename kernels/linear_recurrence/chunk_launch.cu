// The chunked linear recurrence as one call: what it can take, its scratch memory, and its kernels in order.
#include "kernels/linear_recurrence/chunk.cuh"

namespace postnas::ops::cuda {
namespace chunk {
namespace {

/// Hands out pieces of the scratch memory; without memory it only counts.
class Arena {
public:
    explicit Arena(void* memory) : m_memory(static_cast<unsigned char*>(memory)) {}

    template <typename T>
    T* take(std::int64_t count)
    {
        const std::size_t at = m_used;
        m_used += (std::size_t(count) * sizeof(T) + 255) / 256 * 256;
        return m_memory ? reinterpret_cast<T*>(m_memory + at) : nullptr;
    }
    std::size_t used() const { return m_used; }

private:
    unsigned char* m_memory;
    std::size_t m_used = 0;
};

Scratch carve(const RecurrenceProblem& p, Arena& arena)
{
    const std::int64_t slots = chunkCount(p) * p.heads, keys = tokenCount(p) * p.heads * p.keyDim;
    Scratch out;
    out.attention = arena.take<Element16>(slots * kTokens * kTokens);
    if (p.beta)
        out.inverse = arena.take<Element16>(slots * kTokens * kTokens);
    out.gates = arena.take<float>(slots * 4 * kTokens);
    if (p.gatePerChannel) {
        out.queryIn = arena.take<Element16>(keys);
        out.keyOut = arena.take<Element16>(keys);
        if (p.beta)
            out.keyIn = arena.take<Element16>(keys);
        out.channelDecay = arena.take<float>(slots * p.keyDim);
    }
    return out;
}

BackwardScratch carveBackward(const RecurrenceProblem& p, Arena& arena)
{
    const std::int64_t states = chunkCount(p) * p.heads * p.keyDim * p.valueDim, values = tokenCount(p) * p.heads * p.valueDim;
    BackwardScratch out;
    out.states = arena.take<Element16>(states);
    out.stateGradients = arena.take<Element16>(states);
    if (p.beta)
        out.news = arena.take<Element16>(values);
    return out;
}

bool aligned(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0; }

} // namespace
} // namespace chunk

bool chunkedCanTake(const RecurrenceProblem& p)
{
    const bool removalFits =
        !p.removalKey || (p.beta && p.g && p.gatePerChannel && p.keyDim <= chunk::kMaxRemovalKey && chunk::aligned(p.removalKey));
    const bool pairsFit = !p.removalRate || (p.removalKey && p.length % 2 == 0 && !p.starts && chunk::aligned(p.removalRate));
    return removalFits && pairsFit && p.element == Element::BFloat16 && p.keyDim > 0 && p.keyDim <= kMaxKeyDim && p.keyDim % 8 == 0 && p.valueDim > 0
        && p.valueDim % 8 == 0 && chunk::aligned(p.q) && chunk::aligned(p.k) && chunk::aligned(p.v);
}

bool chunkedFits(const RecurrenceProblem& p, bool backward)
{
    if (sharedMemoryOfBlock() >= 227 * 1024)
        return true;
    onlyAsking() = true;
    const cudaError_t code = backward ? launchChunkedBackward(p, {}, nullptr, nullptr) : launchChunkedForward(p, nullptr, nullptr, nullptr, nullptr);
    onlyAsking() = false;
    return code == cudaSuccess;
}

std::size_t chunkedForwardWorkspace(const RecurrenceProblem& p)
{
    chunk::Arena arena(nullptr);
    chunk::carve(p, arena);
    return arena.used();
}

cudaError_t launchChunkedForward(const RecurrenceProblem& p, void* o, float* finalState, void* workspace, cudaStream_t stream)
{
    if (!chunkedCanTake(p))
        return cudaErrorInvalidValue;
    if (chunk::sequenceCount(p) * p.heads == 0)
        return cudaSuccess;
    chunk::Arena arena(workspace);
    const chunk::Scratch scratch = chunk::carve(p, arena);
    if (chunk::chunkCount(p) > 0) {
        const cudaError_t code = chunk::launchPrepare(p, scratch, stream);
        if (code != cudaSuccess)
            return code;
    }
    return chunk::launchScan(p, scratch, {static_cast<chunk::Element16*>(o), finalState}, stream);
}

std::size_t chunkedBackwardWorkspace(const RecurrenceProblem& p)
{
    chunk::Arena arena(nullptr);
    chunk::carve(p, arena);
    chunk::carveBackward(p, arena);
    return arena.used();
}

cudaError_t launchChunkedBackward(const RecurrenceProblem& p, const ChunkedGradients& gradients, void* workspace, cudaStream_t stream)
{
    if (!chunkedCanTake(p) || !chunk::aligned(gradients.gradO))
        return cudaErrorInvalidValue;
    if (chunk::sequenceCount(p) * p.heads == 0)
        return cudaSuccess;
    chunk::Arena arena(workspace);
    const chunk::Scratch scratch = chunk::carve(p, arena);
    chunk::BackwardScratch backward = chunk::carveBackward(p, arena);
    const bool tokens = chunk::chunkCount(p) > 0;
    cudaError_t code = tokens ? chunk::launchPrepare(p, scratch, stream) : cudaSuccess;
    if (code == cudaSuccess && tokens)
        code = chunk::launchStates(p, scratch, backward, stream);
    if (!p.beta) // read only
        backward.news = const_cast<chunk::Element16*>(static_cast<const chunk::Element16*>(p.v));
    if (code == cudaSuccess)
        code = chunk::launchScanBackward(p, scratch, backward, gradients, stream);
    if (code == cudaSuccess && tokens)
        code = chunk::launchGradients(p, scratch, backward, gradients, stream);
    return code;
}

} // namespace postnas::ops::cuda
