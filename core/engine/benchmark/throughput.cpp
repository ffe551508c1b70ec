// Times prompts and decoding steps of a model, and the copy and the matrix product that bound them.
#include "core/engine/benchmark/throughput.h"

#include <algorithm>
#include <limits>

#include <c10/core/CachingDeviceAllocator.h>
#include <torch/torch.h>

#include "core/base/error.h"
#include "core/base/memory.h"
#include "core/engine/benchmark/timing.h"
#include "core/engine/generation/decode_speed.h"
#include "core/engine/generation/prompt.h"
#include "core/engine/model/hybrid_model.h"
#include "core/engine/model/load_options.h"
#include "core/engine/model/tensor_io.h"
#include "core/engine/runtime.h"
#include "core/huggingface/checkpoint.h"

namespace postnas::engine {
namespace {

constexpr double kReadTwice = 20; ///< seconds of a prompt up to which a second reading counts

double bestOf(int runs, const torch::Device& device, const std::function<void()>& f)
{
    f();
    double best = std::numeric_limits<double>::infinity();
    for (int i = 0; i < runs; ++i)
        best = std::min(best, secondsOf(device, f));
    return best;
}

StateTypes stateTypesOf(const HybridModel& model)
{
    StateTypes types;
    types.cacheElementBytes = static_cast<int>(c10::elementSize(model.dtype()));
    types.recurrentElementBytes = static_cast<int>(c10::elementSize(model.recurrentType()));
    return types;
}

double freeBytes(const torch::Device& device)
{
    // What torch holds of an earlier row, and does not use, is free for this one.
    if (device.is_cuda())
        at::getDeviceAllocator(at::kCUDA)->emptyCache();
    return device.is_cuda() ? static_cast<double>(at::getDeviceAllocator(at::kCUDA)->getMemoryInfo(0).first)
                            : static_cast<double>(availableMemoryBytes());
}

/// The largest batch whose states and logits fit, with some memory kept for what passes through the layers. Logits count twice: of a step by itself
/// and of a recorded one.
std::int64_t largestBatch(const HybridModel& model, std::int64_t context)
{
    const double each = stateSize(model.architecture(), context, stateTypesOf(model)).total() + 2.0 * sizeof(float) * model.architecture().vocabularySize;
    const auto fits = static_cast<std::int64_t>(0.93 * freeBytes(model.device()) / std::max(each, 1.0));
    if (fits < 1)
        throw resourceError("not even one sequence of " + std::to_string(context) + " tokens fits beside the weights", "Measure a shorter context.");
    // A product takes the sequences in tiles of up to 256, and the last one costs as much as a whole one.
    const std::int64_t tile = fits >= 1536 ? 256 : fits > 8 ? 8 : 1;
    return fits / tile * tile;
}

class Measurement {
public:
    Measurement(const HybridModel& model, const ThroughputRequest& request, const CancellationToken& cancellation)
        : m_model(model)
        , m_request(request)
        , m_cancellation(cancellation)
        , m_chunk(promptChunk(request.chunk, model.device()))
    {
    }

    ThroughputRow row(std::int64_t context)
    {
        const Architecture& a = m_model.architecture();
        ThroughputRow out;
        out.context = context;
        out.batch = m_request.batch > 0 ? m_request.batch : largestBatch(m_model, context);
        const StateTypes types = stateTypesOf(m_model);
        out.stateFormulaBytes = static_cast<double>(out.batch) * stateSize(a, context, types).total();
        if (m_request.prefill) {
            out.chunk = m_chunk;
            ModelState state = m_model.makeState(out.batch, context);
            out.stateBytes = static_cast<double>(state.bytes());
            read(state, out.batch, std::min(context, m_chunk)); // shapes that are new to the libraries cost time once
            state.reset();
            const auto timedReading = [&] { return secondsOf(m_model.device(), [&] { read(state, out.batch, context); }); };
            out.prefillSeconds = timedReading();
            if (m_model.device().is_cuda() && out.prefillSeconds < kReadTwice) { // later pieces have shapes of their own
                state.reset();
                out.prefillSeconds = timedReading();
            }
            out.prefillTokensPerSecond = static_cast<double>(out.batch * context) / out.prefillSeconds;
            out.prefillFlops = static_cast<double>(out.batch) * prefillFlops(a, context);
            if (!m_request.trace.empty()) {
                state.reset();
                out.prefillTrace = trace("prefill", context, [&] { read(state, out.batch, context); });
            }
        }
        if (m_request.decode) {
            out.decodeSeconds = secondsOfSteps(out);
            out.decodeTokensPerSecond = static_cast<double>(out.batch) / out.decodeSeconds;
            out.decodeBytes = decodeBytes(a, context, out.batch, static_cast<int>(c10::elementSize(m_model.dtype())), types);
            out.decodeFlops = static_cast<double>(out.batch) * decodeFlops(a, context);
        }
        return out;
    }

private:
    torch::Tensor tokens(std::int64_t batch, std::int64_t length) const
    {
        return torch::randint(m_model.architecture().vocabularySize, {batch, length},
                              torch::TensorOptions().dtype(torch::kInt64).device(m_model.device()));
    }

    double secondsOfSteps(ThroughputRow& out) const
    {
        const bool traced = !m_request.trace.empty();
        DecodingSteps step(m_model, nullptr, out.context, out.batch, DecodingSteps::kWarmUp + m_request.steps + (traced ? 1 : 0));
        out.stateBytes = static_cast<double>(step.stateBytes());
        const double seconds = secondsOfStep(step, m_model.device(), m_request.steps, m_cancellation);
        if (traced)
            out.decodeTrace = trace("decode", out.context, [&] { step(); });
        return seconds;
    }

    /// A prompt in pieces, and the logits of its last token.
    void read(ModelState& state, std::int64_t batch, std::int64_t length) const
    {
        torch::Tensor hidden;
        for (std::int64_t done = 0; done < length; done += m_chunk) {
            m_cancellation.throwIfCancelled();
            hidden = m_model.extend(tokens(batch, std::min(m_chunk, length - done)), state);
        }
        m_model.logits(hidden.slice(1, -1)).argmax(-1);
    }

    std::vector<TraceEntry> trace(const std::string& what, std::int64_t context, const std::function<void()>& work) const
    {
        const std::string device = m_model.device().is_cuda() ? "cuda" : "cpu";
        return traceOf(device, m_request.trace + "." + what + "-" + std::to_string(context) + ".json", work);
    }

    const HybridModel& m_model;
    const ThroughputRequest& m_request;
    const CancellationToken& m_cancellation;
    const std::int64_t m_chunk;
};

} // namespace

MachineRates measureMachineRates(const std::string& deviceName, const std::string& dtype)
{
    const torch::InferenceMode guard;
    const torch::Device device(deviceName);
    const bool gpu = device.is_cuda();
    const torch::ScalarType type = scalarTypeNamed(dtype);
    MachineRates out;
    const torch::Tensor from = torch::ones({std::int64_t(gpu ? 1 : 64) << (gpu ? 30 : 20)}, torch::TensorOptions().dtype(torch::kUInt8).device(device));
    torch::Tensor to = torch::empty_like(from);
    out.copyBytesPerSecond = 2.0 * static_cast<double>(from.nbytes()) / bestOf(5, device, [&] { to.copy_(from); });
    const std::int64_t n = gpu ? 8192 : 1024;
    const torch::Tensor a = torch::randn({n, n}, torch::TensorOptions().device(device)).to(type), b = a.t().contiguous();
    torch::Tensor c = torch::empty_like(a);
    out.matrixFlopsPerSecond = 2.0 * static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n)
        / bestOf(5, device, [&] { torch::matmul_out(c, a, b); });
    return out;
}

ThroughputReport measureThroughput(const ThroughputRequest& request, const std::function<void(const ThroughputReport&, const ThroughputRow&)>& onRow,
                                   const CancellationToken& cancellation)
{
    const torch::InferenceMode guard;
    ThroughputReport report;
    report.device = resolveDevice(request.load.device);
    std::unique_ptr<HybridModel> model;
    if (request.random) {
        report.dtype = resolveDtype(request.load.dtype, report.device, request.random->dtype);
        model = HybridModel::drawnOnDevice(*request.random, torch::Device(report.device), scalarTypeNamed(report.dtype));
    } else {
        const Checkpoint checkpoint = Checkpoint::open(request.model);
        report.dtype = resolveDtype(request.load.dtype, report.device, checkpoint.architecture().dtype);
        model = HybridModel::load(checkpoint, torch::Device(report.device), scalarTypeNamed(report.dtype));
    }
    applyLoadOptions(request.load, *model);
    report.stateDtype = request.load.stateDtype;
    report.rates = measureMachineRates(report.device, report.dtype);
    Measurement measurement(*model, request, cancellation);
    for (const std::int64_t context : request.contexts) {
        cancellation.throwIfCancelled();
        report.rows.push_back(measurement.row(context));
        onRow(report, report.rows.back());
    }
    return report;
}

} // namespace postnas::engine
