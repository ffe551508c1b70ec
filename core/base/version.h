// The version of this build, as CMake knows it.
#pragma once

namespace postnas {
inline constexpr const char* kVersion = POSTNAS_VERSION;
}
