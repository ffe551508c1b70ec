// A keyed permutation of 0..size-1 that is computed, not stored: Feistel rounds over the next power of four, walked until
// the value falls inside.
#pragma once

#include <cstdint>

namespace postnas {

/// Well-mixed 64 bits of a counter (the finaliser of SplitMix64, Steele et al. 2014).
inline std::uint64_t mixBits(std::uint64_t x)
{
    x += 0x9E3779B97F4A7C15ull;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
    return x ^ (x >> 31);
}

class Permutation {
public:
    /// `size` in 1..2^62.
    Permutation(std::uint64_t size, std::uint64_t key)
        : m_size(size)
        , m_key(key)
    {
        while (m_halfBits < 31 && (std::uint64_t {1} << (2 * m_halfBits)) < size)
            ++m_halfBits;
        m_mask = (std::uint64_t {1} << m_halfBits) - 1;
    }

    /// For index < size: a bijection onto 0..size-1.
    std::uint64_t operator()(std::uint64_t index) const
    {
        // Cycle walking ends: the cycle that begins inside comes back inside, after less than 4 steps on average.
        do
            index = rounds(index);
        while (index >= m_size);
        return index;
    }

private:
    std::uint64_t rounds(std::uint64_t value) const
    {
        std::uint64_t left = value >> m_halfBits;
        std::uint64_t right = value & m_mask;
        for (std::uint64_t round = 0; round < 6; ++round) {
            const std::uint64_t next = left ^ (mixBits(m_key ^ mixBits(right + (round << 48))) & m_mask);
            left = right;
            right = next;
        }
        return (left << m_halfBits) | right;
    }

    std::uint64_t m_size;
    std::uint64_t m_key;
    std::uint64_t m_mask = 0;
    int m_halfBits = 1;
};

} // namespace postnas
