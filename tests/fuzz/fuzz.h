// What a fuzz target defines: libFuzzer's entry point, and inputs to start from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

/// Hands one input to a parser. Only postnas::Error may come out of the parser, and the target catches it; anything else, a
/// crash or a broken promise (call std::abort) is a finding.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

/// Well-formed inputs that fuzz_runner.cpp mutates. A target may leave it out and be given seed files instead.
__attribute__((weak)) std::vector<std::string> fuzzSeeds();
