// Random numbers that depend on nothing but a seed and a place, the same on every device.
#pragma once

#include <cstdint>

#ifdef __CUDACC__
#define POSTNAS_HOST_DEVICE __host__ __device__
#else
#define POSTNAS_HOST_DEVICE
#endif

namespace postnas::ops::sampling {

/// 64 random bits from a counter (Philox 4x32 with 10 rounds; Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
POSTNAS_HOST_DEVICE inline std::uint64_t randomBits(std::uint64_t seed, std::uint32_t step, std::uint32_t sequence)
{
    std::uint32_t counter[4] = {step, sequence, 0, 0}, low = std::uint32_t(seed), high = std::uint32_t(seed >> 32);
    for (int round = 0; round < 10; ++round) {
        const std::uint64_t a = std::uint64_t(0xD2511F53u) * counter[0], b = std::uint64_t(0xCD9E8D57u) * counter[2];
        const std::uint32_t next[4] = {std::uint32_t(b >> 32) ^ counter[1] ^ low, std::uint32_t(b), std::uint32_t(a >> 32) ^ counter[3] ^ high,
                                       std::uint32_t(a)};
        for (int i = 0; i < 4; ++i)
            counter[i] = next[i];
        low += 0x9E3779B9u;
        high += 0xBB67AE85u;
    }
    return std::uint64_t(counter[1]) << 32 | counter[0];
}

} // namespace postnas::ops::sampling
