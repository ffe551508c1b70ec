// Times real steps of the placement stage's training on random tokens.
#include "core/engine/benchmark/training_speed.h"

#include <algorithm>

#include <c10/core/CachingDeviceAllocator.h>
#include <torch/torch.h>

#include "core/architecture/block_description.h"
#include "core/engine/benchmark/timing.h"
#include "core/engine/model/tensor_io.h"
#include "core/engine/postnas/supernet_training.h"

namespace postnas::engine {
namespace {

/// Operations of one sequence through a layer of this kind.
struct LayerFlops {
    double weights = 0;   ///< two for each element of a weight and token
    double state = 0;     ///< the rest of the mixer
    double trainable = 0; ///< those of the mixer's own weights
};

LayerFlops layerFlops(const Architecture& a, int layer, std::int64_t length)
{
    Architecture one = a, none = a;
    one.layers = {a.layers[static_cast<std::size_t>(layer)]};
    none.layers.clear();
    LayerFlops out;
    for (const WeightSpec& weight : modelWeights(one)) {
        const bool mixer = weight.name.find(".self_attn.") != std::string::npos;
        if (!mixer && weight.name.find(".mlp.") == std::string::npos)
            continue;
        const double products = 2.0 * static_cast<double>(length) * static_cast<double>(elementCount(weight));
        out.weights += products;
        if (mixer)
            out.trainable += products;
    }
    out.state = std::max(0.0, prefillFlops(one, length) - prefillFlops(none, length) - out.weights);
    return out;
}

/// A step: the teacher, the student, and gradients from the first layer on whose path trains. A gradient of a product's input costs what the
/// product costs, and so does one of its weight; the rest of a mixer costs twice its forward pass.
double stepFlops(const Supernet& supernet, const LayerSet& full, std::int64_t batch, std::int64_t length)
{
    const Architecture student = supernet.architectureOf(full);
    double sum = 0;
    bool gradients = false;
    for (int i = 0; i < supernet.layerCount(); ++i) {
        const LayerFlops teacher = layerFlops(supernet.teacher().architecture(), i, length), own = layerFlops(student, i, length);
        const bool trains = !std::binary_search(full.begin(), full.end(), i);
        gradients = gradients || trains;
        sum += teacher.weights + teacher.state + own.weights + own.state;
        if (gradients)
            sum += own.weights + 2 * own.state + (trains ? own.trainable : 0);
    }
    return static_cast<double>(batch) * sum;
}

} // namespace

TrainingSpeedReport measureTrainingSpeed(const TrainingSpeedRequest& request, const CancellationToken& cancellation)
{
    const torch::Device device(request.device);
    const torch::ScalarType type = scalarTypeNamed(request.dtype);
    TrainingSpeedReport report;
    report.rates = measureMachineRates(request.device, request.dtype);
    const std::shared_ptr<const HybridModel> teacher = HybridModel::drawnOnDevice(request.architecture, device, type);
    const LayerSpec linear = blockNamed(request.block).defaultLayer(request.architecture);
    Supernet supernet(teacher, linear, true, 1);
    SupernetTrainerOptions options;
    options.fullProbability = request.fullProbability;
    options.seed = 1;
    options.recompute = request.recompute;
    SupernetTrainer trainer(supernet, options);
    report.parameters = parameterCount(request.architecture);
    for (const TrainedWeight& weight : supernet.weights())
        report.trainable += weight.master.numel();

    const torch::Tensor valid = torch::ones({request.batch, request.length}, torch::TensorOptions().dtype(torch::kBool).device(device));
    std::int64_t step = 0;
    const auto once = [&] {
        const torch::Tensor ids = torch::randint(request.architecture.vocabularySize, {request.batch, request.length},
                                                 torch::TensorOptions().dtype(torch::kInt64).device(device));
        const double loss = trainer.backward(ids, valid, step++);
        trainer.optimizer().step(1e-4);
        return loss;
    };
    constexpr int kWarmUp = 2;
    for (int i = 0; i < request.steps + kWarmUp; ++i) {
        if (i == kWarmUp && device.is_cuda())
            at::getDeviceAllocator(at::kCUDA)->resetPeakStats(0);
        cancellation.throwIfCancelled();
        TrainingStepTiming timing;
        const LayerSet full = trainer.path(step);
        timing.fullLayers = static_cast<std::int64_t>(full.size());
        timing.seconds = secondsOf(device, [&] { timing.loss = once(); });
        timing.recomputedLayers = trainer.recomputedLayers();
        timing.flops = stepFlops(supernet, full, request.batch, request.length);
        if (i >= kWarmUp)
            report.steps.push_back(timing);
    }
    double seconds = 0;
    for (const TrainingStepTiming& s : report.steps) {
        seconds += s.seconds;
        report.flopsPerStep += s.flops / static_cast<double>(report.steps.size());
    }
    report.tokensPerSecond = static_cast<double>(request.steps * request.batch * request.length) / seconds;
    if (device.is_cuda())
        report.peakBytes = static_cast<double>(
            at::getDeviceAllocator(at::kCUDA)->getDeviceStats(0).allocated_bytes[static_cast<std::size_t>(c10::CachingAllocator::StatType::AGGREGATE)].peak);
    if (!request.trace.empty())
        report.kernels = traceOf(request.device, request.trace, [&] { once(); });
    return report;
}

} // namespace postnas::engine
