// Groups requests by equal inputs, sorts them by length, and reads the logits only where a continuation stands.
#include "core/engine/evaluation/likelihood.h"

#include <algorithm>
#include <map>

#include "core/base/error.h"

namespace postnas::engine {
namespace {

/// One sequence to run and the requests that it answers.
struct Row {
    std::vector<std::int32_t> input;
    std::vector<std::size_t> requests;
};

std::vector<Row> groupRows(const std::vector<LikelihoodRequest>& requests)
{
    std::map<std::vector<std::int32_t>, std::vector<std::size_t>> groups;
    for (std::size_t i = 0; i < requests.size(); ++i) {
        if (requests[i].context.empty() || requests[i].continuation.empty())
            throw internalError("a likelihood needs a context and a continuation");
        std::vector<std::int32_t> input = requests[i].context;
        input.insert(input.end(), requests[i].continuation.begin(), requests[i].continuation.end() - 1);
        groups[std::move(input)].push_back(i);
    }
    std::vector<Row> rows;
    for (auto& [input, members] : groups)
        rows.push_back({input, std::move(members)});
    std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.input.size() > b.input.size(); });
    return rows;
}

void scoreBatch(const HybridModel& model, const std::vector<const Block*>* mixers, const std::vector<LikelihoodRequest>& requests,
                const Row* rows, std::size_t count, std::vector<Likelihood>& out)
{
    const auto length = static_cast<std::int64_t>(rows[0].input.size());
    torch::Tensor ids = torch::zeros({static_cast<std::int64_t>(count), length}, torch::kInt64);
    auto access = ids.accessor<std::int64_t, 2>();
    // Positions (flattened) whose logits are needed, their targets, and the request each belongs to.
    std::vector<std::int64_t> positions, targets;
    std::vector<std::size_t> owners;
    for (std::size_t r = 0; r < count; ++r) {
        for (std::size_t t = 0; t < rows[r].input.size(); ++t)
            access[static_cast<std::int64_t>(r)][static_cast<std::int64_t>(t)] = rows[r].input[t];
        for (const std::size_t request : rows[r].requests) {
            const auto& continuation = requests[request].continuation;
            const std::size_t first = rows[r].input.size() - continuation.size();
            for (std::size_t k = 0; k < continuation.size(); ++k) {
                positions.push_back(static_cast<std::int64_t>(r) * length + static_cast<std::int64_t>(first + k));
                targets.push_back(continuation[k]);
                owners.push_back(request);
            }
        }
    }
    const torch::Tensor hidden = model.forward(ids.to(model.device()), mixers).flatten(0, 1);
    const auto options = torch::TensorOptions().dtype(torch::kInt64);
    // The vocabulary is the wide dimension: a slice of positions at a time keeps the logits small.
    constexpr std::int64_t kSlice = 1024;
    const torch::Tensor index = torch::tensor(positions, options).to(model.device());
    const torch::Tensor target = torch::tensor(targets, options).to(model.device());
    for (std::int64_t begin = 0; begin < index.size(0); begin += kSlice) {
        const std::int64_t end = std::min(index.size(0), begin + kSlice);
        const torch::Tensor logits = model.logits(hidden.index_select(0, index.slice(0, begin, end)));
        const torch::Tensor wanted = target.slice(0, begin, end);
        const torch::Tensor log = at::log_softmax(logits, -1).gather(1, wanted.unsqueeze(1)).squeeze(1).to(torch::kCPU, torch::kFloat64).contiguous();
        const torch::Tensor greedy = logits.argmax(-1).eq(wanted).to(torch::kCPU).contiguous();
        for (std::int64_t i = begin; i < end; ++i) {
            Likelihood& likelihood = out[owners[static_cast<std::size_t>(i)]];
            likelihood.logProbability += log.data_ptr<double>()[i - begin];
            likelihood.greedy = likelihood.greedy && greedy.data_ptr<bool>()[i - begin];
        }
    }
}

} // namespace

std::vector<Likelihood> likelihoods(const HybridModel& model, const std::vector<const Block*>* mixers,
                                    const std::vector<LikelihoodRequest>& requests, std::int64_t tokensPerBatch,
                                    const CancellationToken& cancellation)
{
    const torch::InferenceMode guard;
    std::vector<Likelihood> out(requests.size(), Likelihood {0.0, true});
    const std::vector<Row> rows = groupRows(requests);
    for (std::size_t begin = 0; begin < rows.size();) {
        cancellation.throwIfCancelled();
        const auto length = static_cast<std::int64_t>(rows[begin].input.size());
        const std::size_t count = std::min<std::size_t>(rows.size() - begin, static_cast<std::size_t>(std::max<std::int64_t>(1, tokensPerBatch / length)));
        scoreBatch(model, mixers, requests, &rows[begin], count, out);
        begin += count;
    }
    return out;
}

} // namespace postnas::engine
