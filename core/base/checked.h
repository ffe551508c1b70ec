// Arithmetic on sizes that come from outside: overflow is an answer, not a wrap-around.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace postnas {

inline std::optional<std::uint64_t> checkedMultiply(std::uint64_t a, std::uint64_t b)
{
    std::uint64_t out = 0;
    if (__builtin_mul_overflow(a, b, &out))
        return std::nullopt;
    return out;
}

inline std::optional<std::uint64_t> checkedAdd(std::uint64_t a, std::uint64_t b)
{
    std::uint64_t out = 0;
    if (__builtin_add_overflow(a, b, &out))
        return std::nullopt;
    return out;
}

/// Product of all extents; 1 for a scalar; nothing when it does not fit 64 bits.
inline std::optional<std::uint64_t> checkedProduct(std::span<const std::uint64_t> extents)
{
    std::uint64_t out = 1;
    for (const std::uint64_t e : extents)
        if (__builtin_mul_overflow(out, e, &out))
            return std::nullopt;
    return out;
}

} // namespace postnas
