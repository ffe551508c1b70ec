// The linear recurrence, batched and packed, against its formula in float64, token by token.
#include <cmath>

#include <torch/torch.h>

#include "core/engine/benchmark/comparison.h"
#include "kernels/include/implementations.h"
#include "kernels/include/operators.h"

namespace postnas::engine {
namespace {

using torch::Tensor;
using Tensors = std::vector<Tensor>;

enum class Decay { None, Head, Channel };

/// An instance of the recurrence.
struct Rule {
    Decay decay = Decay::Head;
    bool delta = false;
    double strength = 1; ///< the largest log decay of a token
    bool removalKey = false;

    /// What a subject's inputs are: q, k, v, the state, then g where something decays, beta with the delta rule, and the removal key.
    std::optional<Tensor> g(const Tensors& in) const { return decay == Decay::None ? std::nullopt : std::optional(in[4]); }
    std::optional<Tensor> beta(const Tensors& in) const { return delta ? std::optional(in[decay == Decay::None ? 4 : 5]) : std::nullopt; }
    std::optional<Tensor> removed(const Tensors& in) const { return removalKey ? std::optional(in.back()) : std::nullopt; }
};

struct Shape {
    std::int64_t batch, length, heads, key, value;
};

struct Subject : GradientSubject {
    ops::RecurrenceSizes sizes;
};

Tensors recurrence(const Tensors& in, const Rule& rule, double scale)
{
    const Tensor &q = in[0], &k = in[1], &v = in[2];
    Tensor state = in[3];
    Tensors outputs;
    for (std::int64_t t = 0; t < q.size(1); ++t) {
        const Tensor key = k.select(1, t).unsqueeze(-1);
        if (const auto g = rule.g(in)) {
            const Tensor gate = g->select(1, t);
            state = state * (gate.dim() == 2 ? gate.unsqueeze(-1) : gate).unsqueeze(-1).exp();
        }
        Tensor written = v.select(1, t);
        const auto removed = rule.removed(in);
        if (const auto beta = rule.beta(in))
            written = beta->select(1, t).unsqueeze(-1) * (written - (state * (removed ? removed->select(1, t).unsqueeze(-1) : key)).sum(-2));
        state = state + key * written.unsqueeze(-2);
        outputs.push_back(scale * (state * q.select(1, t).unsqueeze(-1)).sum(-2));
    }
    return {torch::stack(outputs, 1), state};
}

std::string nameOf(const Rule& rule)
{
    if (rule.decay == Decay::None)
        return rule.delta ? "delta_rule" : "linear_attention";
    return rule.delta ? "gated_delta_rule" : "gated_linear_attention";
}

Subject subject(const Shape& d, const Rule& rule)
{
    const auto options = torch::TensorOptions().dtype(torch::kFloat64);
    const double scale = 1.0 / std::sqrt(static_cast<double>(d.key));
    Subject s;
    s.name = nameOf(rule);
    s.sizes = {d.batch, d.length, d.heads, d.key, d.value, rule.decay == Decay::Channel, rule.delta, rule.removalKey};
    s.shape = "batch " + std::to_string(d.batch) + ", length " + std::to_string(d.length) + ", heads " + std::to_string(d.heads) + ", key "
        + std::to_string(d.key) + ", value " + std::to_string(d.value);
    if (rule.decay != Decay::None)
        s.shape += std::string(rule.decay == Decay::Channel ? ", gate per channel" : ", gate per head") + (rule.strength > 1 ? ", strong" : "");
    if (rule.removalKey)
        s.shape += ", removal key";
    const auto unitKeys = [&] {
        const Tensor k = torch::randn({d.batch, d.length, d.heads, d.key}, options);
        return k / k.norm(2, {-1}, true);
    };
    s.inputs = {torch::randn({d.batch, d.length, d.heads, d.key}, options), unitKeys(), torch::randn({d.batch, d.length, d.heads, d.value}, options),
                torch::randn({d.batch, d.heads, d.key, d.value}, options)};
    if (rule.decay != Decay::None)
        s.inputs.push_back(-rule.strength
                           * (rule.decay == Decay::Channel ? torch::rand({d.batch, d.length, d.heads, d.key}, options)
                                                           : torch::rand({d.batch, d.length, d.heads}, options)));
    if (rule.delta)
        s.inputs.push_back(torch::rand({d.batch, d.length, d.heads}, options));
    if (rule.removalKey)
        s.inputs.push_back(unitKeys());
    s.formula = [rule, scale](const Tensors& in) { return recurrence(in, rule, scale); };
    s.implementation = [rule, scale](const Tensors& in) -> Tensors {
        const auto [o, state] = ops::linearRecurrence(in[0], in[1], in[2], rule.g(in), rule.beta(in), in[3], scale, rule.removed(in));
        return {o, state};
    };
    return s;
}

/// Three sequences, of which one is a single token, behind each other; the formula takes one after the other.
Subject packed(std::int64_t heads, std::int64_t key, std::int64_t value, const Rule& rule)
{
    const std::vector<std::int64_t> starts = {0, 70, 71, 150};
    Subject s = subject({1, starts.back(), heads, key, value}, rule);
    s.name = "packed_recurrence";
    s.shape += ", packed 70 + 1 + 79" + std::string(rule.delta ? ", delta" : "");
    s.inputs[3] = torch::randn({3, heads, key, value}, torch::kFloat64);
    const double scale = 1.0 / std::sqrt(static_cast<double>(key));
    s.formula = [starts, rule, scale](const Tensors& in) -> Tensors {
        Tensors outputs, states;
        for (std::size_t i = 0; i + 1 < starts.size(); ++i) {
            Tensors one;
            for (std::size_t n = 0; n < in.size(); ++n)
                one.push_back(n == 3 ? in[n].narrow(0, static_cast<std::int64_t>(i), 1) : in[n].narrow(1, starts[i], starts[i + 1] - starts[i]));
            const Tensors out = recurrence(one, rule, scale);
            outputs.push_back(out[0]);
            states.push_back(out[1]);
        }
        return {torch::cat(outputs, 1), torch::cat(states, 0)};
    };
    s.implementation = [starts, rule, scale](const Tensors& in) -> Tensors {
        Tensors rows;
        for (std::size_t n = 0; n < in.size(); ++n)
            rows.push_back(n == 3 ? in[n] : in[n].squeeze(0));
        const auto [o, state] = ops::packedLinearRecurrence(rows[0], rows[1], rows[2], rule.g(rows), rule.beta(rows), rows[3],
                                                            torch::tensor(starts), scale, rule.removed(rows));
        return {o.unsqueeze(0), state};
    };
    return s;
}

/// The formula is RWKV-7's own, with one transition a token.
Subject rwkv7(const Shape& d)
{
    Subject s = subject(d, {Decay::Channel, true, 0.6, true});
    s.name = "rwkv7";
    s.sizes.length *= 2; // of the recurrence
    s.inputs[5] = torch::rand_like(s.inputs[1]); // how much of each channel is removed
    const double scale = 1.0 / std::sqrt(static_cast<double>(d.key));
    s.formula = [scale](const Tensors& in) -> Tensors {
        Tensor state = in[3];
        Tensors outputs;
        for (std::int64_t t = 0; t < in[0].size(1); ++t) {
            const auto column = [&](std::size_t n) { return in[n].select(1, t).unsqueeze(-1); };
            const Tensor kappa = column(6), found = (state * kappa).sum(-2, true);
            state = column(4).exp() * state - column(5) * kappa * found + column(1) * in[2].select(1, t).unsqueeze(-2);
            outputs.push_back(scale * (state * column(0)).sum(-2));
        }
        return {torch::stack(outputs, 1), state};
    };
    s.implementation = [scale](const Tensors& in) -> Tensors {
        const auto [o, state] = ops::rwkv7(in[0], in[4], in[1], in[2], in[6], in[5], in[3], scale);
        return {o, state};
    };
    return s;
}

std::vector<Subject> subjects()
{
    std::vector<Subject> out;
    for (const bool delta : {false, true}) {
        out.push_back(subject({2, 33, 2, 16, 32}, {Decay::Channel, delta}));
        out.push_back(subject({1, 40, 2, 96, 256}, {Decay::Head, delta}));
        out.push_back(subject({1, 70, 1, 128, 40}, {Decay::Head, delta}));
        out.push_back(subject({3, 1, 2, 64, 64}, {Decay::Channel, delta}));
        out.push_back(subject({1, 150, 2, 96, 80}, {Decay::Channel, delta}));
        out.push_back(subject({1, 129, 1, 256, 64}, {Decay::Head, delta}));
        out.push_back(subject({1, 70, 1, 256, 64}, {Decay::Channel, delta}));
        out.push_back(subject({1, 1100, 1, 64, 32}, {Decay::Head, delta}));
        out.push_back(subject({45, 190, 1, 64, 32}, {Decay::Head, delta})); // more chunks than multiprocessors
        // Strong decay leaves few numbers large; of several heads some always are, and differences are relative to the largest.
        out.push_back(subject({1, 140, 4, 64, 48}, {Decay::Head, delta, 30}));
        out.push_back(subject({1, 140, 4, 64, 48}, {Decay::Channel, delta, 30}));
        out.push_back(subject({1, 133, 2, 96, 64}, {Decay::None, delta}));
        out.push_back(subject({0, 20, 2, 64, 64}, {Decay::Head, delta}));
    }
    out.push_back(subject({2, 133, 2, 64, 64}, {Decay::Channel, true, 0.6, true}));
    out.push_back(subject({1, 70, 4, 128, 48}, {Decay::Channel, true, 4, true}));
    out.push_back(subject({1, 33, 1, 64, 32}, {Decay::Head, true, 1, true}));
    out.push_back(rwkv7({2, 70, 2, 64, 64}));
    out.push_back(rwkv7({1, 33, 1, 128, 40}));
    out.push_back(packed(2, 96, 256, {Decay::Head, true}));
    out.push_back(packed(2, 64, 40, {Decay::Channel, true, 1, true}));
    out.push_back(packed(2, 64, 40, {Decay::Channel, false}));
    return out;
}

/// Whether the GPU has the shared memory for chunks: forward, and backward.
std::tuple<bool, bool> chunksFit(const ops::RecurrenceSizes& s)
{
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("postnas::recurrence_chunks_fit", "")
                               .typed<std::tuple<bool, bool>(const Tensor&, std::int64_t, bool, bool, bool)>();
    const auto options = torch::TensorOptions().dtype(torch::kBFloat16).device(torch::kCUDA);
    return op.call(torch::empty({s.batch, s.length, s.heads, s.valueDim}, options), s.keyDim, s.delta, s.decayPerChannel, s.removalKey);
}

/// Which code runs it, and why where it is the slow one.
std::string pathOf(const Subject& s, const std::string& device, torch::ScalarType type)
{
    if (device != "cuda")
        return "native";
    switch (ops::cudaRecurrencePath(s.sizes, type)) {
    case ops::RecurrencePath::Chunks: {
        const auto [forward, backward] = chunksFit(s.sizes);
        return !forward  ? "native, token by token (chunks of these widths need more shared memory than this GPU has)"
            : !backward ? "native, in chunks on the tensor cores, gradients token by token (their chunks need more shared memory than this GPU has)"
                        : "native, in chunks on the tensor cores";
    }
    case ops::RecurrencePath::Tokens:
        return std::string("native, token by token (")
            + (type != torch::kBFloat16  ? "chunks are for bfloat16)"
                    : s.sizes.length < 8 ? "fewer than 8 tokens)"
                                         : "the chunks do not take these shapes)");
    case ops::RecurrencePath::Cpu: break; // the operator says so itself
    }
    return "native";
}

} // namespace

std::vector<OperatorCheck> checkRecurrences(const std::string& device, const std::string& only)
{
    std::vector<OperatorCheck> out;
    for (const Subject& s : subjects()) {
        if (!isChosen(s.name, s.shape, only))
            continue;
        // Inputs are rounded to the type for both sides; what remains in bfloat16 is the rounding of o and of the gradients.
        for (const auto& [type, tolerance] : {std::pair(torch::kFloat32, 1e-4), std::pair(torch::kBFloat16, 2e-2)})
            out.push_back(checkWithGradients(s, device, type, tolerance, pathOf(s, device, type)));
    }
    return out;
}

} // namespace postnas::engine
