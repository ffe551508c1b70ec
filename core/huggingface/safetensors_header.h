// The JSON header of a safetensors file, checked while it is parsed.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/huggingface/safetensors.h"

namespace postnas {

/// What a header says of one tensor; begin and end count from the end of the header.
struct TensorEntry {
    DType dtype = DType::F32;
    std::vector<std::uint64_t> shape;
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
};

struct SafetensorsHeader {
    std::map<std::string, TensorEntry> tensors;
    std::map<std::string, std::string> metadata;
};

/// Parses the header and checks everything that can be checked without knowing the file's length: form, duplicate keys,
/// dtypes, and that each shape has exactly end - begin bytes. Throws Error(Input).
SafetensorsHeader parseSafetensorsHeader(std::string_view json, const std::string& source);

/// Throws Error(Input) unless the tensors cover `dataBytes` bytes without hole or overlap.
void checkOffsets(const SafetensorsHeader& header, std::uint64_t dataBytes, const std::string& source);

} // namespace postnas
