// Python's methods of strings, lists and dictionaries.
#pragma once

#include <string>
#include <string_view>

#include "core/huggingface/jinja_runtime.h"

namespace postnas {

using JinjaMethod = JinjaValue (*)(JinjaRuntime& runtime, const JinjaValue& self, JinjaArguments& arguments);

/// The method of that name, or null. Throws JinjaFailure for methods that would change a list or a dictionary.
JinjaMethod findJinjaMethod(const JinjaValue& object, std::string_view name);
/// The part of findJinjaMethod for strings.
JinjaMethod findJinjaStringMethod(std::string_view name);

// Text functions that filters share with the methods.
JinjaString jinjaStrip(const JinjaString& text, const std::optional<JinjaValue>& characters, bool left, bool right);
JinjaString jinjaReplace(JinjaRuntime& runtime, const JinjaString& text, const JinjaString& from, const JinjaString& to,
                         std::int64_t count);
JinjaString jinjaUpper(const JinjaString& text);
JinjaString jinjaLower(const JinjaString& text);
JinjaString jinjaCapitalize(const JinjaString& text);
/// Python's str.splitlines(keepends).
std::vector<JinjaString> jinjaSplitLines(const JinjaString& text, bool keepEnds);
JinjaString jinjaJoin(JinjaRuntime& runtime, const JinjaString& separator, const std::vector<JinjaValue>& items, bool convert);

} // namespace postnas
