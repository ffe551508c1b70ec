// Building the supernet's paths, and turning a placement of it into a model of its own.
#include "core/engine/postnas/supernet.h"

#include <algorithm>
#include <random>

#include "core/architecture/block_description.h"
#include "core/base/error.h"

namespace postnas::engine {
namespace {

std::string pathName(int layer) { return "layers." + std::to_string(layer) + "."; }

bool contains(const LayerSet& layers, int layer) { return std::binary_search(layers.begin(), layers.end(), layer); }

} // namespace

Supernet::Supernet(std::shared_ptr<const HybridModel> teacher, const LayerSpec& linear, bool initialiseFromTeacher, std::uint64_t seed)
    : m_teacher(std::move(teacher))
    , m_linearArchitecture(m_teacher->architecture())
{
    for (LayerSpec& layer : m_linearArchitecture.layers)
        layer = linear;
    validate(m_linearArchitecture, "linear_block");
    torch::Generator generator = at::detail::createCPUGenerator(seed);
    // Masters are float32 whatever the teacher's type is.
    const torch::TensorOptions options = torch::TensorOptions().device(m_teacher->device()).dtype(torch::kFloat32);
    for (int i = 0; i < layerCount(); ++i) {
        m_linear.push_back(makeBlock(m_linearArchitecture, i));
        m_linear.back()->initialise(generator, options);
        if (initialiseFromTeacher)
            m_takenOver = m_linear.back()->initialiseFrom(m_teacher->block(i));
        const std::map<std::string, torch::Tensor> masters = m_linear.back()->weights();
        for (const auto& [name, master] : masters) {
            m_weights.push_back(trainedWeight(pathName(i) + name, master, m_teacher->dtype()));
            m_linear.back()->setWeight(name, m_weights.back().compute);
        }
    }
}

void Supernet::addSlidingWindows(std::int64_t window)
{
    m_slidingArchitecture = m_teacher->architecture();
    for (LayerSpec& layer : m_slidingArchitecture.layers) {
        layer = blockNamed("sliding_window").defaultLayer(m_slidingArchitecture);
        layer.parameters["window_size"] = window;
    }
    validate(m_slidingArchitecture, "sliding_window");
    m_sliding.clear();
    for (int i = 0; i < layerCount(); ++i) {
        m_sliding.push_back(makeBlock(m_slidingArchitecture, i));
        for (const auto& [name, tensor] : m_teacher->block(i).weights())
            m_sliding.back()->setWeight(name, tensor);
    }
}

std::vector<const Block*> Supernet::mixers(const LayerSet& full, const LayerSet& sliding) const
{
    std::vector<const Block*> out;
    for (int i = 0; i < layerCount(); ++i) {
        if (contains(full, i))
            out.push_back(&m_teacher->block(i));
        else if (contains(sliding, i))
            out.push_back(m_sliding.at(static_cast<std::size_t>(i)).get());
        else
            out.push_back(m_linear[static_cast<std::size_t>(i)].get());
    }
    return out;
}

LayerSpec Supernet::specOf(int layer, const LayerSet& full, const LayerSet& sliding) const
{
    const auto index = static_cast<std::size_t>(layer);
    if (contains(full, layer))
        return m_teacher->architecture().layers[index];
    return contains(sliding, layer) ? m_slidingArchitecture.layers.at(index) : m_linearArchitecture.layers[index];
}

Architecture Supernet::architectureOf(const LayerSet& full, const LayerSet& sliding) const
{
    Architecture out = m_teacher->architecture();
    for (int i = 0; i < layerCount(); ++i)
        out.layers[static_cast<std::size_t>(i)] = specOf(i, full, sliding);
    return out;
}

NamedTensors Supernet::weightsOf(const LayerSet& full, const LayerSet& sliding) const
{
    const Architecture architecture = architectureOf(full, sliding);
    const std::vector<const Block*> blocks = mixers(full, sliding);
    std::map<std::string, torch::Tensor> shared;
    for (auto& [name, tensor] : m_teacher->namedWeights())
        shared.emplace(name, tensor);
    for (int i = 0; i < layerCount(); ++i)
        for (const auto& [name, tensor] : blocks[static_cast<std::size_t>(i)]->weights())
            shared["model." + pathName(i) + "self_attn." + name] = tensor;
    for (const TrainedWeight& weight : m_weights) {
        const std::size_t dot = weight.name.find('.', std::string("layers.").size()) + 1; // behind the layer's number
        const int layer = std::stoi(weight.name.substr(std::string("layers.").size()));
        if (!contains(full, layer) && !contains(sliding, layer))
            shared["model." + pathName(layer) + "self_attn." + weight.name.substr(dot)] = weight.master;
    }
    NamedTensors out;
    for (const WeightSpec& weight : modelWeights(architecture))
        out.emplace_back(weight.name, shared.at(weight.name));
    return out;
}

LayerSet randomPath(int layers, double probability, std::uint64_t seed, std::int64_t step)
{
    // A generator of its own for each step: a resumed run needs no generator state.
    std::seed_seq seeds {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32), static_cast<std::uint32_t>(step),
                         static_cast<std::uint32_t>(static_cast<std::uint64_t>(step) >> 32)};
    std::mt19937_64 random(seeds);
    LayerSet full;
    for (int i = 0; i < layers; ++i)
        if (static_cast<double>(random() >> 11) * 0x1.0p-53 < probability)
            full.push_back(i);
    return full;
}

} // namespace postnas::engine
