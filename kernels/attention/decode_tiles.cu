// Decode attention over caches much larger than the chip's own: one warp of a block fetches, by the copy engine, what four others multiply.
//
// The memory is fastest when it is asked for 16 KiB at a time: tiles are 64 tokens, the keys of a tile one request and its values the next. The
// parts of a sequence take its tiles in turn, so that blocks which run together read neighbouring memory, and end together too.
#include "kernels/attention/decode_tiles.h"

#include "kernels/include/hopper.cuh"
#include "kernels/include/overlap.cuh"
#include "kernels/include/tile_copy.cuh"

namespace postnas::ops::cuda::attention {
namespace {

constexpr int kWarps = 4; ///< that multiply; one more copies
constexpr int kTileTokens = kWarps * kTokens;

template <int Dim>
struct Shape {
    static constexpr int kPanels = Dim / kPanelColumns, kPanelBytes = kTileTokens * kPanelRowBytes, kTile = kPanels * kPanelBytes;
    static constexpr int kStages = 6 / kPanels, kStageBytes = kStages * 2 * kTile;
    static constexpr int kBytes = kStageBytes + kStages * 4 * int(sizeof(Arrival)); ///< two blocks fit on an SM
    static_assert(QueryRows<Dim, kWarps>::kResultBytes <= kStageBytes, "the warps' results take the place of the stages");
};

struct Caches {
    TileRows keys, values;
};

template <int Dim>
class Tiles {
public:
    using S = Shape<Dim>;

    __device__ Tiles(const DecodeAttentionProblem& problem, unsigned char* sharedMemory)
        : p(problem), place(problem), shared(sharedMemory), barriers(reinterpret_cast<Arrival*>(sharedMemory + S::kStageBytes)),
          lane(int(threadIdx.x) % 32), warp(int(threadIdx.x) / 32)
    {
    }

    __device__ __forceinline__ void run(const Caches& caches, Element16* out, const Partials& partials)
    {
        if (int(threadIdx.x) < S::kStages * 2) {
            makeArrival(barriers + threadIdx.x, 1);
            makeArrival(barriers + S::kStages * 2 + threadIdx.x, kWarps);
        }
        __syncthreads();
        waitForEarlierLaunches();
        letNextLaunchStart();
        length = lengthOf(p, place.sequence);
        const int used = partials.used(length);
        if (place.split >= used)
            return;
        QueryRows<Dim, kWarps> rows(p);
        if (warp == kWarps)
            fetch(caches, used);
        else
            multiply(rows, used);
        __syncthreads();
        rows.store(reinterpret_cast<float*>(shared), out, partials, place, used);
    }

private:
    __device__ int tiles() const { return (length + kTileTokens - 1) / kTileTokens; }
    __device__ unsigned char* tileOf(int stage, int which) const { return shared + (stage * 2 + which) * S::kTile; }
    __device__ Arrival* full(int stage, int which) const { return barriers + stage * 2 + which; }
    __device__ Arrival* empty(int stage, int which) const { return barriers + S::kStages * 2 + stage * 2 + which; }
    __device__ static void next(int& stage, unsigned& parity)
    {
        if (++stage == S::kStages) {
            stage = 0;
            parity ^= 1;
        }
    }

    __device__ __forceinline__ void fetch(const Caches& caches, int used) const
    {
        const int cache = int((place.sequence * p.keyValueHeads + place.keyHead) * p.capacity);
        int stage = 0;
        unsigned parity = 1;
        for (int tile = place.split; tile < tiles(); tile += used) {
#pragma unroll
            for (int which = 0; which < 2; ++which) {
                waitTurn(empty(stage, which), parity);
                if (lane == 0)
                    copyTile<kTileTokens, S::kPanels>(tileOf(stage, which), which == 0 ? caches.keys : caches.values, cache + tile * kTileTokens,
                                                      full(stage, which));
                __syncwarp();
            }
            next(stage, parity);
        }
    }

    __device__ __forceinline__ void multiply(QueryRows<Dim, kWarps>& rows, int used) const
    {
        rows.load(place);
        int stage = 0;
        unsigned parity = 0;
        for (int tile = place.split; tile < tiles(); tile += used) {
            const int left = length - tile * kTileTokens - warp * kTokens; // of the warp's 16 tokens
            const auto at = [&](int which) {
                return [base = tileOf(stage, which) + warp * kTokens * kPanelRowBytes](int row, int piece) {
                    return base + piece / 8 * S::kPanelBytes + row * kPanelRowBytes + (piece % 8 ^ row % 8) * 16;
                };
            };
            std::uint32_t weights[4] = {};
            waitTurn(full(stage, 0), parity);
            if (left > 0)
                rows.weigh(weights, left, at(0));
            __syncwarp();
            if (lane == 0)
                arrive(empty(stage, 0));
            waitTurn(full(stage, 1), parity);
            // Slots beyond the length hold anything, another head's tokens too. No tile comes to this place after it.
            if (left < kTokens)
                for (int i = lane; i < kTokens * (Dim / 8); i += 32)
                    if (i / (Dim / 8) >= left)
                        *reinterpret_cast<uint4*>(at(1)(i / (Dim / 8), i % (Dim / 8))) = make_uint4(0, 0, 0, 0);
            __syncwarp();
            if (left > 0)
                rows.add(weights, at(1));
            __syncwarp();
            if (lane == 0)
                arrive(empty(stage, 1));
            next(stage, parity);
        }
    }

    const DecodeAttentionProblem& p;
    const Place place;
    unsigned char* shared;
    Arrival* barriers; ///< of each stage's keys and values: full, then empty
    int lane, warp, length = 0;
};

template <int Dim>
__global__ void __launch_bounds__(kWarps * 32 + 32, 2)
    tilesKernel(DecodeAttentionProblem p, const __grid_constant__ Caches caches, Element16* out, Partials partials)
{
    POSTNAS_SHARED_MEMORY(shared);
    Tiles<Dim>(p, shared).run(caches, out, partials);
}

template <int Dim>
cudaError_t launchTiles(const DecodeAttentionProblem& p, const Caches& caches, Element16* out, const Partials& partials, cudaStream_t stream)
{
    const dim3 grid(unsigned(partials.splits), unsigned(p.keyValueHeads * blocksOfGroup(p)), unsigned(p.batch));
    return launchOverlapped(tilesKernel<Dim>, grid, dim3(kWarps * 32 + 32), Shape<Dim>::kBytes, stream, p, caches, out, partials);
}

} // namespace

bool decodeTilesCanTake(const DecodeAttentionProblem& p)
{
    // The copies count rows of all sequences in 32 bits, and rows of less than 128 bytes are faster the other way.
    if (p.dim < 64 || p.dim > 128 || p.batch * p.keyValueHeads * p.capacity > (std::int64_t(1) << 31) - kTileTokens)
        return false;
    return runsHopperCode(tilesKernel<128>);
}

cudaError_t launchDecodeTiles(const DecodeAttentionProblem& p, Element16* out, const Partials& partials, cudaStream_t stream)
{
    const std::int64_t rows = p.batch * p.keyValueHeads * p.capacity;
    Caches caches;
    cudaError_t code = makeTileRows(caches.keys, p.keys, rows, p.dim, kTileTokens);
    if (code == cudaSuccess)
        code = makeTileRows(caches.values, p.values, rows, p.dim, kTileTokens);
    if (code != cudaSuccess)
        return code;
    return p.dim <= 64 ? launchTiles<64>(p, caches, out, partials, stream) : launchTiles<128>(p, caches, out, partials, stream);
}

} // namespace postnas::ops::cuda::attention
