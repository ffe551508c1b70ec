// Where the time of a piece of work goes, kernel by kernel, through torch's profiler. No torch.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace postnas::engine {

/// All calls of one kernel, or on a CPU of one torch operator (with what it calls).
struct TraceEntry {
    std::string name;
    std::int64_t calls = 0;
    double seconds = 0;
};

/// Runs `work` once under the profiler and waits for the device. Entries come by falling time. `file`, when not empty, receives the whole
/// trace in Chrome's format (chrome://tracing, ui.perfetto.dev); Error(Resource) when it cannot be written. `device` as resolveDevice gives it.
std::vector<TraceEntry> traceOf(const std::string& device, const std::string& file, const std::function<void()>& work);

} // namespace postnas::engine
