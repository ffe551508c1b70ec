// How one block chooses the next token of one sequence: penalty, temperature, top-k, top-p, min-p and the draw, without sorting the vocabulary.
//
// A histogram of the logits' distances from the largest one tells how many tokens must be looked at to have the likeliest few thousand
// for certain; those alone are sorted, and the filters and the draw are searches in the sorted list. Only when a filter keeps more
// tokens than the list can hold (a very flat distribution) the border is found by bisection over the whole row, which is many times slower.
// Probabilities are integers: sums do not depend on their order, so that a seed gives the same token every time.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/include/cuda_element.cuh"
#include "kernels/include/sampling_launch.h"
#include "kernels/sampling/philox.h"

namespace postnas::ops::cuda::sampling {

using Mass = unsigned long long; ///< a probability in units of 2^-40 of the likeliest token's; and ranks, see rankOf

constexpr int kMaxThreads = 1024;
constexpr int kSmallList = 2048, kList = 8192;
constexpr int kBins = 1024;        ///< of the histogram
constexpr float kBinsPerUnit = 32; ///< so it spans 32 units of the logits; tokens further away are not counted
constexpr float kOne = 1099511627776.0f;

constexpr int kListAt = 0, kBinsAt = kListAt + kList * 8, kScratchAt = kBinsAt + kBins * 4, kCellsAt = kScratchAt + 32 * 8,
              kSharedBytes = kCellsAt + 4 * 8;

template <typename T>
struct alignas(16) Eight {
    T at[8];
};

template <typename T>
class Sampler {
public:
    __device__ Sampler(const SampleProblem& problem, int idBitCount, unsigned char* shared)
        : p(problem), options(problem.sequences[blockIdx.x]), row(blockIdx.x), vocabulary(int(problem.vocabulary)), idBits(idBitCount),
          logits(static_cast<const T*>(problem.logits) + row * problem.logitStride),
          seen(problem.seen && options.repetitionPenalty != 1.0f
                   ? reinterpret_cast<const std::uint8_t*>(problem.seen + row * ((problem.vocabulary + 31) / 32))
                   : nullptr),
          list(reinterpret_cast<Mass*>(shared + kListAt)), bins(reinterpret_cast<unsigned*>(shared + kBinsAt)),
          scratch(reinterpret_cast<Mass*>(shared + kScratchAt)), cells(reinterpret_cast<Mass*>(shared + kCellsAt)), tid(int(threadIdx.x)),
          threads(int(blockDim.x)), lane(tid % 32), warp(tid / 32),
          aligned(reinterpret_cast<std::uintptr_t>(logits) % 16 == 0)
    {
    }

    /// The same in all threads.
    __device__ int next()
    {
        Mass best = 0;
        {
            float value = -INFINITY;
            int id = -1;
            each([&](int i, float x) {
                if (x > value || id < 0) {
                    value = x;
                    id = i;
                }
            });
            if (id >= 0)
                best = rankOf(value, id);
        }
        topRank = reduce(best, [](Mass a, Mass b) { return a > b ? a : b; });
        if (!(options.temperature > 0))
            return idOf(topRank);
        top = logitOf(topRank);
        inverseTemperature = 1.0f / options.temperature;
        const int k = options.topK > 0 && options.topK < vocabulary ? options.topK : 0;
        const bool filtered = k > 0 || options.topP < 1.0f || options.minP > 0.0f;
        minimum = Mass(options.minP * kOne);

        if (filtered) {
            for (int i = tid; i < kBins; i += threads)
                bins[i] = 0;
            __syncthreads();
        }
        Mass mine = 0;
        each([&](int, float x) {
            mine += massOf(x);
            const float bin = x == top ? 0.0f : (top - x) * kBinsPerUnit;
            if (filtered && bin < float(kBins))
                atomicAdd(&bins[int(bin)], 1u);
        });
        const Mass total = sumOf(mine);
        if (filtered) {
            int tried = 0, token = -1;
            for (int capacity = kSmallList; capacity <= kList && token < 0; capacity = capacity == kSmallList ? kList : kList + 1) {
                const int count = collect(capacity, tried);
                if (count > tried) {
                    sortList(count);
                    token = fromList(count, k, total);
                    tried = count;
                }
            }
            if (token >= 0)
                return token;
        }
        return fromRow(k, total);
    }

private:
    /// Orders tokens as the sampler does: by logit, then by the smaller id. The larger the likelier.
    __device__ Mass rankOf(float x, int id) const
    {
        const unsigned bits = __float_as_uint(x + 0.0f); // -0 and 0 are equal
        const unsigned key = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
        return Mass(key) << idBits | unsigned((1 << idBits) - 1 - id);
    }
    __device__ int idOf(Mass rank) const { return (1 << idBits) - 1 - int(rank & ((Mass(1) << idBits) - 1)); }
    __device__ float logitOf(Mass rank) const
    {
        const auto key = unsigned(rank >> idBits);
        return __uint_as_float(key & 0x80000000u ? key & 0x7fffffffu : ~key);
    }
    __device__ Mass massOf(float x) const { return x == top ? Mass(kOne) : Mass(expf((x - top) * inverseTemperature) * kOne); }

    __device__ Eight<T> piece(int base) const
    {
        Eight<T> out = {};
        if (aligned && base + 8 <= vocabulary) {
            out = *reinterpret_cast<const Eight<T>*>(logits + base);
        } else {
#pragma unroll
            for (int i = 0; i < 8; ++i)
                if (base + i < vocabulary)
                    out.at[i] = logits[base + i];
        }
        return out;
    }

    /// f(id, logit) for each token of this thread, after the penalty. The next piece is on its way while one is worked on.
    template <typename F>
    __device__ __forceinline__ void each(F&& f) const
    {
        Eight<T> now = piece(tid * 8);
        for (int base = tid * 8; base < vocabulary; base += threads * 8) {
            const Eight<T> following = piece(base + threads * 8);
            const unsigned flags = seen ? seen[base / 8] : 0;
#pragma unroll
            for (int i = 0; i < 8; ++i) {
                float x = toFloat(now.at[i]);
                if (flags >> i & 1)
                    x = x > 0 ? x / options.repetitionPenalty : x * options.repetitionPenalty;
                if (base + i < vocabulary)
                    f(base + i, x == x ? x : -INFINITY);
            }
            now = following;
        }
    }

    template <typename F>
    __device__ Mass reduce(Mass value, F&& join)
    {
        for (int mask = 16; mask > 0; mask /= 2)
            value = join(value, __shfl_xor_sync(0xffffffffu, value, mask));
        if (lane == 0)
            scratch[warp] = value;
        __syncthreads();
        value = scratch[0];
        for (int w = 1; w < threads / 32; ++w)
            value = join(value, scratch[w]);
        __syncthreads();
        return value;
    }
    __device__ Mass sumOf(Mass value)
    {
        return reduce(value, [](Mass a, Mass b) { return a + b; });
    }
    /// The sum over all threads before this one.
    __device__ Mass sumBefore(Mass value)
    {
        Mass inclusive = value;
        for (int delta = 1; delta < 32; delta *= 2) {
            const Mass other = __shfl_up_sync(0xffffffffu, inclusive, unsigned(delta));
            inclusive += lane >= delta ? other : 0;
        }
        if (lane == 31)
            scratch[warp] = inclusive;
        __syncthreads();
        Mass before = inclusive - value;
        for (int w = 0; w < warp; ++w)
            before += scratch[w];
        __syncthreads();
        return before;
    }

    /// Fills the list with the likeliest tokens: all those of as many bins as fit. Returns how many; nothing is done when not more than `tried`.
    __device__ int collect(int capacity, int tried)
    {
        if (warp == 0) {
            constexpr int kEach = kBins / 32;
            unsigned sum = 0;
            for (int i = 0; i < kEach; ++i)
                sum += bins[lane * kEach + i];
            unsigned inclusive = sum;
            for (int delta = 1; delta < 32; delta *= 2) {
                const unsigned other = __shfl_up_sync(0xffffffffu, inclusive, unsigned(delta));
                inclusive += lane >= delta ? other : 0;
            }
            unsigned running = inclusive - sum, kept = running <= unsigned(capacity) ? running : 0, used = 0;
            for (int i = 0; i < kEach; ++i) {
                running += bins[lane * kEach + i];
                if (running <= unsigned(capacity)) {
                    kept = running;
                    ++used;
                }
            }
            for (int mask = 16; mask > 0; mask /= 2) {
                used += __shfl_xor_sync(0xffffffffu, used, mask);
                kept = max(kept, __shfl_xor_sync(0xffffffffu, kept, mask));
            }
            if (lane == 0) {
                cells[0] = used;
                cells[1] = kept;
                cells[2] = 0;
            }
        }
        __syncthreads();
        const float border = float(cells[0]);
        const int count = int(cells[1]);
        if (count > tried) {
            auto* const filled = reinterpret_cast<unsigned*>(cells + 2);
            each([&](int id, float x) {
                const float bin = x == top ? 0.0f : (top - x) * kBinsPerUnit;
                if (bin < border)
                    list[atomicAdd(filled, 1u)] = rankOf(x, id);
            });
        }
        __syncthreads();
        return count;
    }

    /// The largest ranks first (bitonic sort).
    __device__ void sortList(int count)
    {
        int size = 1;
        while (size < count)
            size *= 2;
        for (int i = count + tid; i < size; i += threads)
            list[i] = 0;
        __syncthreads();
        for (int run = 2; run <= size; run *= 2)
            for (int distance = run / 2; distance > 0; distance /= 2) {
                for (int i = tid; i < size / 2; i += threads) {
                    const int low = i / distance * 2 * distance + i % distance, high = low + distance;
                    const Mass a = list[low], b = list[high];
                    if ((a < b) == ((low & run) == 0)) {
                        list[low] = b;
                        list[high] = a;
                    }
                }
                __syncthreads();
            }
    }

    /// The token from the sorted list of the likeliest; -1 when the filters keep tokens beyond it, or may.
    __device__ int fromList(int count, int k, Mass total)
    {
        const bool whole = count == vocabulary;
        if (k > count)
            return -1;
        int kept = k > 0 ? k : count;
        const int share = (count + threads - 1) / threads, begin = tid * share, end = min(count, begin + share);
        const auto massHere = [&](int limit) {
            Mass sum = 0;
            for (int i = begin; i < min(end, limit); ++i)
                sum += massOf(logitOf(list[i]));
            return sum;
        };
        const Mass mine = massHere(kept), before = sumBefore(mine), held = sumOf(mine);
        bool closed = whole || k > 0;
        if (options.topP < 1.0f) {
            const Mass target = targetOf(k > 0 ? held : total);
            if (target <= held) {
                kept = 1 + placeOf(target, before, mine, begin);
                closed = true;
            }
        }
        if (minimum > 0) {
            closed |= massOf(logitOf(list[count - 1])) < minimum;
            Mass above = 0;
            for (int i = begin; i < min(end, kept); ++i)
                above += massOf(logitOf(list[i])) >= minimum ? 1 : 0;
            kept = max(1, int(sumOf(above)));
        }
        if (!closed)
            return -1;
        const Mass sum = sumOf(massHere(kept));
        const Mass wanted = draw(sum) + 1;
        return idOf(list[placeOf(wanted, before, mine, begin)]);
    }

    /// The probability that top-p asks for, of the sum of what top-k left.
    __device__ Mass targetOf(Mass sum) const { return max(Mass(1), Mass(ceil(double(options.topP) * double(sum)))); }

    /// A number below `sum`, each as likely as the others.
    __device__ Mass draw(Mass sum) const
    {
        return __umul64hi(ops::sampling::randomBits(options.seed, std::uint32_t(p.lengths[row]), options.sequence), sum);
    }

    /// Where in the list the running sum reaches `target`; `before` and `mine` are of this thread's part, which starts at `begin`.
    __device__ int placeOf(Mass target, Mass before, Mass mine, int begin)
    {
        if (before < target && target <= before + mine) {
            int i = begin;
            for (Mass running = before + massOf(logitOf(list[i])); running < target; running += massOf(logitOf(list[i])))
                ++i;
            cells[3] = Mass(i);
        }
        __syncthreads();
        const int place = int(cells[3]);
        __syncthreads();
        return place;
    }

    /// The token from the whole row.
    __device__ int fromRow(int k, Mass total)
    {
        Mass border = 0; // kept are tokens of this rank and above
        if (k > 0) {
            border = borderOf(0, Mass(k), [](float) { return Mass(1); });
            total = sumAbove(border, [this](float x) { return massOf(x); });
        }
        if (options.topP < 1.0f)
            border = borderOf(border, targetOf(total), [this](float x) { return massOf(x); });
        const auto kept = [&](int id, float x) {
            const Mass mass = massOf(x);
            return rankOf(x, id) >= border && mass >= minimum ? mass : 0;
        };
        Mass mine = 0;
        each([&](int id, float x) { mine += kept(id, x); });
        const Mass before = sumBefore(mine), wanted = draw(sumOf(mine)) + 1;
        if (before < wanted && wanted <= before + mine) {
            Mass running = before;
            int token = -1;
            each([&](int id, float x) {
                running += kept(id, x);
                if (token < 0 && running >= wanted)
                    token = id;
            });
            cells[3] = Mass(token);
        }
        __syncthreads();
        return int(cells[3]);
    }

    template <typename F>
    __device__ Mass sumAbove(Mass border, F&& measure)
    {
        Mass sum = 0;
        each([&](int id, float x) { sum += rankOf(x, id) >= border ? measure(x) : 0; });
        return sumOf(sum);
    }

    /// The largest rank such that the tokens of that rank and above measure at least `target`; those of `low` and above do.
    template <typename F>
    __device__ Mass borderOf(Mass low, Mass target, F&& measure)
    {
        Mass high = topRank;
        while (low < high) {
            const Mass middle = high - (high - low) / 2;
            if (sumAbove(middle, measure) >= target)
                low = middle;
            else
                high = middle - 1;
        }
        return low;
    }

    const SampleProblem& p;
    const SequenceSampling& options;
    std::int64_t row;
    int vocabulary, idBits;
    const T* logits;
    const std::uint8_t* seen; ///< a bit a token; null: no penalty
    Mass* list;
    unsigned* bins;
    Mass* scratch; ///< of each warp
    Mass* cells;   ///< what one thread tells the others
    int tid, threads, lane, warp;
    bool aligned;
    float top = 0, inverseTemperature = 1;
    Mass topRank = 0, minimum = 0;
};

} // namespace postnas::ops::cuda::sampling
