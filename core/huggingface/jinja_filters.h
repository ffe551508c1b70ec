// The filters, tests and global functions of the template language, by name.
#pragma once

#include <string_view>

#include "core/huggingface/jinja_runtime.h"

namespace postnas {

using JinjaFilter = JinjaValue (*)(JinjaRuntime& runtime, const JinjaValue& input, JinjaArguments& arguments);
using JinjaTest = bool (*)(JinjaRuntime& runtime, const JinjaValue& input, JinjaArguments& arguments);
using JinjaFunction = JinjaValue (*)(JinjaRuntime& runtime, JinjaArguments& arguments);

/// Null when there is no filter, test or function of that name.
JinjaFilter findJinjaFilter(std::string_view name);
JinjaTest findJinjaTest(std::string_view name);
JinjaFunction findJinjaFunction(std::string_view name);

/// The part of findJinjaFilter that works on sequences and dictionaries.
JinjaFilter findJinjaSequenceFilter(std::string_view name);

} // namespace postnas
