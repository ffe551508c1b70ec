// Launches the products of a few tokens: how many blocks, and how a block's warps share its rows and their width.
#include "kernels/linear/token_products.cuh"

#include <algorithm>

namespace postnas::ops::cuda {
namespace {

constexpr int kStepsAtOnce = 2, kDepth = 5; ///< 80 KiB of weights under way
constexpr std::int64_t kMostRows = 160;     ///< of a block, for its results wait in shared memory
constexpr std::size_t kMostShared = 220 * 1024; ///< of a block, where the device has that much
constexpr std::size_t kSharedForTwo = 112 * 1024; ///< of each, where two blocks are to run on a multiprocessor
constexpr std::size_t kRingBytes = TokenProductsBlock<1, kStepsAtOnce, kDepth, false>::kRingBytes;

std::int64_t rowsOf(const TokenProducts& p)
{
    std::int64_t rows = 0;
    for (int i = 0; i < (p.swiGlu ? 1 : p.count); ++i)
        rows += p.products[i].rows;
    return rows;
}

/// Narrow rows are shared by fewer warps, so that each has enough to do.
int warpsAlong(std::int64_t width) { return width >= 768 ? 8 : width >= 192 ? 2 : 1; }

std::size_t sharedBytes(const TokenProducts& p, int blocks)
{
    const std::int64_t rows = rowsOf(p);
    return kRingBytes + productSharedBytes(p.tokens, p.width, (rows + blocks - 1) / blocks, p.swiGlu ? 8 : 16, warpsAlong(p.width));
}

template <int AlongK>
cudaError_t start(const TokenProducts& p, int blocks, cudaStream_t stream)
{
    const std::size_t shared = sharedBytes(p, blocks);
    if (p.swiGlu)
        return launchOverlapped(tokenProductsKernel<AlongK, kStepsAtOnce, kDepth, true>, dim3(unsigned(blocks)), dim3(kProductThreads), shared, stream, p);
    return launchOverlapped(tokenProductsKernel<AlongK, kStepsAtOnce, kDepth, false>, dim3(unsigned(blocks)), dim3(kProductThreads), shared, stream, p);
}

bool aligned(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0; }

} // namespace

bool tokenProductsCanTake(const TokenProducts& p)
{
    if (p.tokens < 0 || p.tokens > kMaxProductTokens || p.width <= 0 || p.width % kProductStep != 0 || p.count < 1 || p.count > kMaxTokenProducts
        || !aligned(p.x) || !aligned(p.normWeight) || rowsOf(p) >= (std::int64_t(1) << 31))
        return false;
    for (int i = 0; i < p.count; ++i)
        if (p.products[i].rows < 0 || !aligned(p.products[i].weight))
            return false;
    const bool together = !p.swiGlu || (p.count == 2 && p.products[0].rows == p.products[1].rows && !p.residual);
    const std::size_t shared = kRingBytes + productSharedBytes(p.tokens, p.width, std::min(rowsOf(p), kMostRows), p.swiGlu ? 8 : 16, 8);
    return together && (!p.residual || p.count == 1) && shared <= std::min(kMostShared, sharedMemoryOfBlock());
}

cudaError_t launchTokenProducts(const TokenProducts& p, int multiprocessors, cudaStream_t stream)
{
    if (!tokenProductsCanTake(p))
        return cudaErrorInvalidValue;
    const std::int64_t rows = rowsOf(p);
    if (p.tokens == 0 || rows == 0)
        return cudaSuccess;
    int blocks = productBlocks(rows, multiprocessors * 2, kMostRows);
    if (sharedBytes(p, blocks) > kSharedForTwo)
        blocks = productBlocks(rows, multiprocessors, kMostRows);
    switch (warpsAlong(p.width)) {
    case 8: return start<8>(p, blocks, stream);
    case 2: return start<2>(p, blocks, stream);
    default: return start<1>(p, blocks, stream);
    }
}

} // namespace postnas::ops::cuda
