// Expressions of the template language, with Jinja's precedence.
#include "core/huggingface/jinja_parser.h"

#include <algorithm>

namespace postnas {

/// Keeps every tree shallow enough to be evaluated and destroyed by recursion.
void JinjaParser::addDepth(JinjaExpression& node, const JinjaExpression* child)
{
    if (child == nullptr)
        return;
    node.depth = std::max(node.depth, child->depth + 1);
    if (node.depth > kMaxNesting)
        fail("an expression is nested deeper than " + std::to_string(kMaxNesting) + " levels");
}

JinjaParser::Expression JinjaParser::make(Kind kind, int line, std::vector<Expression> items, std::string text)
{
    auto node = std::make_unique<JinjaExpression>();
    node->kind = kind;
    node->line = line;
    node->text = std::move(text);
    node->items = std::move(items);
    for (const Expression& item : node->items)
        addDepth(*node, item.get());
    return node;
}

namespace {

std::vector<JinjaExpressionPtr> listOf(JinjaExpressionPtr a, JinjaExpressionPtr b = nullptr)
{
    std::vector<JinjaExpressionPtr> out;
    out.push_back(std::move(a));
    if (b)
        out.push_back(std::move(b));
    return out;
}

} // namespace

bool JinjaParser::endsTuple() const
{
    return current().kind == JinjaTokenKind::VariableEnd || current().kind == JinjaTokenKind::BlockEnd || current().isOperator(")")
        || current().isName("recursive");
}

JinjaParser::Expression JinjaParser::parseTuple(bool allowsConditional, bool inParentheses)
{
    const int line = current().line;
    std::vector<Expression> items;
    bool isTuple = false;
    for (;;) {
        if (!items.empty())
            expectOperator(",");
        if (endsTuple())
            break;
        items.push_back(parseExpression(allowsConditional));
        if (!current().isOperator(","))
            break;
        isTuple = true;
    }
    if (!isTuple && !items.empty())
        return std::move(items.front());
    if (!isTuple && !inParentheses)
        fail("an expression was expected");
    return make(Kind::Tuple, line, std::move(items));
}

JinjaParser::Expression JinjaParser::parseExpression(bool allowsConditional)
{
    if (m_nesting >= kMaxNesting)
        fail("an expression is nested deeper than " + std::to_string(kMaxNesting) + " levels");
    ++m_nesting;
    Expression node = parseOr();
    while (allowsConditional && current().isName("if")) {
        const int line = take().line;
        std::vector<Expression> items = listOf(std::move(node), parseOr());
        if (takeName("else"))
            items.push_back(parseExpression());
        node = make(Kind::Conditional, line, std::move(items));
    }
    --m_nesting;
    return node;
}

JinjaParser::Expression JinjaParser::parseOr()
{
    Expression left = parseAnd();
    while (current().isName("or")) {
        const int line = take().line;
        left = make(Kind::Binary, line, listOf(std::move(left), parseAnd()), "or");
    }
    return left;
}

JinjaParser::Expression JinjaParser::parseAnd()
{
    Expression left = parseNot();
    while (current().isName("and")) {
        const int line = take().line;
        left = make(Kind::Binary, line, listOf(std::move(left), parseNot()), "and");
    }
    return left;
}

JinjaParser::Expression JinjaParser::parseNot()
{
    std::vector<int> lines;
    while (current().isName("not"))
        lines.push_back(take().line);
    Expression node = parseCompare();
    for (; !lines.empty(); lines.pop_back())
        node = make(Kind::Unary, lines.back(), listOf(std::move(node)), "not");
    return node;
}

JinjaParser::Expression JinjaParser::parseCompare()
{
    const int line = current().line;
    std::vector<Expression> items = listOf(parseSum());
    std::vector<std::string> operators;
    for (;;) {
        static constexpr std::string_view kComparisons[] = {"==", "!=", "<", "<=", ">", ">="};
        if (current().kind == JinjaTokenKind::Operator
            && std::find(std::begin(kComparisons), std::end(kComparisons), current().text) != std::end(kComparisons)) {
            operators.push_back(take().text);
        } else if (takeName("in")) {
            operators.emplace_back("in");
        } else if (current().isName("not") && ahead().isName("in")) {
            take();
            take();
            operators.emplace_back("not in");
        } else {
            break;
        }
        items.push_back(parseSum());
    }
    if (operators.empty())
        return std::move(items.front());
    Expression node = make(Kind::Compare, line, std::move(items));
    node->operators = std::move(operators);
    return node;
}

JinjaParser::Expression JinjaParser::parseSum()
{
    Expression left = parseConcatenation();
    while (current().isOperator("+") || current().isOperator("-")) {
        const JinjaToken op = take();
        left = make(Kind::Binary, op.line, listOf(std::move(left), parseConcatenation()), op.text);
    }
    return left;
}

JinjaParser::Expression JinjaParser::parseConcatenation()
{
    const int line = current().line;
    std::vector<Expression> items = listOf(parseProduct());
    while (takeOperator("~"))
        items.push_back(parseProduct());
    return items.size() == 1 ? std::move(items.front()) : make(Kind::Concatenate, line, std::move(items));
}

JinjaParser::Expression JinjaParser::parseProduct()
{
    Expression left = parsePower();
    while (current().isOperator("*") || current().isOperator("/") || current().isOperator("//") || current().isOperator("%")) {
        const JinjaToken op = take();
        left = make(Kind::Binary, op.line, listOf(std::move(left), parsePower()), op.text);
    }
    return left;
}

JinjaParser::Expression JinjaParser::parsePower()
{
    Expression left = parseUnary();
    while (current().isOperator("**")) {
        const JinjaToken op = take();
        left = make(Kind::Binary, op.line, listOf(std::move(left), parseUnary()), op.text);
    }
    return left;
}

JinjaParser::Expression JinjaParser::parseUnary(bool allowsFilter)
{
    std::vector<JinjaToken> signs;
    while (current().isOperator("-") || current().isOperator("+"))
        signs.push_back(take());
    Expression node = parsePostfix(parsePrimary());
    for (; !signs.empty(); signs.pop_back())
        node = make(Kind::Unary, signs.back().line, listOf(std::move(node)), signs.back().text);
    return allowsFilter ? parseFilters(std::move(node)) : std::move(node);
}

JinjaParser::Expression JinjaParser::parsePostfix(Expression node)
{
    for (;;) {
        if (current().isOperator(".") || current().isOperator("["))
            node = parseSubscript(std::move(node));
        else if (current().isOperator("("))
            node = parseCall(std::move(node));
        else
            return node;
    }
}

JinjaParser::Expression JinjaParser::parseFilters(Expression node)
{
    for (;;) {
        if (takeOperator("|"))
            node = parseFilter(std::move(node));
        else if (current().isName("is"))
            node = parseTest(std::move(node));
        else if (current().isOperator("("))
            node = parseCall(std::move(node));
        else
            return node;
    }
}

/// The name of the filter is the current token; `node` is null at the start of a filter block.
JinjaParser::Expression JinjaParser::parseFilter(Expression node)
{
    const int line = current().line;
    std::string name = expectIdentifier("the name of a filter");
    std::vector<Expression> items;
    items.push_back(std::move(node));
    Expression out = make(Kind::Filter, line, std::move(items), std::move(name));
    if (current().isOperator("("))
        parseArguments(*out);
    return out;
}

JinjaParser::Expression JinjaParser::parseTest(Expression node)
{
    const int line = take().line;
    const bool negated = takeName("not");
    std::string name = expectIdentifier("the name of a test");
    Expression out = make(Kind::Test, line, listOf(std::move(node)), std::move(name));
    const JinjaToken& next = current();
    const bool startsValue = next.kind == JinjaTokenKind::Name || next.kind == JinjaTokenKind::String
        || next.kind == JinjaTokenKind::Integer || next.kind == JinjaTokenKind::Float || next.isOperator("[") || next.isOperator("{");
    if (next.isOperator("(")) {
        parseArguments(*out);
    } else if (startsValue && !next.isName("else") && !next.isName("or") && !next.isName("and")) {
        if (next.isName("is"))
            fail("tests cannot be chained with 'is'");
        out->arguments.positional.push_back(parsePostfix(parsePrimary()));
        addDepth(*out, out->arguments.positional.back().get());
    }
    return negated ? make(Kind::Unary, line, listOf(std::move(out)), "not") : std::move(out);
}

JinjaParser::Expression JinjaParser::parseSubscript(Expression node)
{
    const int line = current().line;
    if (takeOperator(".")) {
        if (current().kind == JinjaTokenKind::Integer) {
            Expression index = make(Kind::Literal, line);
            index->value = JinjaValue::integer(take().integer);
            return make(Kind::Subscript, line, listOf(std::move(node), std::move(index)));
        }
        std::string name = expectIdentifier("the name of an attribute");
        return make(Kind::Attribute, line, listOf(std::move(node)), std::move(name));
    }
    take();
    std::vector<Expression> items = listOf(std::move(node));
    bool isSlice = false;
    for (int part = 0; part < 3; ++part) {
        const bool empty = current().isOperator(":") || current().isOperator("]");
        items.push_back(empty ? nullptr : parseExpression());
        if (!takeOperator(":"))
            break;
        isSlice = true;
    }
    if (!isSlice && !items[1])
        fail("an index was expected");
    expectOperator("]");
    if (isSlice)
        items.resize(4);
    return make(isSlice ? Kind::Slice : Kind::Subscript, line, std::move(items));
}

JinjaParser::Expression JinjaParser::parseCall(Expression node)
{
    Expression out = make(Kind::Call, current().line, listOf(std::move(node)));
    parseArguments(*out);
    return out;
}

void JinjaParser::parseArguments(JinjaExpression& call)
{
    JinjaCallArguments& arguments = call.arguments;
    expectOperator("(");
    bool first = true;
    while (!current().isOperator(")")) {
        if (!first)
            expectOperator(",");
        if (current().isOperator(")"))
            break;
        first = false;
        if (takeOperator("*")) {
            if (arguments.positionalList || arguments.keywordDict)
                fail("the arguments of a call are in the wrong order");
            arguments.positionalList = parseExpression();
            addDepth(call, arguments.positionalList.get());
        } else if (takeOperator("**")) {
            if (arguments.keywordDict)
                fail("the arguments of a call are in the wrong order");
            arguments.keywordDict = parseExpression();
            addDepth(call, arguments.keywordDict.get());
        } else if (current().kind == JinjaTokenKind::Name && ahead().isOperator("=")) {
            std::string name = take().text;
            take();
            arguments.keyword.emplace_back(std::move(name), parseExpression());
            addDepth(call, arguments.keyword.back().second.get());
        } else {
            if (arguments.positionalList || arguments.keywordDict || !arguments.keyword.empty())
                fail("the arguments of a call are in the wrong order");
            arguments.positional.push_back(parseExpression());
            addDepth(call, arguments.positional.back().get());
        }
    }
    expectOperator(")");
}

} // namespace postnas
