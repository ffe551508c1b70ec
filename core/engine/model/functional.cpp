// RMSNorm, rotary embedding and grouped attention over torch's own operators.
#include "core/engine/model/functional.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <functional>
#include <map>
#include <mutex>

#include "core/engine/benchmark/timing.h"
#include "kernels/include/prefill_operators.h"

namespace postnas::engine {

namespace {

// Without a mask: attention of the last queries of longer sequences -----------------------------------------------------------------

/// Attention over a part of the keys, [batch, heads, length, dim], and the log-sum-exp of its scores, [batch, heads, length].
struct Attended {
    torch::Tensor values, logSums;
};

/// The causal order and the window of flash attention are those of sequences that end together.
Attended flash(const torch::Tensor& query, const torch::Tensor& key, const torch::Tensor& value, bool causal, std::optional<std::int64_t> window = {})
{
    const auto left = window ? std::optional(*window - 1) : std::nullopt;
    const auto right = window ? std::optional<std::int64_t>(0) : std::nullopt;
    const auto out = at::_flash_attention_forward(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), std::nullopt, std::nullopt,
                                                  query.size(2), key.size(2), 0.0, causal, false, std::nullopt, left, right);
    return {std::get<0>(out).transpose(1, 2), std::get<1>(out)};
}

/// cuDNN's causal order is that of sequences that begin together.
Attended cudnn(const torch::Tensor& query, const torch::Tensor& key, const torch::Tensor& value, bool causal)
{
    const auto out = at::_scaled_dot_product_cudnn_attention(query, key, value, std::nullopt, true, 0.0, causal);
    return {std::get<0>(out), std::get<1>(out).reshape({query.size(0), query.size(1), query.size(2)})};
}

double attentionFlops(const torch::Tensor& query, std::int64_t keys, bool causal) { return (causal ? 2.0 : 4.0) * double(query.numel()) * double(keys); }

/// cuDNN builds a plan for each new shape, 40 ms. A model's layers win them back within a few pieces of a prompt when one call is so much work,
constexpr double kWorthPlanning = 3e11;
/// or when calls of this shape have been so much together: then flash attention has lost about as much on them.
constexpr double kWorthPlanningTogether = 1e13;
constexpr std::size_t kMostShapes = 4096; ///< that are counted: prompts of many lengths must not fill the memory

/// Counts the calls of each shape, so that the same one may go another way the next time.
bool worthPlanning(const torch::Tensor& query, const torch::Tensor& key, bool causal)
{
    const double flops = attentionFlops(query, key.size(2), causal);
    if (flops >= kWorthPlanning)
        return true;
    using Shape = std::array<std::int64_t, 9>;
    const Shape shape{query.device().index(), static_cast<std::int64_t>(query.scalar_type()), query.size(0), query.size(1), query.size(2), query.size(3),
                      key.size(1), key.size(2), causal};
    static std::mutex mutex;
    static std::map<Shape, double> done;
    const std::lock_guard guard(mutex);
    if (done.size() >= kMostShapes && !done.contains(shape))
        return false;
    return (done[shape] += flops) >= kWorthPlanningTogether;
}

/// Tries both when such heads are met first, on so much that launching does not decide, and remembers which was faster.
bool cudnnIsFaster(const torch::Tensor& query, const torch::Tensor& key, const torch::Tensor& value)
{
    using Heads = std::array<std::int64_t, 5>;
    const Heads heads{query.device().index(), static_cast<std::int64_t>(query.scalar_type()), query.size(1), key.size(1), query.size(3)};
    static std::mutex mutex;
    static std::map<Heads, bool> known;
    const std::lock_guard guard(mutex);
    const auto found = known.find(heads);
    if (found != known.end())
        return found->second;
    // Half a millisecond: sequences of usual length as many as needed, and where there are not as many, more of their keys.
    constexpr double kEnough = 3e11;
    constexpr std::int64_t kUsual = 8192;
    const auto atLeast = [](double least, std::int64_t low, std::int64_t high) { return std::clamp(static_cast<std::int64_t>(std::ceil(least)), low, high); };
    const auto first = [](const torch::Tensor& t, std::int64_t sequences, std::int64_t length) {
        return t.narrow(0, 0, sequences).narrow(2, 0, std::min(t.size(2), length));
    };
    const double perKey = attentionFlops(first(query, 1, kUsual), 1, false);
    const std::int64_t usual = std::min<std::int64_t>(key.size(2), kUsual);
    const std::int64_t sequences = atLeast(kEnough / (perKey * double(usual)), 1, query.size(0));
    const std::int64_t keys = atLeast(kEnough / (perKey * double(sequences)), usual, key.size(2));
    const torch::Tensor q = first(query, sequences, kUsual), k = first(key, sequences, keys), v = first(value, sequences, keys);
    bool faster = false;
    try {
        const std::array<std::function<void()>, 2> ways{[&] { cudnn(q, k, v, false); }, [&] { flash(q, k, v, false); }};
        std::array<double, 2> best{INFINITY, INFINITY};
        for (const auto& way : ways)
            way(); // builds plans and loads code
        // In turns, and the best counts: what else the GPU does for a moment must not choose for the rest of the process.
        for (int turn = 0; turn < 5; ++turn)
            for (std::size_t i = 0; i < ways.size(); ++i)
                best[i] = std::min(best[i], secondsOf(query.device(), ways[i]));
        faster = best[0] < best[1];
    } catch (const c10::Error&) { // cuDNN cannot take them
    }
    return known[heads] = faster;
}

/// The keys before the queries in pieces of powers of two, so that cuDNN meets few shapes, and those among the queries.
torch::Tensor inParts(const torch::Tensor& query, const torch::Tensor& key, const torch::Tensor& value)
{
    constexpr std::int64_t kSmallestPiece = 1024;
    constexpr std::size_t kMostPieces = 6;
    const std::int64_t length = query.size(2), before = key.size(2) - length;
    std::vector<torch::Tensor> values, logSums;
    const auto attend = [&](std::int64_t first, std::int64_t keys, bool causal) {
        const torch::Tensor k = key.narrow(2, first, keys), v = value.narrow(2, first, keys);
        const Attended part = worthPlanning(query, k, causal) ? cudnn(query, k, v, causal) : flash(query, k, v, causal);
        values.push_back(part.values);
        logSums.push_back(part.logSums);
    };
    attend(before, length, true);
    for (std::int64_t first = 0; first < before;) {
        const auto left = static_cast<std::uint64_t>(before - first);
        const bool whole = left < kSmallestPiece || values.size() > kMostPieces;
        const auto piece = static_cast<std::int64_t>(whole ? left : std::bit_floor(left));
        attend(first, piece, false);
        first += piece;
    }
    return values.size() == 1 ? values[0] : ops::mergeAttention(values, logSums).transpose(1, 2);
}

} // namespace

torch::Tensor rmsNorm(const torch::Tensor& x, const torch::Tensor& weight, double epsilon)
{
    return at::rms_norm(x, {x.size(-1)}, weight.to(x.scalar_type()), epsilon);
}

torch::Tensor applyRotary(const torch::Tensor& x, const torch::Tensor& cosine, const torch::Tensor& sine)
{
    const auto halves = x.chunk(2, -1);
    const torch::Tensor rotated = torch::cat({-halves[1], halves[0]}, -1);
    const torch::Tensor c = cosine.to(x.scalar_type()).unsqueeze(1);
    const torch::Tensor s = sine.to(x.scalar_type()).unsqueeze(1);
    return x * c + rotated * s;
}

torch::Tensor groupedAttention(const torch::Tensor& query, const torch::Tensor& key, const torch::Tensor& value, const torch::Tensor& mask)
{
    const std::int64_t batch = query.size(0), heads = query.size(1), length = query.size(2), dim = query.size(3);
    const std::int64_t groups = key.size(1), share = heads / groups;
    // The query heads of one group become rows of one matrix product with the group's keys.
    const torch::Tensor q = query.reshape({batch, groups, share * length, dim});
    std::optional<torch::Tensor> rows;
    if (mask.defined())
        rows = mask.unsqueeze(0).expand({share, length, key.size(2)}).reshape({1, 1, share * length, key.size(2)});
    return at::scaled_dot_product_attention(q, key, value, rows).reshape({batch, heads, length, dim});
}

torch::Tensor causalAttention(const torch::Tensor& query, const torch::Tensor& key, const torch::Tensor& value)
{
    const std::int64_t share = query.size(1) / key.size(1);
    if (share == 1 || query.is_cuda())
        return at::scaled_dot_product_attention(query, key, value, std::nullopt, 0.0, true, std::nullopt, share != 1);
    return at::scaled_dot_product_attention(query, key.repeat_interleave(share, 1), value.repeat_interleave(share, 1), std::nullopt, 0.0, true);
}

void joinStorage(const std::vector<torch::Tensor*>& tensors)
{
    if (tensors.size() < 2)
        return;
    std::vector<torch::Tensor> parts;
    for (const torch::Tensor* tensor : tensors)
        parts.push_back(tensor->detach());
    const torch::Tensor together = torch::cat(parts, 0);
    std::int64_t row = 0;
    for (torch::Tensor* tensor : tensors) {
        const torch::Tensor part = together.narrow(0, row, tensor->size(0));
        row += tensor->size(0);
        // Not a view, so that training one does not count as a change of the others.
        *tensor = torch::empty({0}, part.options()).set_(part.storage(), part.storage_offset(), part.sizes(), part.strides());
    }
}

bool flashAttentionTakes(const torch::Tensor& query)
{
    const bool half = query.scalar_type() == torch::kBFloat16 || query.scalar_type() == torch::kFloat16;
    return query.is_cuda() && half && query.size(3) % 8 == 0 && query.size(3) <= 256 && query.numel() > 0 && !at::GradMode::is_enabled();
}

torch::Tensor windowAttention(const torch::Tensor& query, const torch::Tensor& key, const torch::Tensor& value, std::int64_t window)
{
    return flash(query, key, value, true, window).values;
}

torch::Tensor continuedAttention(const torch::Tensor& query, const torch::Tensor& key, const torch::Tensor& value)
{
    const std::int64_t length = query.size(2), before = key.size(2) - length;
    if (length == 1)
        return groupedAttention(query, key, value, {});
    if (flashAttentionTakes(query)) {
        const double flops = attentionFlops(query, before, false) + attentionFlops(query, length, true);
        return flops >= kWorthPlanning && cudnnIsFaster(query, key, value) ? inParts(query, key, value) : flash(query, key, value, true).values;
    }
    if (before == 0)
        return causalAttention(query, key, value);
    return groupedAttention(query, key, value, torch::ones({length, key.size(2)}, query.options().dtype(torch::kBool)).tril(before));
}

} // namespace postnas::engine
