// How much memory this process may still use, so that a request for more is refused before it is made.
#pragma once

#include <cstdint>
#include <string>

#include "core/base/error.h"

namespace postnas {

/// Bytes that can be allocated without swapping: the kernel's MemAvailable, or what the control groups (v1 or v2) of this
/// process leave, whichever is less. UINT64_MAX when neither can be read.
std::uint64_t availableMemoryBytes();

/// Throws when `bytes` is more than is available; `what` begins the sentence ("config.json: the weights"). The class is
/// Input by default, since what asks for the memory is a file from outside.
void requireMemory(std::uint64_t bytes, const std::string& what, const std::string& hint = {},
                   ErrorClass errorClass = ErrorClass::Input);

} // namespace postnas
