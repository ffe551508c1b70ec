// Writing what was measured, for people and as JSON.
#include "app/cli/benchmark_report.h"

#include <algorithm>
#include <cstdio>

#include "app/cli/model_options.h"
#include "core/base/files.h"
#include "core/base/text.h"
#include "core/engine/runtime.h"
#include "core/huggingface/model_config.h"

namespace postnas {

Architecture architectureOf(const std::string& nameOrFile)
{
    std::error_code ignored;
    return readModelConfig(std::filesystem::exists(nameOrFile, ignored) ? std::filesystem::path(nameOrFile) : builtInConfig(nameOrFile, "a config.json"));
}

void writeReport(const std::string& file, const std::string& device, const std::string& dtype, const engine::MachineRates& rates, const Json& measured)
{
    if (file.empty())
        return;
    Json versions = Json::object();
    for (const auto& [name, version] : engine::versions())
        versions[name] = version;
    Json out = {{"device", engine::describeDevice(device)},
                {"dtype", dtype},
                {"copy_bytes_per_second", rates.copyBytesPerSecond},
                {"matrix_flops_per_second", rates.matrixFlopsPerSecond},
                {"versions", versions}};
    out.update(measured);
    writeFileAtomically(file, dumpJson(out, 2) + "\n");
}

Json traceJson(const std::vector<engine::TraceEntry>& entries)
{
    Json out = Json::array();
    for (const engine::TraceEntry& e : entries)
        out.push_back({{"name", e.name}, {"calls", e.calls}, {"seconds", e.seconds}});
    return out;
}

void printTrace(const char* what, const std::vector<engine::TraceEntry>& entries)
{
    constexpr std::size_t kShown = 30;
    double total = 0;
    for (const engine::TraceEntry& e : entries)
        total += e.seconds;
    std::printf("\n%s: %.3f ms in %zu kernels\n%10s %7s %7s  kernel\n", what, 1e3 * total, entries.size(), "ms", "share", "calls");
    for (std::size_t i = 0; i < std::min(kShown, entries.size()); ++i)
        std::printf("%10.3f %6.1f%% %7lld  %s\n", 1e3 * entries[i].seconds, 100 * entries[i].seconds / total, static_cast<long long>(entries[i].calls),
                    sanitizeForTerminal(entries[i].name.substr(0, 160)).c_str());
}

} // namespace postnas
