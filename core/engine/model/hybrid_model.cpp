// The decoder's forward passes and its table of weights.
#include "core/engine/model/hybrid_model.h"

#include <c10/core/CachingDeviceAllocator.h>

#include "core/base/error.h"
#include "core/engine/model/functional.h"
#include "core/engine/model/trained_layer.h"
#include "kernels/include/decode_operators.h"

namespace postnas::engine {
namespace {

const std::string kLayers = "model.layers.";

/// "model.layers.3.self_attn.q_proj.weight" -> 3 and "self_attn.q_proj.weight"; false for other names.
bool splitLayerName(const std::string& name, int& layer, std::string& rest)
{
    if (name.rfind(kLayers, 0) != 0)
        return false;
    const std::size_t dot = name.find('.', kLayers.size());
    if (dot == std::string::npos)
        return false;
    layer = std::stoi(name.substr(kLayers.size(), dot - kLayers.size()));
    rest = name.substr(dot + 1);
    return true;
}

} // namespace

void ModelState::reset()
{
    for (auto& layer : m_layers)
        layer->reset();
    m_position = 0;
}

void ModelState::assignRow(std::int64_t row, const ModelState& single)
{
    for (std::size_t i = 0; i < m_layers.size(); ++i)
        m_layers[i]->assignRow(row, *single.m_layers[i]);
}

void ModelState::fillRandomly(std::int64_t position)
{
    if (position > m_capacity)
        throw internalError("a state for " + std::to_string(m_capacity) + " tokens cannot hold " + std::to_string(position));
    for (const auto& layer : m_layers)
        layer->fillRandomly(position);
    m_position = position;
}

std::int64_t ModelState::bytes() const
{
    std::int64_t sum = 0;
    for (const auto& layer : m_layers)
        sum += layer->bytes();
    return sum;
}

HybridModel::HybridModel(const Architecture& architecture)
    : m_architecture(architecture)
    , m_layers(architecture.layers.size())
{
    for (int i = 0; i < m_architecture.layerCount(); ++i)
        m_blocks.push_back(makeBlock(m_architecture, i));
}

std::unique_ptr<HybridModel> HybridModel::random(const Architecture& architecture, std::uint64_t seed, torch::Device device, torch::ScalarType dtype)
{
    std::unique_ptr<HybridModel> model(new HybridModel(architecture));
    torch::Generator generator = at::detail::createCPUGenerator(seed);
    const torch::TensorOptions options = torch::TensorOptions().device(device).dtype(dtype);
    for (const WeightSpec& spec : modelWeights(architecture)) {
        int layer = 0;
        std::string rest;
        if (splitLayerName(spec.name, layer, rest) && rest.rfind("self_attn.", 0) == 0)
            continue;
        torch::Tensor value = torch::ones(spec.shape, torch::kFloat32);
        if (spec.shape.size() > 1)
            value.normal_(0.0, architecture.initializerRange, generator);
        model->setWeight(spec.name, value.to(options));
    }
    for (auto& block : model->m_blocks)
        block->initialise(generator, options);
    return model;
}

std::unique_ptr<HybridModel> HybridModel::drawnOnDevice(const Architecture& architecture, torch::Device device, torch::ScalarType dtype)
{
    std::unique_ptr<HybridModel> model(new HybridModel(architecture));
    const torch::TensorOptions options = torch::TensorOptions().device(device).dtype(dtype);
    for (const WeightSpec& spec : modelWeights(architecture)) {
        torch::Tensor value = torch::empty(spec.shape, options);
        const bool bias = spec.name.ends_with("bias");
        model->setWeight(spec.name, spec.shape.size() > 1 ? value.normal_(0.0, architecture.initializerRange) : value.fill_(bias ? 0.0 : 1.0));
    }
    if (device.is_cuda())
        model->joinProjections();
    return model;
}

void HybridModel::setWeight(const std::string& name, const torch::Tensor& value)
{
    int index = 0;
    std::string rest;
    if (name == "model.embed_tokens.weight") {
        m_embedding = value;
        if (m_architecture.tieWordEmbeddings)
            m_head = value;
    } else if (name == "model.norm.weight") {
        m_norm = value;
    } else if (name == "lm_head.weight" && !m_architecture.tieWordEmbeddings) {
        m_head = value;
    } else if (splitLayerName(name, index, rest) && index >= 0 && index < m_architecture.layerCount()) {
        LayerWeights& layer = m_layers[static_cast<std::size_t>(index)];
        if (rest == "input_layernorm.weight")
            layer.inputNorm = value;
        else if (rest == "post_attention_layernorm.weight")
            layer.outputNorm = value;
        else if (rest == "mlp.gate_proj.weight")
            layer.gate = value;
        else if (rest == "mlp.up_proj.weight")
            layer.up = value;
        else if (rest == "mlp.down_proj.weight")
            layer.down = value;
        else if (rest.rfind("self_attn.", 0) == 0)
            m_blocks[static_cast<std::size_t>(index)]->setWeight(rest.substr(10), value);
        else
            throw internalError("weight \"" + name + "\" has no place in the model");
    } else {
        throw internalError("weight \"" + name + "\" has no place in the model");
    }
}

void HybridModel::joinProjections()
{
    for (std::size_t i = 0; i < m_layers.size(); ++i) {
        m_blocks[i]->joinProjections();
        joinStorage({&m_layers[i].gate, &m_layers[i].up});
    }
    // What they lay in before has other sizes than anything that comes.
    if (device().is_cuda())
        at::getDeviceAllocator(at::kCUDA)->emptyCache();
}

std::vector<std::pair<std::string, torch::Tensor>> HybridModel::namedWeights() const
{
    std::vector<std::pair<std::string, torch::Tensor>> out;
    for (const WeightSpec& spec : modelWeights(m_architecture)) {
        int index = 0;
        std::string rest;
        torch::Tensor value;
        if (spec.name == "model.embed_tokens.weight") {
            value = m_embedding;
        } else if (spec.name == "model.norm.weight") {
            value = m_norm;
        } else if (spec.name == "lm_head.weight") {
            value = m_head;
        } else if (splitLayerName(spec.name, index, rest)) {
            const LayerWeights& layer = m_layers[static_cast<std::size_t>(index)];
            if (rest == "input_layernorm.weight")
                value = layer.inputNorm;
            else if (rest == "post_attention_layernorm.weight")
                value = layer.outputNorm;
            else if (rest == "mlp.gate_proj.weight")
                value = layer.gate;
            else if (rest == "mlp.up_proj.weight")
                value = layer.up;
            else if (rest == "mlp.down_proj.weight")
                value = layer.down;
            else
                value = m_blocks[static_cast<std::size_t>(index)]->weight(rest.substr(10));
        }
        out.emplace_back(spec.name, value);
    }
    return out;
}

torch::Tensor HybridModel::embed(const torch::Tensor& ids) const { return at::embedding(m_embedding, ids); }

ForwardContext HybridModel::context(std::int64_t first, std::int64_t length) const
{
    return m_rotary.context(m_architecture, first, length, device());
}

torch::Tensor HybridModel::layer(int index, const Block& mixer, const torch::Tensor& hidden, const ForwardContext& context, BlockState* state) const
{
    const LayerWeights& w = m_layers[static_cast<std::size_t>(index)];
    const double epsilon = m_architecture.rmsNormEpsilon;
    const torch::Tensor mixed = hidden + mixer.forward(rmsNorm(hidden, w.inputNorm, epsilon), context, state);
    if (mixed.is_cuda() && at::GradMode::is_enabled())
        return feedForward(mixed, w.outputNorm, w.gate, w.up, w.down, epsilon);
    const torch::Tensor normed = rmsNorm(mixed, w.outputNorm, epsilon);
    return mixed + at::linear(at::silu(at::linear(normed, w.gate)) * at::linear(normed, w.up), w.down);
}

torch::Tensor HybridModel::layersWithoutGradient(const torch::Tensor& embedded, const ForwardContext& context, ModelState* state,
                                                 const std::vector<const Block*>* mixers,
                                                 const std::function<void(int, const torch::Tensor&)>& visit) const
{
    const auto shape = embedded.sizes();
    const double epsilon = m_architecture.rmsNormEpsilon;
    torch::Tensor hidden = embedded.flatten(0, 1), normed = rmsNorm(hidden, m_layers.front().inputNorm, epsilon);
    for (std::size_t i = 0; i < m_layers.size(); ++i) {
        const LayerWeights& w = m_layers[i];
        const torch::Tensor mixed = mixer(static_cast<int>(i), mixers).forward(normed.view(shape), context, state ? state->m_layers[i].get() : nullptr);
        std::tie(hidden, normed) = ops::residualNorm(mixed.flatten(0, 1), hidden, w.outputNorm, epsilon);
        const torch::Tensor inner = ops::swiGlu(at::linear(normed, w.gate), at::linear(normed, w.up));
        if (inner.scalar_type() == hidden.scalar_type()) // added while the product is written; not so under autocast
            hidden.addmm_(inner, w.down.t());
        else
            hidden = hidden + at::linear(inner, w.down);
        if (i + 1 < m_layers.size())
            normed = rmsNorm(hidden, m_layers[i + 1].inputNorm, epsilon);
        if (visit)
            visit(static_cast<int>(i), hidden.view(shape));
    }
    return hidden.view(shape);
}

torch::Tensor HybridModel::logits(const torch::Tensor& hidden) const
{
    return ops::unroundedProduct(finalNorm(hidden), m_head);
}

torch::Tensor HybridModel::finalNorm(const torch::Tensor& hidden) const { return rmsNorm(hidden, m_norm, m_architecture.rmsNormEpsilon); }

const Block& HybridModel::mixer(int layer, const std::vector<const Block*>* mixers) const
{
    return mixers != nullptr ? *(*mixers)[static_cast<std::size_t>(layer)] : block(layer);
}

torch::Tensor HybridModel::forward(const torch::Tensor& ids, const std::vector<const Block*>* mixers,
                                   const std::function<void(int, const torch::Tensor&)>& visit) const
{
    torch::Tensor hidden = embed(ids);
    const ForwardContext positions = context(0, ids.size(1));
    if (!at::GradMode::is_enabled())
        return layersWithoutGradient(hidden, positions, nullptr, mixers, visit);
    for (int i = 0; i < m_architecture.layerCount(); ++i) {
        hidden = layer(i, mixer(i, mixers), hidden, positions, nullptr);
        if (visit)
            visit(i, hidden);
    }
    return hidden;
}

ModelState HybridModel::makeState(std::int64_t batch, std::int64_t capacity, const std::vector<const Block*>* mixers) const
{
    ModelState state;
    state.m_capacity = capacity;
    const torch::TensorOptions options = torch::TensorOptions().device(device()).dtype(dtype());
    for (int i = 0; i < m_architecture.layerCount(); ++i) {
        state.m_layers.push_back(mixer(i, mixers).makeState(batch, capacity, options));
        if (m_recurrentType)
            state.m_layers.back()->holdRecurrentIn(*m_recurrentType);
    }
    return state;
}

torch::Tensor HybridModel::extend(const torch::Tensor& ids, ModelState& state, const std::vector<const Block*>* mixers) const
{
    const std::int64_t length = ids.size(1);
    if (state.m_position + length > state.m_capacity)
        throw resourceError("the sequence of " + std::to_string(state.m_position + length) + " tokens is longer than its state was made for ("
                            + std::to_string(state.m_capacity) + ")");
    torch::Tensor hidden = embed(ids);
    const ForwardContext positions = context(state.m_position, length);
    if (!at::GradMode::is_enabled())
        hidden = layersWithoutGradient(hidden, positions, &state, mixers, {});
    else
        for (int i = 0; i < m_architecture.layerCount(); ++i)
            hidden = layer(i, mixer(i, mixers), hidden, positions, state.m_layers[static_cast<std::size_t>(i)].get());
    state.m_position += length;
    return hidden;
}

torch::Tensor HybridModel::decode(const torch::Tensor& ids, const torch::Tensor& lengths, ModelState& state, const std::vector<const Block*>* mixers) const
{
    const ForwardContext tables = context(0, state.m_capacity);
    DecodeContext positions{tables.cosine, tables.sine, lengths};
    const double epsilon = m_architecture.rmsNormEpsilon;
    torch::Tensor hidden = embed(ids);
    for (int i = 0; i < m_architecture.layerCount(); ++i) {
        const auto at = static_cast<std::size_t>(i);
        const LayerWeights& w = m_layers[at];
        positions.next = {w.gate, w.up};
        mixer(i, mixers).decode(hidden, {w.inputNorm, epsilon}, positions, *state.m_layers[at]);
        const torch::Tensor inner = ops::gatedProduct(hidden, {w.outputNorm, epsilon}, w.gate, w.up, {w.down});
        ops::addProduct(hidden, inner, w.down, std::nullopt, at + 1 < m_layers.size() ? mixer(i + 1, mixers).firstRead() : ops::Upcoming{m_head});
    }
    return ops::tokenProducts(hidden, {m_norm, epsilon}, {{m_head, std::nullopt, false, true}})[0];
}

} // namespace postnas::engine
