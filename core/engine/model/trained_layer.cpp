// Autograd functions over the feed-forward half of a layer, rotated heads and projections of one input.
#include "core/engine/model/trained_layer.h"

#include <algorithm>

#include "kernels/include/decode_operators.h"
#include "kernels/include/prefill_operators.h"
#include "kernels/include/training_operators.h"

namespace postnas::engine {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

Tensor rows(const Tensor& x) { return x.flatten(0, -2); }

/// sum (+)= gradient times weight, the first time into a new tensor.
void addProduct(Tensor& sum, const Tensor& gradient, const Tensor& weight)
{
    if (sum.defined())
        sum.addmm_(gradient, weight);
    else
        sum = at::mm(gradient, weight);
}

/// Gradients of x and, when wanted, of the weight.
std::tuple<Tensor, Tensor> normBackward(const Tensor& gradient, const Tensor& x, const Tensor& scale, const Tensor& weight, double epsilon, bool ofWeight)
{
    if (x.is_cuda())
        return at::_fused_rms_norm_backward(gradient, x, {x.size(1)}, scale, weight, {true, ofWeight});
    const auto [gradX, gradWeight, none] = ops::gatedNormBackward(gradient, x, weight, std::nullopt, epsilon);
    return {gradX, ofWeight ? gradWeight : Tensor()};
}

class FeedForward : public torch::autograd::Function<FeedForward> {
public:
    static Tensor forward(AutogradContext* context, const Tensor& hidden, const Tensor& norm, const Tensor& gate, const Tensor& up, const Tensor& down,
                          double epsilon)
    {
        const Tensor x = rows(hidden);
        const auto [normed, scale] = at::_fused_rms_norm(x, {x.size(1)}, norm, epsilon);
        const Tensor gates = at::linear(normed, gate), ups = at::linear(normed, up);
        context->save_for_backward({x, norm, gate, up, down, scale, gates, ups});
        context->saved_data["epsilon"] = epsilon;
        return at::addmm(x, ops::swiGlu(gates, ups), down.t()).view(hidden.sizes());
    }

    static variable_list backward(AutogradContext* context, const variable_list& upstream)
    {
        const variable_list saved = context->get_saved_variables();
        const Tensor &x = saved[0], &norm = saved[1], &gate = saved[2], &up = saved[3], &down = saved[4], &scale = saved[5];
        const Tensor &gates = saved[6], &ups = saved[7];
        const Tensor gradient = rows(upstream.front());
        const double epsilon = context->saved_data["epsilon"].toDouble();
        variable_list out(6);
        if (context->needs_input_grad(4))
            out[4] = at::mm(gradient.t(), ops::swiGlu(gates, ups));
        const auto [gradGates, gradUps] = ops::swiGluBackward(at::mm(gradient, down), gates, ups);
        if (context->needs_input_grad(2) || context->needs_input_grad(3)) {
            const Tensor normed = std::get<0>(at::_fused_rms_norm(x, {x.size(1)}, norm, epsilon));
            out[2] = at::mm(gradGates.t(), normed);
            out[3] = at::mm(gradUps.t(), normed);
        }
        Tensor gradNormed;
        addProduct(gradNormed, gradGates, gate);
        addProduct(gradNormed, gradUps, up);
        const auto [gradX, gradNorm] = normBackward(gradNormed, x, scale, norm, epsilon, context->needs_input_grad(1));
        out[0] = gradX.add_(gradient).view(upstream.front().sizes());
        out[1] = gradNorm;
        return out;
    }
};

class Rotated : public torch::autograd::Function<Rotated> {
public:
    static variable_list forward(AutogradContext* context, const Tensor& q, const Tensor& k, const Tensor& cosine, const Tensor& sine)
    {
        context->save_for_backward({cosine, sine});
        const auto [rotatedQ, rotatedK] = ops::rotate(q, k, std::nullopt, std::nullopt, 0, cosine, sine);
        return {rotatedQ, rotatedK};
    }
    static variable_list backward(AutogradContext* context, const variable_list& gradients)
    {
        // The transpose of a rotation turns the other way.
        const variable_list saved = context->get_saved_variables();
        const auto [q, k] = ops::rotate(gradients[0].contiguous(), gradients[1].contiguous(), std::nullopt, std::nullopt, 0, saved[0], -saved[1]);
        return {q, k, Tensor(), Tensor()};
    }
};

class ProjectedTogether : public torch::autograd::Function<ProjectedTogether> {
public:
    /// `biasOf`: for each weight the index of its bias, or -1.
    static variable_list forward(AutogradContext* context, const Tensor& x, at::TensorList weights, at::TensorList biases,
                                 const std::vector<std::int64_t>& biasOf)
    {
        variable_list saved = {x}, out;
        saved.insert(saved.end(), weights.begin(), weights.end());
        context->save_for_backward(saved);
        context->saved_data["bias of"] = biasOf;
        for (std::size_t i = 0; i < weights.size(); ++i)
            out.push_back(at::linear(x, weights[i], biasOf[i] < 0 ? Tensor() : biases[static_cast<std::size_t>(biasOf[i])]));
        return out;
    }
    static variable_list backward(AutogradContext* context, const variable_list& gradients)
    {
        const variable_list saved = context->get_saved_variables();
        const std::vector<std::int64_t> biasOf = context->saved_data["bias of"].toIntVector();
        const std::size_t count = saved.size() - 1, biases = static_cast<std::size_t>(std::count_if(biasOf.begin(), biasOf.end(), [](auto i) { return i >= 0; }));
        const Tensor x = rows(saved.front());
        variable_list out(1 + count + biases + 1);
        for (std::size_t i = 0; i < count; ++i) {
            if (!gradients[i].defined())
                continue;
            const Tensor gradient = rows(gradients[i]);
            if (context->needs_input_grad(0))
                addProduct(out.front(), gradient, saved[1 + i]);
            if (context->needs_input_grad(1 + i))
                out[1 + i] = at::mm(gradient.t(), x);
            if (biasOf[i] < 0)
                continue;
            const std::size_t bias = 1 + count + static_cast<std::size_t>(biasOf[i]);
            if (context->needs_input_grad(bias))
                out[bias] = gradient.sum(0);
        }
        if (out.front().defined())
            out.front() = out.front().view(saved.front().sizes());
        return out;
    }
};

} // namespace

Tensor feedForward(const Tensor& hidden, const Tensor& norm, const Tensor& gate, const Tensor& up, const Tensor& down, double epsilon)
{
    return FeedForward::apply(hidden, norm.to(hidden.scalar_type()), gate, up, down, epsilon);
}

std::tuple<Tensor, Tensor> rotated(const Tensor& q, const Tensor& k, const Tensor& cosine, const Tensor& sine)
{
    const variable_list out = Rotated::apply(q, k, cosine, sine);
    return {out[0], out[1]};
}

std::vector<Tensor> projectedTogether(const Tensor& x, const std::vector<Tensor>& weights, const std::vector<Tensor>& biases)
{
    std::vector<Tensor> defined;
    std::vector<std::int64_t> biasOf;
    for (const Tensor& bias : biases) {
        biasOf.push_back(bias.defined() ? static_cast<std::int64_t>(defined.size()) : -1);
        if (bias.defined())
            defined.push_back(bias);
    }
    return ProjectedTogether::apply(x, at::TensorList(weights), at::TensorList(defined), biasOf);
}

} // namespace postnas::engine
