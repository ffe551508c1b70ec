// A batch of the sampler as tensors on the training device. Internal: torch.
#pragma once

#include <torch/torch.h>

#include "core/architecture/architecture.h"
#include "core/data/batch_sampler.h"

namespace postnas::engine {

/// The id that fills short rows and separates packed documents: the pad id, else the first end-of-sequence id, else 0.
inline std::int32_t paddingId(const Architecture& architecture)
{
    if (architecture.padTokenId)
        return static_cast<std::int32_t>(*architecture.padTokenId);
    return architecture.eosTokenIds.empty() ? 0 : static_cast<std::int32_t>(architecture.eosTokenIds.front());
}

struct BatchTensors {
    torch::Tensor ids;     ///< int64 [batch, length]
    torch::Tensor weights; ///< float32 [batch, length]: how much each token counts as a target
    torch::Tensor valid;   ///< bool [batch, length]: false for padding behind the last token
};

/// Rows [first, first + rows) of a batch, cut to the longest of them. `padding` is the id that fills short rows.
inline BatchTensors toTensors(const Batch& batch, std::int64_t first, std::int64_t rows, std::int32_t padding, torch::Device device)
{
    const auto view = [&](auto* data, torch::ScalarType type) {
        return torch::from_blob(const_cast<std::remove_const_t<std::remove_pointer_t<decltype(data)>>*>(data) + first * batch.length, {rows, batch.length}, type);
    };
    std::int64_t longest = 1;
    torch::Tensor valid = torch::zeros({rows, batch.length}, torch::kBool);
    for (std::int64_t r = 0; r < rows; ++r) {
        const std::int32_t* tokens = batch.tokens.data() + (first + r) * batch.length;
        const float* weights = batch.weights.data() + (first + r) * batch.length;
        std::int64_t end = batch.length;
        while (end > 0 && tokens[end - 1] == padding && weights[end - 1] == 0.0f)
            --end;
        longest = std::max(longest, end);
        valid[r].narrow(0, 0, end).fill_(true);
    }
    BatchTensors out;
    out.ids = view(batch.tokens.data(), torch::kInt32).narrow(1, 0, longest).to(torch::kInt64).to(device);
    out.weights = view(batch.weights.data(), torch::kFloat32).narrow(1, 0, longest).clone().to(device);
    out.valid = valid.narrow(1, 0, longest).contiguous().to(device);
    return out;
}

} // namespace postnas::engine
