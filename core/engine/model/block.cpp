// What all blocks share: their weights by name, checked against the block's description, and taking over a teacher's.
#include "core/engine/blocks/block.h"

#include "core/architecture/block_description.h"
#include "core/base/error.h"
#include "core/engine/model/trained_layer.h"
#include "core/engine/model/functional.h"

namespace postnas::engine {
namespace {

std::string shapeText(at::IntArrayRef shape)
{
    std::string out = "[";
    for (std::size_t i = 0; i < shape.size(); ++i)
        out += (i ? ", " : "") + std::to_string(shape[i]);
    return out + "]";
}

bool endsWith(const std::string& text, const std::string& end)
{
    return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

} // namespace

Block::Block(const Architecture& architecture, int layer)
    : m_architecture(&architecture)
    , m_spec(architecture.layers[static_cast<std::size_t>(layer)])
{
    for (const WeightSpec& weight : blockNamed(m_spec.block).weights(architecture, m_spec))
        m_weights[weight.name] = torch::Tensor();
}

const torch::Tensor& Block::weight(const std::string& name) const
{
    const auto it = m_weights.find(name);
    if (it == m_weights.end() || !it->second.defined())
        throw internalError("block " + m_spec.block + " has no weight \"" + name + "\"");
    return it->second;
}

void Block::setWeight(const std::string& name, torch::Tensor value)
{
    for (const WeightSpec& expected : blockNamed(m_spec.block).weights(*m_architecture, m_spec)) {
        if (expected.name != name)
            continue;
        if (value.sizes() != at::IntArrayRef(expected.shape))
            throw inputError("tensor self_attn." + name + " has shape " + shapeText(value.sizes()) + "; " + m_spec.block + " needs "
                             + shapeText(expected.shape));
        m_weights[name] = std::move(value);
        return;
    }
    throw internalError("block " + m_spec.block + " knows no weight \"" + name + "\"");
}

void Block::joinProjections()
{
    for (const char* part : {".weight", ".bias"}) {
        std::vector<torch::Tensor*> found;
        for (const std::string& name : inputProjections())
            if (const auto it = m_weights.find(name + part); it != m_weights.end())
                found.push_back(&it->second);
        joinStorage(found);
    }
}

ops::TokenProduct Block::product(const std::string& name, bool silu) const
{
    const auto bias = m_weights.find(name + ".bias");
    return {weight(name + ".weight"), bias == m_weights.end() ? std::nullopt : std::optional(bias->second), silu};
}

std::vector<torch::Tensor> Block::projectInputs(const torch::Tensor& hidden, const ops::TokenNorm& norm, const ops::Upcoming& upcoming,
                                                const std::string& silu) const
{
    std::vector<ops::TokenProduct> products;
    for (const std::string& name : inputProjections())
        products.push_back(product(name, name == silu));
    return ops::tokenProducts(hidden, norm, products, upcoming);
}

ops::Upcoming Block::firstRead() const
{
    ops::Upcoming out;
    for (const std::string& name : inputProjections())
        out.push_back(weight(name + ".weight"));
    const torch::Tensor together = ops::joined(out);
    return together.defined() ? ops::Upcoming{together} : out;
}

ops::Upcoming Block::outputAndNext(const DecodeContext& context) const
{
    ops::Upcoming out = context.next;
    out.insert(out.begin(), weight("o_proj.weight"));
    return out;
}

void Block::addOutput(torch::Tensor& hidden, const torch::Tensor& y, const DecodeContext& context) const
{
    const ops::TokenProduct out = product("o_proj");
    ops::addProduct(hidden, y, out.weight, out.bias, context.next);
}

std::vector<torch::Tensor> Block::projected(const torch::Tensor& hidden) const
{
    if (!at::GradMode::is_enabled())
        return projectInputs(hidden, {}, {});
    std::vector<torch::Tensor> weights, biases, out;
    for (const std::string& name : inputProjections()) {
        weights.push_back(weight(name + ".weight"));
        biases.push_back(hasWeight(name + ".bias") ? weight(name + ".bias") : torch::Tensor());
    }
    if (hidden.is_cuda() && at::GradMode::is_enabled())
        return projectedTogether(hidden, weights, biases);
    for (std::size_t i = 0; i < weights.size(); ++i)
        out.push_back(at::linear(hidden, weights[i], biases[i]));
    return out;
}

void Block::initialise(torch::Generator& generator, const torch::TensorOptions& options)
{
    for (const WeightSpec& spec : blockNamed(m_spec.block).weights(*m_architecture, m_spec)) {
        // Drawn on the CPU so that a seed gives the same weights on every device.
        torch::Tensor value = torch::empty(spec.shape, torch::kFloat32);
        if (endsWith(spec.name, "bias"))
            value.zero_();
        else if (spec.shape.size() == 1)
            value.fill_(1.0);
        else
            value.normal_(0.0, m_architecture->initializerRange, generator);
        m_weights[spec.name] = value.to(options);
    }
}

std::vector<std::string> Block::initialiseFrom(const Block& teacher)
{
    std::vector<std::string> taken;
    for (const char* name : {"q_proj.weight", "k_proj.weight", "v_proj.weight", "o_proj.weight"}) {
        const auto mine = m_weights.find(name);
        const auto theirs = teacher.m_weights.find(name);
        if (mine == m_weights.end() || theirs == teacher.m_weights.end() || mine->second.sizes() != theirs->second.sizes())
            continue;
        mine->second = theirs->second.detach().to(mine->second.options()).clone();
        taken.emplace_back(name);
    }
    return taken;
}

} // namespace postnas::engine
