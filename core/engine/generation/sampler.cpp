// Repetition penalty, temperature, top-k, top-p and min-p over plain float logits.
#include "core/engine/generation/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_set>

#include "core/base/error.h"

namespace postnas::engine {

void SamplingOptions::check() const
{
    const auto require = [](bool ok, const char* problem) {
        if (!ok)
            throw usageError(problem);
    };
    require(temperature >= 0 && std::isfinite(temperature), "temperature must be a number of at least 0");
    require(topK >= 0, "top-k must be at least 0 (0: no limit)");
    require(topP > 0 && topP <= 1, "top-p must be above 0 and at most 1");
    require(minP >= 0 && minP <= 1, "min-p must be between 0 and 1");
    require(repetitionPenalty > 0 && std::isfinite(repetitionPenalty), "repetition penalty must be above 0");
}

Sampler::Sampler(const SamplingOptions& options)
    : m_options(options)
    , m_random(options.seed)
{
    options.check();
}

std::int64_t Sampler::next(std::span<float> logits, std::span<const std::int64_t> seen)
{
    if (m_options.repetitionPenalty != 1.0) {
        const auto penalty = static_cast<float>(m_options.repetitionPenalty);
        const std::unordered_set<std::int64_t> distinct(seen.begin(), seen.end());
        for (const std::int64_t id : distinct) {
            if (id < 0 || id >= static_cast<std::int64_t>(logits.size()))
                continue;
            float& logit = logits[static_cast<std::size_t>(id)];
            logit = logit > 0 ? logit / penalty : logit * penalty;
        }
    }
    const auto best = static_cast<std::int64_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
    if (m_options.temperature == 0.0)
        return best;

    // Candidates from the most to the least likely; only as many as top-k lets live are put in order.
    std::vector<std::int32_t> order(logits.size());
    std::iota(order.begin(), order.end(), 0);
    const auto likelier = [&](std::int32_t a, std::int32_t b) {
        const float la = logits[static_cast<std::size_t>(a)], lb = logits[static_cast<std::size_t>(b)];
        return la > lb || (la == lb && a < b);
    };
    if (m_options.topK > 0 && m_options.topK < static_cast<std::int64_t>(order.size())) {
        std::partial_sort(order.begin(), order.begin() + m_options.topK, order.end(), likelier);
        order.resize(static_cast<std::size_t>(m_options.topK));
    } else {
        std::sort(order.begin(), order.end(), likelier);
    }

    const double top = logits[static_cast<std::size_t>(best)];
    std::vector<double> probability(order.size());
    double sum = 0;
    for (std::size_t i = 0; i < order.size(); ++i) {
        probability[i] = std::exp((double(logits[static_cast<std::size_t>(order[i])]) - top) / m_options.temperature);
        sum += probability[i];
    }
    std::size_t kept = order.size();
    if (m_options.topP < 1.0) {
        double cumulative = 0;
        for (kept = 0; kept < order.size() && cumulative < m_options.topP * sum;)
            cumulative += probability[kept++];
        kept = std::max<std::size_t>(kept, 1);
    }
    while (kept > 1 && probability[kept - 1] < m_options.minP * probability[0])
        --kept;

    const double total = std::accumulate(probability.begin(), probability.begin() + static_cast<std::ptrdiff_t>(kept), 0.0);
    // 53 random bits make a uniform number in [0, 1) that is the same with every standard library.
    double rest = static_cast<double>(m_random() >> 11) * 0x1.0p-53 * total;
    for (std::size_t i = 0; i < kept; ++i) {
        rest -= probability[i];
        if (rest < 0)
            return order[i];
    }
    return order[kept - 1];
}

} // namespace postnas::engine
