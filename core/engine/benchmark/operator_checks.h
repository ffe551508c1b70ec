// Checks of this machine's operators and blocks against independent formulas and stored reference numbers. No torch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace postnas::engine {

/// What this machine has, for people and bug reports.
struct MachineReport {
    std::string processor;
    int processors = 0; ///< usable by this process
    int threads = 0;    ///< that torch computes with
    std::string vectorInstructions; ///< "AVX-512", "AVX2" or "baseline"
    std::uint64_t memoryBytes = 0;  ///< that can still be allocated
    std::string torchVersion;
    bool cuda = false;
    std::string gpu;           ///< its name, or why there is none
    bool cudaOperators = false;
    std::string cudaOperatorsDetail; ///< the library file, or why it is not used
    std::uint64_t gpuMemoryBytes = 0;
};
/// Call initialiseRuntime first.
MachineReport describeMachine();

/// One operator on one device with one type and shape. Differences are the largest absolute ones, divided by the largest
/// reference value; the reference is the operator's formula, token by token in float64.
struct OperatorCheck {
    std::string name;   ///< "gated_delta_rule"
    std::string device; ///< "cpu" or "cuda"
    std::string path;   ///< "native", with more words where an operator has several; "slow, ..." and why where its kernel was left
    std::string dtype;
    std::string shape;
    double forwardDifference = 0;
    bool differentiable = false; ///< operators of a decoding step are not
    double gradientDifference = 0;
    double tolerance = 0;
    bool passed = false;
};
/// The linear recurrence in all its forms; part of checkOperators.
std::vector<OperatorCheck> checkRecurrences(const std::string& device, const std::string& only);
/// The operators of a decoding step; part of checkOperators.
std::vector<OperatorCheck> checkDecodeOperators(const std::string& device, const std::string& only);
/// The operators of whole sequences without gradient; part of checkOperators.
std::vector<OperatorCheck> checkPrefillOperators(const std::string& device, const std::string& only);
/// The operators of training; part of checkOperators.
std::vector<OperatorCheck> checkTrainingOperators(const std::string& device, const std::string& only);
/// All operators and shapes whose "name, shape" contains `only`, with fresh random inputs in several shapes. `device` is "cpu" or "cuda".
std::vector<OperatorCheck> checkOperators(const std::string& device, const std::string& only = {});

/// One block of a folder with blocks.json and blocks.safetensors (parameters, input and output of reference layers).
struct BlockCheck {
    std::string name; ///< as in blocks.json
    std::string block; ///< the project's name; empty when this build has no such block
    double onePass = 0, chunks = 0, tokenByToken = 0; ///< largest absolute differences
    double tolerance = 1e-4;
    bool known = false;
    bool passed = false;
};
/// Computes in float32 on `device`. Throws Error(Input) when the folder's files are missing or broken.
std::vector<BlockCheck> checkBlockCases(const std::filesystem::path& folder, const std::string& device);

} // namespace postnas::engine
