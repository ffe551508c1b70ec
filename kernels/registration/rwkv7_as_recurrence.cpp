// RWKV-7's transition as two tokens of the linear recurrence, one that removes and one that writes; compiled into the CPU and the CUDA library.
#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros_like.h>

#include "kernels/include/implementations.h"

namespace postnas::ops {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;
using Forward = RecurrenceResult(
    const Tensor&, const Tensor&, const Tensor&, const OptionalTensor&, const OptionalTensor&, const OptionalTensor&, double, const OptionalTensor&);
using Backward = RecurrenceBackwardResult(const OptionalTensor&, const OptionalTensor&, const Tensor&, const Tensor&, const Tensor&,
    const OptionalTensor&, const OptionalTensor&, const OptionalTensor&, double, const OptionalTensor&);

Tensor firstTokens(const Tensor& both) { return both.unflatten(1, { both.size(1) / 2, 2 }).select(2, 0); }

/// The recurrence's inputs. The removing token is not asked for an output, and the writing one neither decays nor removes.
struct Tokens {
    Tensor grown, q, k, v, g, beta, removalKey;

    Tokens(const Tensor& r, const Tensor& w, const Tensor& kIn, const Tensor& vIn, const Tensor& kappa, const Tensor& a)
        : grown(w.neg().exp())
        , q(bothTokens(at::zeros_like(r), r))
        , k(bothTokens(a.mul(kappa).to(kIn.scalar_type()), kIn))
        , v(bothTokens(at::zeros_like(vIn), vIn))
        , g(bothTokens(w, at::zeros_like(w)))
        , beta(at::ones({ r.size(0), 2 * r.size(1), r.size(2) }, w.options()))
        , removalKey(bothTokens(kappa.mul(grown).to(r.scalar_type()), at::zeros_like(r)))
    {
    }
};

} // namespace

Tensor bothTokens(const Tensor& first, const Tensor& second) { return at::stack({ first, second }, 2).flatten(1, 2); }
Tensor secondTokens(const Tensor& both) { return both.unflatten(1, { both.size(1) / 2, 2 }).select(2, 1); }

RecurrenceResult rwkv7AsRecurrence(const Tensor& r, const Tensor& w, const Tensor& k, const Tensor& v, const Tensor& kappa, const Tensor& a,
    const OptionalTensor& initialState, double scale)
{
    checkRwkv7(r, w, k, v, kappa, a, initialState);
    static const auto op = c10::Dispatcher::singleton().findSchemaOrThrow("postnas::linear_recurrence", "").typed<Forward>();
    const Tokens t(r, w, k, v, kappa, a);
    const auto [o, state] = op.call(t.q, t.k, t.v, t.g, t.beta, initialState, scale, t.removalKey);
    return { secondTokens(o).contiguous(), state };
}

Rwkv7BackwardResult rwkv7BackwardAsRecurrence(const OptionalTensor& gradO, const OptionalTensor& gradFinalState, const Tensor& r, const Tensor& w,
    const Tensor& k, const Tensor& v, const Tensor& kappa, const Tensor& a, const OptionalTensor& initialState, double scale)
{
    checkRwkv7(r, w, k, v, kappa, a, initialState);
    static const auto op = c10::Dispatcher::singleton().findSchemaOrThrow("postnas::linear_recurrence_backward", "").typed<Backward>();
    const Tokens t(r, w, k, v, kappa, a);
    const OptionalTensor upstream = gradO ? OptionalTensor(bothTokens(at::zeros_like(*gradO), *gradO)) : std::nullopt;
    const auto [q, keys, values, g, beta, state, removalKey]
        = op.call(upstream, gradFinalState, t.q, t.k, t.v, t.g, t.beta, initialState, scale, t.removalKey);
    const Tensor written = firstTokens(keys), removed = firstTokens(removalKey).mul(t.grown); // of a kappa, and of kappa exp(-w) but for kappa
    return { secondTokens(q).contiguous(), firstTokens(g).sub(removed.mul(kappa)).to(w.scalar_type()), secondTokens(keys).contiguous(),
        secondTokens(values).contiguous(), written.mul(a).add(removed).to(kappa.scalar_type()), written.mul(kappa).to(a.scalar_type()), state };
}

} // namespace postnas::ops
