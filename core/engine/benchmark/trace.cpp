// Runs work under torch's profiler and sums its events by name.
#include "core/engine/benchmark/trace.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include <torch/csrc/autograd/profiler_kineto.h>
#include <torch/torch.h>

#include "core/base/error.h"

namespace postnas::engine {

std::vector<TraceEntry> traceOf(const std::string& device, const std::string& file, const std::function<void()>& work)
{
    namespace profiler = torch::autograd::profiler;
    const bool gpu = torch::Device(device).is_cuda();
    const torch::profiler::impl::ProfilerConfig config(torch::profiler::impl::ProfilerState::KINETO);
    std::set<torch::profiler::impl::ActivityType> activities = {torch::profiler::impl::ActivityType::CPU};
    if (gpu)
        activities.insert(torch::profiler::impl::ActivityType::CUDA);
    profiler::prepareProfiler(config, activities);
    profiler::enableProfiler(config, activities, {at::RecordScope::FUNCTION});
    try {
        work();
        if (gpu)
            torch::cuda::synchronize();
    } catch (...) {
        profiler::disableProfiler();
        throw;
    }
    const std::unique_ptr<profiler::ProfilerResult> result = profiler::disableProfiler();
    std::map<std::string, TraceEntry> byName;
    for (const profiler::KinetoEvent& event : result->events()) {
        if (gpu && event.deviceType() != c10::DeviceType::CUDA)
            continue;
        TraceEntry& entry = byName[event.name()];
        entry.name = event.name();
        ++entry.calls;
        entry.seconds += 1e-9 * static_cast<double>(event.durationNs());
    }
    std::vector<TraceEntry> out;
    for (auto& [name, entry] : byName)
        out.push_back(std::move(entry));
    std::sort(out.begin(), out.end(), [](const TraceEntry& a, const TraceEntry& b) { return a.seconds > b.seconds; });
    if (!file.empty()) {
        std::error_code ignored;
        std::filesystem::remove(file, ignored); // so that what lies there afterwards is this trace
        result->save(file);
        if (!std::filesystem::exists(file, ignored))
            throw resourceError("the trace \"" + file + "\" could not be written", "Check that its folder exists, is writable and has space.");
    }
    return out;
}

} // namespace postnas::engine
