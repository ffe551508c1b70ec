// Turns template source into tokens, applying Jinja's rules for white space around tags.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/huggingface/jinja_runtime.h"

namespace postnas {

enum class JinjaTokenKind { Data, VariableBegin, VariableEnd, BlockBegin, BlockEnd, Name, String, Integer, Float, Operator, End };

struct JinjaToken {
    JinjaTokenKind kind = JinjaTokenKind::End;
    int line = 0;
    std::string text; ///< data, name, operator, or the value of a string literal
    std::int64_t integer = 0;
    double number = 0.0;

    bool isName(std::string_view name) const { return kind == JinjaTokenKind::Name && text == name; }
    bool isOperator(std::string_view op) const { return kind == JinjaTokenKind::Operator && text == op; }
};

/// Carries the line of a syntax error.
class JinjaSyntaxError : public JinjaFailure {
public:
    JinjaSyntaxError(const std::string& message, int atLine)
        : JinjaFailure(message)
        , line(atLine)
    {
    }
    int line;
};

/// `source` is valid UTF-8. The last token is End. Throws JinjaSyntaxError.
std::vector<JinjaToken> lexJinja(std::string_view source, const JinjaDialect& dialect);

} // namespace postnas
