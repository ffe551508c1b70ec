// Finds the files that come with the program: built-in architectures, tasks, icons.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace postnas {

/// The resources folder: POSTNAS_RESOURCES when it is set, else ../share/postnas/resources beside the running program, else
/// resources/ of the source tree this was built from. Throws Error(Input) when there is none.
std::filesystem::path resourcesFolder();

/// The file `relative` in it; throws Error(Input) when it does not exist.
std::filesystem::path resourceFile(const std::string& relative);

/// Names, without ".json", of the configs in architectures/; sorted. Empty when there is no resources folder.
std::vector<std::string> builtInArchitectures();

} // namespace postnas
