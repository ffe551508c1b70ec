// What the subcommands of `postnas benchmark` share: the architecture that is measured, and how results are written.
#pragma once

#include <string>
#include <vector>

#include "core/architecture/architecture.h"
#include "core/base/json.h"
#include "core/engine/benchmark/throughput.h"
#include "core/engine/benchmark/trace.h"

namespace CLI {
class App;
}

namespace postnas {

/// A config.json, or a built-in name where there is no such file.
Architecture architectureOf(const std::string& nameOrFile);

/// The measurements with everything that they depend on; nothing without a file name.
void writeReport(const std::string& file, const std::string& device, const std::string& dtype, const engine::MachineRates& rates, const Json& measured);

Json traceJson(const std::vector<engine::TraceEntry>& entries);
/// The kernels that take most of the time.
void printTrace(const char* what, const std::vector<engine::TraceEntry>& entries);

/// `postnas benchmark training`.
void addTrainingBenchmark(CLI::App& benchmark);

} // namespace postnas
