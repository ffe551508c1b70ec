// The linear recurrence of packed sequences, one after the other; compiled into the CPU and the CUDA library.
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>

#include "kernels/include/implementations.h"

namespace postnas::ops {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;
using Forward = RecurrenceResult(const Tensor&, const Tensor&, const Tensor&, const OptionalTensor&, const OptionalTensor&, const OptionalTensor&,
                                 double, const OptionalTensor&);
using Backward = RecurrenceBackwardResult(const OptionalTensor&, const OptionalTensor&, const Tensor&, const Tensor&, const Tensor&, const OptionalTensor&,
                                          const OptionalTensor&, const OptionalTensor&, double, const OptionalTensor&);

/// Rows `first` to `last`, as a batch of one.
OptionalTensor part(const OptionalTensor& t, std::int64_t first, std::int64_t last)
{
    return t ? OptionalTensor(t->slice(0, first, last).unsqueeze(0)) : std::nullopt;
}
OptionalTensor stateOf(const OptionalTensor& t, std::int64_t sequence) { return t ? OptionalTensor(t->slice(0, sequence, sequence + 1)) : std::nullopt; }

} // namespace

RecurrenceResult packedRecurrenceOneByOne(const Tensor& q, const Tensor& k, const Tensor& v, const OptionalTensor& g, const OptionalTensor& beta,
                                          const OptionalTensor& initialState, const Tensor& starts, double scale, const OptionalTensor& removalKey)
{
    const RecurrenceSizes s = checkPackedRecurrence(q, k, v, g, beta, initialState, starts, removalKey);
    const std::int64_t* first = starts.const_data_ptr<std::int64_t>();
    const at::ScalarType wide = v.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    static const auto op = c10::Dispatcher::singleton().findSchemaOrThrow("postnas::linear_recurrence", "").typed<Forward>();
    // Empty pieces first, so that there is something to put together without a sequence too.
    std::vector<Tensor> outputs = {at::empty({0, s.heads, s.valueDim}, v.options())};
    std::vector<Tensor> states = {at::empty({0, s.heads, s.keyDim, s.valueDim}, v.options().dtype(wide))};
    for (std::int64_t i = 0; i + 1 < starts.numel(); ++i) {
        const auto [o, state] = op.call(*part(q, first[i], first[i + 1]), *part(k, first[i], first[i + 1]), *part(v, first[i], first[i + 1]),
                                                 part(g, first[i], first[i + 1]), part(beta, first[i], first[i + 1]), stateOf(initialState, i), scale,
                                                 part(removalKey, first[i], first[i + 1]));
        outputs.push_back(o.squeeze(0));
        states.push_back(state);
    }
    return {at::cat(outputs, 0), at::cat(states, 0)};
}

RecurrenceBackwardResult packedRecurrenceBackwardOneByOne(const OptionalTensor& gradO, const OptionalTensor& gradFinalState, const Tensor& q, const Tensor& k,
                                                          const Tensor& v, const OptionalTensor& g, const OptionalTensor& beta,
                                                          const OptionalTensor& initialState, const Tensor& starts, double scale,
                                                          const OptionalTensor& removalKey)
{
    checkPackedRecurrence(q, k, v, g, beta, initialState, starts, removalKey);
    static const auto op = c10::Dispatcher::singleton().findSchemaOrThrow("postnas::linear_recurrence_backward", "").typed<Backward>();
    const std::int64_t* first = starts.const_data_ptr<std::int64_t>();
    const auto empty = [](const OptionalTensor& like) { return like ? std::vector<Tensor> {like->slice(0, 0, 0)} : std::vector<Tensor>(); };
    constexpr int kCount = 7, kState = 5;
    std::vector<Tensor> pieces[kCount] = {empty(q), empty(k), empty(v), empty(g), empty(beta), empty(initialState), empty(removalKey)};
    for (std::int64_t i = 0; i + 1 < starts.numel(); ++i) {
        const auto gradients = op.call(part(gradO, first[i], first[i + 1]), stateOf(gradFinalState, i), *part(q, first[i], first[i + 1]),
                                       *part(k, first[i], first[i + 1]), *part(v, first[i], first[i + 1]), part(g, first[i], first[i + 1]),
                                       part(beta, first[i], first[i + 1]), stateOf(initialState, i), scale, part(removalKey, first[i], first[i + 1]));
        const Tensor each[kCount] = {std::get<0>(gradients), std::get<1>(gradients), std::get<2>(gradients),
                                std::get<3>(gradients), std::get<4>(gradients), std::get<5>(gradients), std::get<6>(gradients)};
        for (int n = 0; n < kCount; ++n)
            if (each[n].defined())
                pieces[n].push_back(n == kState ? each[n] : each[n].squeeze(0));
    }
    const auto together = [](const std::vector<Tensor>& parts) { return parts.empty() ? Tensor() : at::cat(parts, 0); };
    return {together(pieces[0]), together(pieces[1]), together(pieces[2]), together(pieces[3]), together(pieces[4]), together(pieces[5]),
            together(pieces[6])};
}

} // namespace postnas::ops
