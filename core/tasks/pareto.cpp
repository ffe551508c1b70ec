// Pareto fronts by one sorted sweep; Kendall's tau-b by counting discordant pairs with a merge sort.
#include "core/tasks/pareto.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace postnas {
namespace {

bool hasNan(std::span<const double> values)
{
    return std::any_of(values.begin(), values.end(), [](double v) { return std::isnan(v); });
}

/// Sorts `values` and returns how many pairs were out of order.
double countInversions(std::vector<double>& values, std::vector<double>& scratch, std::size_t begin, std::size_t end)
{
    if (end - begin < 2)
        return 0.0;
    const std::size_t middle = begin + (end - begin) / 2;
    double inversions = countInversions(values, scratch, begin, middle) + countInversions(values, scratch, middle, end);
    std::size_t left = begin;
    std::size_t right = middle;
    for (std::size_t out = begin; out < end; ++out) {
        if (right == end || (left < middle && values[left] <= values[right])) {
            scratch[out] = values[left++];
        } else {
            inversions += static_cast<double>(middle - left);
            scratch[out] = values[right++];
        }
    }
    std::copy(scratch.begin() + static_cast<std::ptrdiff_t>(begin), scratch.begin() + static_cast<std::ptrdiff_t>(end),
              values.begin() + static_cast<std::ptrdiff_t>(begin));
    return inversions;
}

/// Pairs of neighbours in `order` that `same` calls equal, counted over whole runs.
template <typename Same>
double tiedPairs(const std::vector<std::size_t>& order, Same same)
{
    double pairs = 0.0;
    for (std::size_t begin = 0; begin < order.size();) {
        std::size_t end = begin + 1;
        while (end < order.size() && same(order[begin], order[end]))
            ++end;
        pairs += static_cast<double>(end - begin) * static_cast<double>(end - begin - 1) / 2.0;
        begin = end;
    }
    return pairs;
}

} // namespace

std::vector<std::size_t> paretoFront(std::span<const double> first, Better firstBetter, std::span<const double> second, Better secondBetter)
{
    const double firstSign = firstBetter == Better::Higher ? 1.0 : -1.0;
    const double secondSign = secondBetter == Better::Higher ? 1.0 : -1.0;
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < std::min(first.size(), second.size()); ++i)
        if (!std::isnan(first[i]) && !std::isnan(second[i]))
            order.push_back(i);
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        if (first[a] != first[b])
            return firstSign * first[a] > firstSign * first[b];
        return secondSign * second[a] > secondSign * second[b];
    });
    std::vector<std::size_t> front;
    for (const std::size_t i : order) {
        const bool equalsLast = !front.empty() && first[i] == first[front.back()] && second[i] == second[front.back()];
        if (front.empty() || equalsLast || secondSign * second[i] > secondSign * second[front.back()])
            front.push_back(i);
    }
    return front;
}

std::vector<double> ranksOf(std::span<const double> values)
{
    std::vector<std::size_t> order(values.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
    std::vector<double> ranks(values.size());
    for (std::size_t begin = 0; begin < order.size();) {
        std::size_t end = begin + 1;
        while (end < order.size() && values[order[end]] == values[order[begin]])
            ++end;
        for (std::size_t i = begin; i < end; ++i)
            ranks[order[i]] = static_cast<double>(begin + end + 1) / 2.0;
        begin = end;
    }
    return ranks;
}

std::optional<double> spearmanCorrelation(std::span<const double> a, std::span<const double> b)
{
    if (a.size() != b.size() || a.size() < 2 || hasNan(a) || hasNan(b))
        return std::nullopt;
    const std::vector<double> ra = ranksOf(a);
    const std::vector<double> rb = ranksOf(b);
    const double mean = (static_cast<double>(a.size()) + 1.0) / 2.0;
    double covariance = 0.0;
    double varianceA = 0.0;
    double varianceB = 0.0;
    for (std::size_t i = 0; i < ra.size(); ++i) {
        covariance += (ra[i] - mean) * (rb[i] - mean);
        varianceA += (ra[i] - mean) * (ra[i] - mean);
        varianceB += (rb[i] - mean) * (rb[i] - mean);
    }
    if (varianceA == 0.0 || varianceB == 0.0)
        return std::nullopt;
    return covariance / std::sqrt(varianceA * varianceB);
}

std::optional<double> kendallCorrelation(std::span<const double> a, std::span<const double> b)
{
    if (a.size() != b.size() || a.size() < 2 || hasNan(a) || hasNan(b))
        return std::nullopt;
    std::vector<std::size_t> order(a.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [&](std::size_t x, std::size_t y) { return a[x] != a[y] ? a[x] < a[y] : b[x] < b[y]; });
    const double tiedA = tiedPairs(order, [&](std::size_t x, std::size_t y) { return a[x] == a[y]; });
    const double tiedBoth = tiedPairs(order, [&](std::size_t x, std::size_t y) { return a[x] == a[y] && b[x] == b[y]; });
    std::vector<double> values;
    for (const std::size_t i : order)
        values.push_back(b[i]);
    std::vector<double> scratch(values.size());
    const double discordant = countInversions(values, scratch, 0, values.size());
    std::sort(order.begin(), order.end(), [&](std::size_t x, std::size_t y) { return b[x] < b[y]; });
    const double tiedB = tiedPairs(order, [&](std::size_t x, std::size_t y) { return b[x] == b[y]; });
    const double pairs = static_cast<double>(a.size()) * static_cast<double>(a.size() - 1) / 2.0;
    const double denominator = std::sqrt((pairs - tiedA) * (pairs - tiedB));
    if (denominator == 0.0)
        return std::nullopt;
    return (pairs - tiedA - tiedB + tiedBoth - 2.0 * discordant) / denominator;
}

Spread spreadOf(std::span<const double> values)
{
    Spread out;
    out.count = values.size();
    if (values.empty() || hasNan(values)) {
        const double nan = std::numeric_limits<double>::quiet_NaN();
        out.mean = out.deviation = out.standardError = out.minimum = out.median = out.maximum = nan;
        return out;
    }
    const auto n = static_cast<double>(values.size());
    out.mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
    double squares = 0.0;
    for (const double v : values)
        squares += (v - out.mean) * (v - out.mean);
    out.deviation = values.size() > 1 ? std::sqrt(squares / (n - 1.0)) : 0.0;
    out.standardError = out.deviation / std::sqrt(n);
    std::vector<double> sorted(values.begin(), values.end());
    std::sort(sorted.begin(), sorted.end());
    out.minimum = sorted.front();
    out.maximum = sorted.back();
    const std::size_t middle = sorted.size() / 2;
    out.median = sorted.size() % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2.0;
    return out;
}

} // namespace postnas
