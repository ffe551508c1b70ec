// The fibers, barriers and late copies behind cuda_emulation.h.
#include "kernels/emulation/cuda_emulation.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include <ucontext.h>

namespace postnas::emulation {
namespace {

constexpr std::size_t kStackBytes = 256 * 1024;

enum class Waits { No, Warp, Block, Named, Arrival };

struct Copy {
    void* to;
    const void* from;
    int bytes, filled;
};

struct Fiber {
    ucontext_t saved{};
    std::unique_ptr<unsigned char[]> stack;
    ThreadContext context;
    int index = 0;
    bool done = false;
    Waits waits = Waits::No;
    int barrier = 0; ///< the named one that it waits for
    const void* arrival = nullptr; ///< the barrier in shared memory that it waits for
    std::deque<std::vector<Copy>> copies; ///< committed groups, oldest first
    std::vector<Copy> open;
    std::deque<std::vector<GroupProduct>> products; ///< committed groups, oldest first
    std::vector<GroupProduct> openProducts;
};

struct Arrival {
    int arrivals = 0, missing = 0;
    unsigned phase = 0;                ///< parity of the turn under way
    std::vector<Copy> copies, landing; ///< of the turn under way; of those before it
};

/// The turn under way of a named barrier.
struct NamedTurn {
    int threads = 0; ///< that it waits for
    std::set<const Fiber*> arrived;
};

struct Block {
    std::vector<std::unique_ptr<Fiber>> fibers;
    std::vector<unsigned char> shared;
    std::vector<std::array<unsigned char, 32 * 64>> scratch; ///< of each warp
    std::array<NamedTurn, 16> named;
    std::map<const void*, Arrival> arrivals; ///< the barriers in shared memory
    ucontext_t scheduler{};
    Fiber* current = nullptr;
    const std::function<void()>* body = nullptr;
};

thread_local Block* t_block = nullptr;

void enter()
{
    (*t_block->body)();
    t_block->current->done = true;
    swapcontext(&t_block->current->saved, &t_block->scheduler);
}

void wait(Waits what)
{
    t_block->current->waits = what;
    swapcontext(&t_block->current->saved, &t_block->scheduler);
}

/// Lets those go on whose companions have all arrived (or ended). Returns whether there were any.
bool release(Block& block, std::size_t first, std::size_t end, Waits what)
{
    bool any = false;
    for (std::size_t i = first; i < end; ++i) {
        const Fiber& fiber = *block.fibers[i];
        if (!fiber.done && fiber.waits != what)
            return false;
        any |= !fiber.done;
    }
    for (std::size_t i = first; i < end; ++i)
        block.fibers[i]->waits = Waits::No;
    return any;
}

void land(const std::vector<Copy>& copies)
{
    for (const Copy& copy : copies) {
        std::memset(copy.to, 0, std::size_t(copy.bytes));
        if (copy.filled > 0)
            std::memcpy(copy.to, copy.from, std::size_t(copy.filled));
    }
}

struct Place {
    uint3 block;
    dim3 gridSize, blockSize;
};

/// Makes the fiber thread `index` of a block, at its first line.
void start(Fiber& fiber, int index, const Place& place)
{
    fiber.index = index;
    fiber.done = false;
    fiber.waits = Waits::No;
    fiber.copies.clear();
    fiber.open.clear();
    fiber.products.clear();
    fiber.openProducts.clear();
    const unsigned n = unsigned(index), width = place.blockSize.x, height = place.blockSize.y;
    fiber.context = {make_uint3(n % width, n / width % height, n / width / height), place.block, place.blockSize, place.gridSize};
    getcontext(&fiber.saved);
    fiber.saved.uc_stack.ss_sp = fiber.stack.get();
    fiber.saved.uc_stack.ss_size = kStackBytes;
    fiber.saved.uc_link = nullptr;
    makecontext(&fiber.saved, &enter, 0);
}

void runBlock(Block& block, std::mt19937& random)
{
    std::vector<std::size_t> order(block.fibers.size());
    for (std::size_t i = 0; i < order.size(); ++i)
        order[i] = i;
    for (;;) {
        bool ran = false, alive = false;
        std::shuffle(order.begin(), order.end(), random);
        for (const std::size_t i : order) {
            Fiber& fiber = *block.fibers[i];
            if (fiber.done || fiber.waits != Waits::No)
                continue;
            block.current = &fiber;
            swapcontext(&block.scheduler, &fiber.saved);
            ran = true;
        }
        for (std::size_t warp = 0; warp * 32 < block.fibers.size(); ++warp)
            ran |= release(block, warp * 32, std::min(block.fibers.size(), warp * 32 + 32), Waits::Warp);
        ran |= release(block, 0, block.fibers.size(), Waits::Block);
        for (const auto& fiber : block.fibers)
            alive |= !fiber->done;
        if (!alive)
            return;
        if (!ran) {
            std::fprintf(stderr, "CUDA emulation: some threads of block (%u, %u, %u) wait at a barrier that the others never reach\n",
                         block.fibers[0]->context.block.x, block.fibers[0]->context.block.y, block.fibers[0]->context.block.z);
            std::abort();
        }
    }
}

} // namespace

ThreadContext& context() { return t_block->current->context; }
unsigned char* sharedMemory()
{
    const auto address = reinterpret_cast<std::uintptr_t>(t_block->shared.data());
    return t_block->shared.data() + (1024 - address % 1024) % 1024;
}
void blockBarrier() { wait(Waits::Block); }
void warpBarrier() { wait(Waits::Warp); }
void namedBarrier(int barrier, int threads, bool waits)
{
    if (barrier < 1 || barrier > 15 || threads % 32 != 0) {
        std::fprintf(stderr, "CUDA emulation: there is no barrier %d for %d threads\n", barrier, threads);
        std::abort();
    }
    NamedTurn& turn = t_block->named[std::size_t(barrier)];
    if (turn.arrived.empty())
        turn.threads = threads;
    // On a GPU either is undefined, and may hang.
    if (turn.threads != threads || !turn.arrived.insert(t_block->current).second) {
        std::fprintf(stderr, "CUDA emulation: at barrier %d %s\n", barrier,
                     turn.threads != threads ? "threads wait for different numbers of threads" : "a thread arrives twice before the others have arrived");
        std::abort();
    }
    if (int(turn.arrived.size()) == threads) {
        turn.arrived.clear();
        for (const auto& fiber : t_block->fibers)
            if (fiber->waits == Waits::Named && fiber->barrier == barrier)
                fiber->waits = Waits::No;
    } else if (waits) {
        t_block->current->barrier = barrier;
        wait(Waits::Named);
    }
}
int lane() { return t_block->current->index % 32; }
unsigned char* warpScratch() { return t_block->scratch[std::size_t(t_block->current->index / 32)].data(); }

void copyAsync(void* to, const void* from, int bytes, int bytesFilled)
{
    if (reinterpret_cast<std::uintptr_t>(to) % std::uintptr_t(bytes) != 0
        || (bytesFilled > 0 && reinterpret_cast<std::uintptr_t>(from) % std::uintptr_t(bytes) != 0)) {
        std::fprintf(stderr, "CUDA emulation: an asynchronous copy of %d bytes is not aligned\n", bytes);
        std::abort();
    }
    t_block->current->open.push_back({to, from, bytes, bytesFilled});
}

void commitCopies()
{
    t_block->current->copies.push_back(std::move(t_block->current->open));
    t_block->current->open.clear();
}

void waitCopies(int pendingGroups)
{
    auto& groups = t_block->current->copies;
    while (int(groups.size()) > pendingGroups) {
        land(groups.front());
        groups.pop_front();
    }
}

namespace {

Arrival& arrivalAt(const void* barrier)
{
    const auto found = t_block->arrivals.find(barrier);
    if (found == t_block->arrivals.end()) {
        std::fprintf(stderr, "CUDA emulation: a barrier in shared memory was not made\n");
        std::abort();
    }
    return found->second;
}

} // namespace

void makeArrival(const void* barrier, int arrivals)
{
    Arrival& made = t_block->arrivals[barrier];
    made = {};
    made.arrivals = made.missing = arrivals;
}

void arrive(const void* barrier)
{
    Arrival& arrival = arrivalAt(barrier);
    if (--arrival.missing > 0)
        return;
    arrival.missing = arrival.arrivals;
    arrival.phase ^= 1;
    arrival.landing.insert(arrival.landing.end(), arrival.copies.begin(), arrival.copies.end());
    arrival.copies.clear();
    for (const auto& fiber : t_block->fibers)
        if (fiber->waits == Waits::Arrival && fiber->arrival == barrier)
            fiber->waits = Waits::No;
}

void copyPiece(void* to, const void* from, unsigned bytes, const void* barrier)
{
    if ((reinterpret_cast<std::uintptr_t>(to) | reinterpret_cast<std::uintptr_t>(from) | bytes) % 16 != 0 || bytes == 0) {
        std::fprintf(stderr, "CUDA emulation: a piece of %u bytes is not aligned\n", bytes);
        std::abort();
    }
    arrivalAt(barrier).copies.push_back({to, from, int(bytes), int(bytes)});
    arrive(barrier);
}

void copyTile(void* to, const TileRows& from, std::int64_t firstRow, int rows, int panels, const void* barrier)
{
    auto* const bytes = static_cast<unsigned char*>(to);
    if ((bytes - sharedMemory()) % 1024 != 0 || reinterpret_cast<std::uintptr_t>(from.data) % 16 != 0) {
        std::fprintf(stderr, "CUDA emulation: a tile is not aligned\n");
        std::abort();
    }
    for (int panel = 0; panel < panels; ++panel)
        for (int row = 0; row < rows; ++row)
            for (int piece = 0; piece < 8; ++piece) {
                const int column = panel * 64 + piece * 8;
                const bool inside = firstRow + row < from.rows && column < from.width;
                arrivalAt(barrier).copies.push_back({bytes + (panel * rows + row) * 128 + (piece ^ row % 8) * 16,
                                                     static_cast<const unsigned char*>(from.data) + ((firstRow + row) * from.width + column) * 2, 16,
                                                     inside ? 16 : 0});
            }
    arrive(barrier);
}

void waitArrival(const void* barrier, unsigned parity)
{
    Arrival& arrival = arrivalAt(barrier);
    if (arrival.phase == parity) {
        t_block->current->arrival = barrier;
        wait(Waits::Arrival);
    }
    land(arrival.landing);
    arrival.landing.clear();
}

bool warpGroups = true;
std::size_t sharedMemoryLimit = 227 * 1024;

void startProduct(const GroupProduct& product) { t_block->current->openProducts.push_back(product); }

void commitProducts()
{
    t_block->current->products.push_back(std::move(t_block->current->openProducts));
    t_block->current->openProducts.clear();
}

namespace {

float floatOf(std::uint32_t bits)
{
    float out = 0;
    std::memcpy(&out, &bits, sizeof out);
    return out;
}

/// Number (k, n) of a product's right operand.
float rightNumber(const GroupProduct& p, int k, int n)
{
    const int width = p.b.width, columns = width / 2;
    std::ptrdiff_t at = static_cast<const unsigned char*>(p.b.corner) - sharedMemory();
    at += p.byColumns ? n / columns * p.b.leading + n % columns * 2 + k / 8 * p.b.stride + k % 8 * width
                      : n / 8 * p.b.stride + n % 8 * width + k * 2;
    // The pieces of 16 bytes change places with the rows of 128 bytes.
    at ^= (at >> 7 & (width / 16 - 1)) << 4;
    std::uint16_t bits = 0;
    std::memcpy(&bits, sharedMemory() + at, 2);
    return floatOf(std::uint32_t(bits) << 16);
}

void finish(const GroupProduct& p)
{
    if ((p.b.width != 64 && p.b.width != 128) || reinterpret_cast<std::uintptr_t>(p.b.corner) % 16 != 0) {
        std::fprintf(stderr, "CUDA emulation: the right operand of a product of four warps is not aligned\n");
        std::abort();
    }
    const int l = lane();
    std::memcpy(warpScratch() + l * 64, p.a, 16);
    warpBarrier();
    float left[2][16];
    for (int half = 0; half < 2; ++half)
        for (int k = 0; k < 16; ++k) {
            std::uint32_t pair = 0;
            std::memcpy(&pair, warpScratch() + (l / 4 * 4 + k % 8 / 2) * 64 + (half + k / 8 * 2) * 4, 4);
            left[half][k] = floatOf(k % 2 ? pair & 0xffff0000u : pair << 16);
        }
    for (int i = 0; i < p.n / 2; ++i) {
        const int column = i / 4 * 8 + l % 4 * 2 + i % 2, half = i % 4 / 2;
        float sum = 0;
        for (int k = 0; k < 16; ++k)
            sum += left[half][k] * rightNumber(p, k, column);
        p.d[i] = (p.accumulate ? p.d[i] : 0.f) + sum;
    }
    warpBarrier();
}

} // namespace

void waitProducts(int pendingGroups)
{
    auto& groups = t_block->current->products;
    while (int(groups.size()) > pendingGroups) {
        for (const GroupProduct& product : groups.front())
            finish(product);
        groups.pop_front();
    }
}

void storeTiles(void* row, const std::uint32_t (&from)[4], bool transposed)
{
    const int l = lane();
    std::memcpy(warpScratch() + l * 64, &row, sizeof row);
    warpBarrier();
    for (int tile = 0; tile < 4; ++tile)
        for (int e = 0; e < 2; ++e) {
            const int along = l / 4, across = l % 4 * 2 + e;
            unsigned char* to = nullptr;
            std::memcpy(&to, warpScratch() + (tile * 8 + (transposed ? across : along)) * 64, sizeof to);
            const auto bits = std::uint16_t(from[tile] >> (16 * e));
            std::memcpy(to + (transposed ? along : across) * 2, &bits, 2);
        }
    warpBarrier();
}

void run(dim3 grid, dim3 blockSize, std::size_t sharedBytes, const std::function<void()>& body)
{
    std::mt19937 random(1);
    Block block;
    block.body = &body;
    const std::size_t threads = std::size_t(blockSize.x) * blockSize.y * blockSize.z;
    block.scratch.resize((threads + 31) / 32);
    for (std::size_t i = 0; i < threads; ++i) {
        block.fibers.push_back(std::make_unique<Fiber>());
        block.fibers.back()->stack = std::make_unique_for_overwrite<unsigned char[]>(kStackBytes);
    }
    t_block = &block;
    for (unsigned z = 0; z < grid.z; ++z)
        for (unsigned y = 0; y < grid.y; ++y)
            for (unsigned x = 0; x < grid.x; ++x) {
                block.named.fill({});
                block.arrivals.clear();
                block.shared.assign(sharedBytes + 1024, 0xff);
                for (std::size_t i = 0; i < threads; ++i)
                    start(*block.fibers[i], int(i), {make_uint3(x, y, z), grid, blockSize});
                runBlock(block, random);
            }
    t_block = nullptr;
}

} // namespace postnas::emulation
