// `postnas doctor`: what this machine has, and each operator and block checked against reference numbers.
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <memory>

#include <CLI/CLI.hpp>

#include "app/cli/commands.h"
#include "core/base/error.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/base/version.h"
#include "core/engine/benchmark/operator_checks.h"
#include "core/engine/runtime.h"

namespace postnas {
namespace {

struct Options {
    std::string cases;
    std::string device = "auto";
    std::string only;
    int threads = 0;
    bool json = false;
};

Json toJson(const engine::MachineReport& m)
{
    return {{"processor", m.processor},
            {"processors", m.processors},
            {"threads", m.threads},
            {"vector_instructions", m.vectorInstructions},
            {"memory_bytes", m.memoryBytes},
            {"postnas", kVersion},
            {"torch", m.torchVersion},
            {"cuda", m.cuda},
            {"gpu", m.gpu},
            {"gpu_memory_bytes", m.gpuMemoryBytes},
            {"cuda_operators", m.cudaOperators},
            {"cuda_operators_detail", m.cudaOperatorsDetail}};
}

Json toJson(const engine::OperatorCheck& c)
{
    return {{"operator", c.name},
            {"device", c.device},
            {"path", c.path},
            {"dtype", c.dtype},
            {"shape", c.shape},
            {"forward_difference", c.forwardDifference},
            {"gradient_difference", c.differentiable ? Json(c.gradientDifference) : Json()},
            {"tolerance", c.tolerance},
            {"passed", c.passed}};
}

Json toJson(const engine::BlockCheck& c)
{
    if (!c.known)
        return {{"case", c.name}, {"known", false}};
    return {{"case", c.name},
            {"known", true},
            {"block", c.block},
            {"one_pass", c.onePass},
            {"chunks", c.chunks},
            {"token_by_token", c.tokenByToken},
            {"tolerance", c.tolerance},
            {"passed", c.passed}};
}

std::string number(double value)
{
    char text[32];
    std::snprintf(text, sizeof text, "%.1e", value);
    return text;
}

std::string padded(std::string text, std::size_t width)
{
    text.resize(std::max(width, text.size()), ' ');
    return text;
}

void print(const engine::MachineReport& m)
{
    const auto gib = [](std::uint64_t bytes) { return std::to_string((bytes + (1u << 29)) >> 30) + " GiB"; };
    std::cout << "postnas    " << kVersion << ", LibTorch " << m.torchVersion << "\n"
              << "processor  " << sanitizeForTerminal(m.processor) << ", " << m.threads << " threads, " << m.vectorInstructions << "\n"
              << "memory     " << gib(m.memoryBytes) << " available\n"
              << "GPU        " << (m.cuda ? m.gpu + ", " + gib(m.gpuMemoryBytes) : "none: " + m.gpu) << "\n";
    if (m.cuda)
        std::cout << "operators  " << (m.cudaOperators ? "CUDA, from " : "no CUDA: ") << sanitizeForTerminal(m.cudaOperatorsDetail) << "\n";
}

/// The worst of all shapes, one line for each operator, device, type and path.
void print(const std::vector<engine::OperatorCheck>& checks)
{
    std::cout << "\nOperators against their formulas in float64 (largest relative difference over all shapes)\n"
              << padded("  operator", 26) << padded("device", 8) << padded("type", 10) << padded("forward", 11) << padded("gradients", 11)
              << padded("verdict", 9) << "path\n";
    std::vector<engine::OperatorCheck> rows;
    for (const engine::OperatorCheck& c : checks) {
        const auto row = std::find_if(rows.begin(), rows.end(), [&](const engine::OperatorCheck& r) {
            return r.name == c.name && r.device == c.device && r.dtype == c.dtype && r.path == c.path;
        });
        if (row == rows.end()) {
            rows.push_back(c);
            continue;
        }
        row->forwardDifference = std::max(row->forwardDifference, c.forwardDifference);
        row->gradientDifference = std::max(row->gradientDifference, c.gradientDifference);
        row->passed = row->passed && c.passed;
    }
    for (const engine::OperatorCheck& r : rows)
        std::cout << padded("  " + r.name, 26) << padded(r.device, 8) << padded(r.dtype, 10) << padded(number(r.forwardDifference), 11)
                  << padded(r.differentiable ? number(r.gradientDifference) : "-", 11) << padded(r.passed ? "ok" : "FAILED", 9) << r.path << "\n";
    for (const engine::OperatorCheck& c : checks)
        if (!c.passed)
            std::cout << "  failed: " << c.name << " on " << c.device << " in " << c.dtype << " (" << c.shape << "): forward "
                      << number(c.forwardDifference) << (c.differentiable ? ", gradients " + number(c.gradientDifference) : std::string()) << ", allowed "
                      << number(c.tolerance) << "\n";
}

void print(const std::vector<engine::BlockCheck>& checks, const std::string& device)
{
    std::cout << "\nBlocks against stored numbers on " << device << " (largest absolute difference)\n"
              << padded("  case", 28) << padded("one pass", 11) << padded("chunks", 11) << padded("by token", 11) << "verdict\n";
    for (const engine::BlockCheck& c : checks) {
        std::cout << padded("  " + sanitizeForTerminal(c.name), 28);
        if (!c.known)
            std::cout << "not in this build\n";
        else
            std::cout << padded(number(c.onePass), 11) << padded(number(c.chunks), 11) << padded(number(c.tokenByToken), 11)
                      << (c.passed ? "ok" : "FAILED") << "\n";
    }
}

void run(const Options& options)
{
    engine::initialiseRuntime(options.threads);
    const engine::MachineReport machine = engine::describeMachine();
    if (!options.json)
        print(machine);
    std::vector<std::string> devices;
    if (options.device == "auto")
        devices = machine.cuda && machine.cudaOperators ? std::vector<std::string>{"cpu", "cuda"} : std::vector<std::string>{"cpu"};
    else
        devices = {engine::resolveDevice(options.device)};

    // Blocks first: they take a moment and their folder may be wrong, the operators take seconds.
    std::vector<std::pair<std::string, std::vector<engine::BlockCheck>>> blocks;
    if (!options.cases.empty())
        for (const std::string& device : devices)
            blocks.emplace_back(device, engine::checkBlockCases(options.cases, device));

    bool passed = true;
    std::size_t unknown = 0;
    std::vector<engine::OperatorCheck> operators;
    for (const std::string& device : devices)
        for (engine::OperatorCheck& c : engine::checkOperators(device, options.only))
            operators.push_back(std::move(c));
    if (operators.empty())
        throw usageError("No operator's name contains \"" + options.only + "\"", "Without --only, doctor lists all of them");
    Json report = {{"machine", toJson(machine)}, {"operators", Json::array()}};
    for (const engine::OperatorCheck& c : operators) {
        passed = passed && c.passed;
        report["operators"].push_back(toJson(c));
    }
    if (!options.json)
        print(operators);

    for (const auto& [device, checks] : blocks) {
        for (const engine::BlockCheck& c : checks) {
            passed = passed && (c.passed || !c.known);
            unknown += c.known ? 0 : 1;
            report["blocks"].push_back(toJson(c));
            report["blocks"].back()["device"] = device;
        }
        if (!options.json)
            print(checks, device);
    }
    report["passed"] = passed;
    if (options.json)
        std::cout << dumpJson(report, 2) << "\n";
    else
        std::cout << "\n" << (passed ? "All checks passed." : "A check FAILED.")
                  << (unknown > 0 ? " Not checked: " + std::to_string(unknown) + " cases of blocks that this build does not have." : "") << "\n";
    if (!passed)
        throw CLI::RuntimeError(exitCode(ErrorClass::Internal));
}

} // namespace

void addDoctorCommand(CLI::App& app)
{
    auto* command = app.add_subcommand("doctor", "Shows what this machine has and checks each operator and block against reference numbers");
    auto options = std::make_shared<Options>();
    command->add_option("--cases", options->cases, "Folder with blocks.json and blocks.safetensors: stored inputs and outputs of blocks");
    command->add_option("--device", options->device, "auto (all there are), cpu or cuda")->capture_default_str();
    command->add_option("--only", options->only, "Operators whose name, or \"name, shape\", contains this");
    command->add_option("--threads", options->threads, "CPU threads; 0: as many as there are")->capture_default_str()->check(CLI::Range(0, 4096));
    command->add_flag("--json", options->json, "One JSON object");
    command->callback([options] { run(*options); });
}

} // namespace postnas
