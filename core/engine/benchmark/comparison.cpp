// Runs operators and their references on the same rounded inputs.
#include "core/engine/benchmark/comparison.h"

#include "kernels/include/slow_paths.h"

namespace postnas::engine {
namespace {

using torch::Tensor;
using Tensors = std::vector<Tensor>;

OperatorCheck named(const std::string& name, const std::string& shape, const std::string& device, torch::ScalarType type, double tolerance)
{
    OperatorCheck out;
    out.name = name;
    out.device = device;
    out.dtype = type == torch::kFloat32 ? "float32" : "bfloat16";
    out.shape = shape;
    out.tolerance = tolerance;
    return out;
}

/// `path`, unless operators have left their kernels since slowPathsTaken was last asked.
std::string pathTaken(const std::string& path)
{
    std::string out;
    for (const std::string& slow : slowPathsTaken())
        out += (out.empty() ? "slow, " : "; ") + slow;
    return out.empty() ? path : out;
}

/// Outputs, and the gradients of a fixed weighted sum of them.
std::pair<Tensors, Tensors> evaluate(const GradientSubject::Function& function, const Tensors& inputs, const Tensors& weights)
{
    Tensors leaves;
    for (const Tensor& t : inputs)
        leaves.push_back(t.detach().clone().requires_grad_());
    const Tensors outputs = function(leaves);
    Tensor loss = torch::zeros({}, outputs.front().options().dtype(torch::kFloat64));
    for (std::size_t i = 0; i < outputs.size(); ++i)
        loss = loss + (outputs[i].to(torch::kFloat64) * weights[i].to(outputs[i].device())).sum();
    return {outputs, torch::autograd::grad({loss}, leaves)};
}

} // namespace

std::vector<OperatorCheck> checkAgainstReferences(const std::vector<ReferenceSubject>& subjects, const std::string& device, const std::string& only)
{
    const torch::InferenceMode guard;
    std::vector<OperatorCheck> out;
    for (const ReferenceSubject& s : subjects) {
        if (!isChosen(s.name, s.shape, only))
            continue;
        for (const torch::ScalarType type : {torch::kFloat32, torch::kBFloat16}) {
            Tensors rounded, inputs;
            for (const Tensor& t : s.inputs) {
                const Tensor narrow = t.is_floating_point() ? t.to(type) : t.clone();
                inputs.push_back(narrow.to(torch::Device(device)));
                rounded.push_back(t.is_floating_point() ? narrow.to(torch::kFloat64) : t.clone());
            }
            OperatorCheck c = named(s.name, s.shape, device, type, type == torch::kFloat32 ? 1e-4 : 2e-2);
            slowPathsTaken();
            const Tensors actual = s.call(inputs);
            c.path = pathTaken("native");
            c.forwardDifference = largestRelativeDifference(actual, s.call(rounded));
            c.passed = c.forwardDifference <= c.tolerance;
            out.push_back(c);
        }
    }
    return out;
}

OperatorCheck checkWithGradients(const GradientSubject& s, const std::string& device, torch::ScalarType type, double tolerance, const std::string& path)
{
    OperatorCheck out = named(s.name, s.shape, device, type, tolerance);
    out.differentiable = true;
    // The formula sees what the operator sees: inputs, and the gradients of the outputs, already rounded to its type.
    Tensors rounded, inputs, weights;
    for (const Tensor& t : s.inputs) {
        inputs.push_back(t.to(type).to(torch::Device(device)));
        rounded.push_back(t.to(type).to(torch::kFloat64));
    }
    for (const Tensor& t : s.formula(rounded))
        weights.push_back(torch::randn_like(t).to(type).to(torch::kFloat64));
    const auto [expected, expectedGradients] = evaluate(s.formula, rounded, weights);
    slowPathsTaken();
    const auto [actual, actualGradients] = evaluate(s.implementation, inputs, weights);
    out.path = pathTaken(path);
    out.forwardDifference = largestRelativeDifference(actual, expected);
    out.gradientDifference = largestRelativeDifference(actualGradients, expectedGradients);
    out.passed = out.forwardDifference <= tolerance && out.gradientDifference <= tolerance;
    return out;
}

} // namespace postnas::engine
