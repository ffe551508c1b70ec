// What the tests of the emulated kernels share: random inputs of an element type, and how far a result is from its float64 reference.
#pragma once

#include <limits>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace postnas::tests {

/// Filled with NaN, so that what a kernel forgets to write shows.
inline at::Tensor unwritten(at::IntArrayRef shape, at::ScalarType type) { return at::full(shape, std::numeric_limits<double>::quiet_NaN(), type); }

inline at::Tensor wide(const at::Tensor& t) { return t.to(at::kDouble); }

/// The largest difference relative to the largest number of the reference.
inline double relativeError(const at::Tensor& actual, const at::Tensor& expected)
{
    EXPECT_EQ(actual.sizes(), expected.sizes());
    if (expected.numel() == 0)
        return 0;
    const at::Tensor numbers = wide(actual);
    EXPECT_TRUE(at::isfinite(numbers).all().item<bool>());
    return ((numbers - expected).abs().max() / (expected.abs().max() + 1e-12)).item<double>();
}

} // namespace postnas::tests
