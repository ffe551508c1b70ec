// How template values become text: Python's str and repr, and json.dumps as transformers calls it.
#pragma once

#include <optional>
#include <string>

#include "core/huggingface/jinja_runtime.h"

namespace postnas {

/// Python's str(); the undefined value is empty text, or a failure in the strict dialect.
JinjaString jinjaToText(JinjaRuntime& runtime, const JinjaValue& value);

/// Python's repr() of a float: the shortest digits that read back the same.
std::string pythonFloatText(double value);

struct JinjaJsonStyle {
    bool ensureAscii = false;
    bool sortKeys = false;
    std::optional<std::string> indent; ///< one level's white space; everything on one line when not set
    std::string itemSeparator = ", ";
    std::string keySeparator = ": ";
    bool trusted = true; ///< whether indent and separators are the template's own
};

/// json.dumps; trusted only when nothing in the value and the style came from a user. Throws JinjaFailure on what JSON cannot hold.
JinjaString jinjaToJson(JinjaRuntime& runtime, const JinjaValue& value, const JinjaJsonStyle& style);

} // namespace postnas
