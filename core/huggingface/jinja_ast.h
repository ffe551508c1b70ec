// The syntax tree of a template: expressions and statements as plain nodes.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/huggingface/jinja_value.h"

namespace postnas {

struct JinjaExpression;
using JinjaExpressionPtr = std::unique_ptr<JinjaExpression>;

/// The arguments written in a call; `*args` and `**kwargs` are null when absent.
struct JinjaCallArguments {
    std::vector<JinjaExpressionPtr> positional;
    std::vector<std::pair<std::string, JinjaExpressionPtr>> keyword;
    JinjaExpressionPtr positionalList;
    JinjaExpressionPtr keywordDict;
};

struct JinjaExpression {
    enum class Kind {
        Literal,     ///< value
        Name,        ///< text
        List,        ///< items
        Tuple,       ///< items
        Dict,        ///< items: key, value, key, value ...
        Attribute,   ///< items[0].text
        Subscript,   ///< items[0][items[1]]
        Slice,       ///< items[0][items[1]:items[2]:items[3]], any of the three null
        Call,        ///< items[0](arguments)
        Filter,      ///< items[0] | text(arguments); items[0] null in a filter block
        Test,        ///< items[0] is text(arguments)
        Unary,       ///< text in - + not
        Binary,      ///< text in + - * / // % ** and or
        Concatenate, ///< items joined by ~
        Compare,     ///< items[0] operators[0] items[1] operators[1] ...
        Conditional, ///< items[0] if items[1] else items[2] (null when there is no else)
    };
    Kind kind = Kind::Literal;
    int line = 0;
    int depth = 1; ///< of the tree below, bounded by the parser
    std::string text;
    JinjaValue value;
    std::vector<JinjaExpressionPtr> items;
    std::vector<std::string> operators;
    JinjaCallArguments arguments;
};

struct JinjaStatement;
using JinjaBody = std::vector<std::unique_ptr<JinjaStatement>>;

struct JinjaStatement {
    enum class Kind {
        Text,       ///< value
        Print,      ///< expression
        If,         ///< branches; a null condition is the else
        For,        ///< targets in expression (if condition): body, otherwise
        Set,        ///< targets = expression
        SetBlock,   ///< targets = body through the filters in expression (may be null)
        Macro,      ///< name(parameters): body
        CallBlock,  ///< expression is the call; parameters and body are the caller's
        FilterBlock,///< body through the filters in expression
        With,       ///< assignments, body
        Do,         ///< expression, for its effect
        Scope,      ///< body, as it is: {% generation %}
        Break,
        Continue,
    };
    struct Target {
        std::string name;
        std::string attribute;       ///< of a namespace; empty for a plain variable
        std::vector<Target> unpacks; ///< a nested tuple; then name is empty
    };
    struct Branch {
        JinjaExpressionPtr condition;
        JinjaBody body;
    };
    struct Parameter {
        std::string name;
        JinjaExpressionPtr fallback;
    };
    Kind kind = Kind::Text;
    int line = 0;
    JinjaValue value;
    JinjaExpressionPtr expression;
    JinjaExpressionPtr condition;
    Target target;
    std::string name;
    std::vector<Parameter> parameters;
    std::vector<Branch> branches;
    std::vector<std::pair<Target, JinjaExpressionPtr>> assignments;
    JinjaBody body;
    JinjaBody otherwise;
    bool usesCaller = false; ///< of a macro: whether it mentions `caller`
};

} // namespace postnas
