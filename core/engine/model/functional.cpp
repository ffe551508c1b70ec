// RMSNorm, rotary embedding and grouped attention over torch's own operators.
#include "core/engine/model/functional.h"

namespace postnas::engine {

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

} // namespace postnas::engine
