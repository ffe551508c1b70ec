// Reads small YAML files from outside into JSON values, with limits against hostile ones.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "core/base/json.h"

namespace postnas {

/// One YAML document as JSON: plain scalars get YAML's types, quoted ones are strings. Throws Error(Input) naming `source`
/// on syntax errors, duplicate keys, keys that are no scalars, tags such as !function, more than 256 KiB, nesting deeper
/// than 32 levels, or more than 20,000 nodes once aliases are followed.
Json parseYaml(std::string_view text, const std::string& source);
Json readYamlFile(const std::filesystem::path& file);

} // namespace postnas
