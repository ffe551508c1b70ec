// What expressions of the template language are made of: names, literals, lists, dicts and parentheses.
#include "core/huggingface/jinja_parser.h"

namespace postnas {

JinjaParser::Expression JinjaParser::parsePrimary()
{
    const int line = current().line;
    Expression node = make(Kind::Literal, line);
    switch (current().kind) {
    case JinjaTokenKind::Name: {
        const JinjaToken token = take();
        const std::string_view name = token.text;
        const bool isTrue = name == "true" || name == "True";
        if (isTrue || name == "false" || name == "False") {
            node->value = JinjaValue::boolean(isTrue);
        } else if (name == "none" || name == "None") {
            node->value = JinjaValue::none();
        } else {
            m_sawCaller = m_sawCaller || name == "caller";
            node->kind = Kind::Name;
            node->text = token.text;
        }
        return node;
    }
    case JinjaTokenKind::String: {
        std::string text;
        while (current().kind == JinjaTokenKind::String)
            text += take().text;
        node->value = JinjaValue::string(text, true);
        return node;
    }
    case JinjaTokenKind::Integer:
        node->value = JinjaValue::integer(take().integer);
        return node;
    case JinjaTokenKind::Float:
        node->value = JinjaValue::number(take().number);
        return node;
    case JinjaTokenKind::Operator:
        if (takeOperator("(")) {
            node = parseTuple(true, true);
            expectOperator(")");
            return node;
        }
        if (current().text == "[")
            return parseListLiteral();
        if (current().text == "{")
            return parseDictLiteral();
        break;
    default:
        break;
    }
    fail(current().text.empty() ? "an expression was expected" : "'" + current().text.substr(0, 40) + "' is no expression");
}

JinjaParser::Expression JinjaParser::parseListLiteral()
{
    const int line = take().line;
    std::vector<Expression> items;
    while (!current().isOperator("]")) {
        if (!items.empty())
            expectOperator(",");
        if (current().isOperator("]"))
            break;
        items.push_back(parseExpression());
    }
    take();
    return make(Kind::List, line, std::move(items));
}

JinjaParser::Expression JinjaParser::parseDictLiteral()
{
    const int line = take().line;
    std::vector<Expression> items;
    while (!current().isOperator("}")) {
        if (!items.empty())
            expectOperator(",");
        if (current().isOperator("}"))
            break;
        items.push_back(parseExpression());
        expectOperator(":");
        items.push_back(parseExpression());
    }
    take();
    return make(Kind::Dict, line, std::move(items));
}

} // namespace postnas
