// Python's operators on template values: arithmetic, comparison, membership, indexing, iteration.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "core/huggingface/jinja_runtime.h"

namespace postnas {

/// + - * / // % ** as named by `op`. Integers are 64-bit; leaving them is a failure, not a wrap-around.
JinjaValue jinjaBinary(JinjaRuntime& runtime, std::string_view op, const JinjaValue& left, const JinjaValue& right);
JinjaValue jinjaNegate(const JinjaValue& value);

bool jinjaEqual(JinjaRuntime& runtime, const JinjaValue& left, const JinjaValue& right);
/// Negative, zero or positive, as `left` sorts against `right`. Throws JinjaFailure on types without an order.
int jinjaCompare(JinjaRuntime& runtime, const JinjaValue& left, const JinjaValue& right);
bool jinjaContains(JinjaRuntime& runtime, const JinjaValue& container, const JinjaValue& item);
/// == != < <= > >= in, not in
bool jinjaCompareWith(JinjaRuntime& runtime, std::string_view op, const JinjaValue& left, const JinjaValue& right);

/// The items that `for` would see: list items, dictionary keys, characters; nothing of the undefined value.
std::vector<JinjaValue> jinjaIterate(JinjaRuntime& runtime, const JinjaValue& value);
/// len(); throws JinjaFailure on values without a length.
std::size_t jinjaLength(JinjaRuntime& runtime, const JinjaValue& value);

/// object[key]: the item, else the attribute of that name, else undefined.
JinjaValue jinjaItem(JinjaRuntime& runtime, const JinjaValue& object, const JinjaValue& key);
/// object.name: the method or attribute, else the item of that name, else undefined.
JinjaValue jinjaAttribute(JinjaRuntime& runtime, const JinjaValue& object, const std::string& name);
/// object[start:stop:step] with Python's rules for what is left out or negative.
JinjaValue jinjaSlice(JinjaRuntime& runtime, const JinjaValue& object, const JinjaValue& start, const JinjaValue& stop,
                      const JinjaValue& step);
/// The lookup of "a.b.0" that filters' `attribute` means.
JinjaValue jinjaPath(JinjaRuntime& runtime, JinjaValue object, const JinjaValue& path);

} // namespace postnas
