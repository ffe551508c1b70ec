// Comparing candidates: Pareto fronts, rank correlations, means and spreads.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

namespace postnas {

enum class Better { Higher, Lower };

/// Indices of the points that no other point beats in one measure without losing in the other, from the best to the worst in
/// the first measure. Equal points are all on the front; points with NaN never are. `first` and `second` have the same length.
std::vector<std::size_t> paretoFront(std::span<const double> first, Better firstBetter, std::span<const double> second, Better secondBetter);

/// Ranks from 1; equal values share the mean of their ranks.
std::vector<double> ranksOf(std::span<const double> values);

/// Spearman's rho (Pearson's correlation of the ranks) and Kendall's tau-b; nothing when there are fewer than two pairs, one side
/// is constant, or a value is NaN. `a` and `b` have the same length.
std::optional<double> spearmanCorrelation(std::span<const double> a, std::span<const double> b);
std::optional<double> kendallCorrelation(std::span<const double> a, std::span<const double> b);

/// What several numbers are like. Of none of them, everything is NaN.
struct Spread {
    std::size_t count = 0;
    double mean = 0.0;
    double deviation = 0.0;     ///< sample standard deviation (n - 1); 0 for one number
    double standardError = 0.0; ///< deviation / sqrt(n)
    double minimum = 0.0;
    double median = 0.0;
    double maximum = 0.0;
};
Spread spreadOf(std::span<const double> values);

} // namespace postnas
