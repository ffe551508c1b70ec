// Python's two ways to format text: the % operator and str.format, with bounded widths.
#pragma once

#include "core/huggingface/jinja_runtime.h"

namespace postnas {

/// format % values; `values` is one value or a tuple. Conversions s r d i u f F e E g G x X o c %, with flags, width and precision.
JinjaString jinjaFormatPercent(JinjaRuntime& runtime, const JinjaString& format, const JinjaValue& values);

/// format.format(...): {}, {0}, {name}, {0.attribute}, {0[item]}, conversions !s and !r, and the usual format specs.
JinjaString jinjaFormatBraces(JinjaRuntime& runtime, const JinjaString& format, const JinjaArguments& arguments);

} // namespace postnas
