// Expressions: names, literals, calls, filters, tests, operators.
#include "core/huggingface/jinja_filters.h"
#include "core/huggingface/jinja_interpreter.h"
#include "core/huggingface/jinja_methods.h"
#include "core/huggingface/jinja_operations.h"
#include "core/huggingface/jinja_text.h"

namespace postnas {

bool JinjaInterpreter::truth(const JinjaValue& value) const
{
    if (value.isUndefined() && m_runtime.dialect().strictUndefined)
        throw JinjaFailure(value.missing());
    return value.truth();
}

JinjaValue JinjaInterpreter::lookUp(const std::string& name)
{
    for (const JinjaScope* scope = m_scope.get(); scope != nullptr; scope = scope->parent.get()) {
        m_runtime.step();
        const auto it = scope->variables.find(name);
        if (it != scope->variables.end())
            return it->second;
    }
    if (const JinjaFunction function = findJinjaFunction(name)) {
        JinjaCallable callable;
        callable.name = name;
        callable.call = function;
        return JinjaValue::callable(std::move(callable));
    }
    return JinjaValue::undefined("'" + name.substr(0, 60) + "' is undefined");
}

JinjaValue JinjaInterpreter::evaluate(const JinjaExpression& expression)
{
    using K = JinjaExpression::Kind;
    const JinjaRuntime::Level level(m_runtime);
    m_runtime.step();
    m_runtime.line = expression.line;
    const auto part = [&](std::size_t i) {
        return expression.items[i] ? evaluate(*expression.items[i]) : JinjaValue::none();
    };
    switch (expression.kind) {
    case K::Literal:
        return expression.value;
    case K::Name:
        return lookUp(expression.text);
    case K::List:
    case K::Tuple:
        return evaluateItems(expression);
    case K::Dict:
        return evaluateDict(expression);
    case K::Attribute:
        return jinjaAttribute(m_runtime, part(0), expression.text);
    case K::Subscript: {
        const JinjaValue object = part(0);
        return jinjaItem(m_runtime, object, part(1));
    }
    case K::Slice: {
        const JinjaValue object = part(0);
        const JinjaValue start = part(1);
        const JinjaValue stop = part(2);
        return jinjaSlice(m_runtime, object, start, stop, part(3));
    }
    case K::Call:
        return evaluateCall(expression);
    case K::Filter:
        return evaluateFilter(expression);
    case K::Test:
        return evaluateTest(expression);
    case K::Unary:
        return evaluateUnary(expression);
    case K::Binary:
        return evaluateBinary(expression);
    case K::Concatenate: {
        JinjaString text;
        for (const auto& item : expression.items) {
            const JinjaString next = jinjaToText(m_runtime, evaluate(*item));
            m_runtime.work(next.size());
            text.append(next);
        }
        return m_runtime.text(std::move(text));
    }
    case K::Compare:
        return evaluateCompare(expression);
    case K::Conditional:
        if (truth(part(1)))
            return part(0);
        return expression.items.size() > 2 ? part(2) : JinjaValue::undefined("the inline if has no else");
    }
    return {};
}

JinjaValue JinjaInterpreter::evaluateItems(const JinjaExpression& expression)
{
    std::vector<JinjaValue> items;
    for (const auto& item : expression.items)
        items.push_back(evaluate(*item));
    return m_runtime.list(std::move(items), expression.kind == JinjaExpression::Kind::List ? JinjaListKind::List : JinjaListKind::Tuple);
}

JinjaValue JinjaInterpreter::evaluateDict(const JinjaExpression& expression)
{
    JinjaDict dict;
    for (std::size_t i = 0; i < expression.items.size(); i += 2) {
        const JinjaValue key = evaluate(*expression.items[i]);
        m_runtime.allocate(128 + (key.isString() ? key.asText().size() : 0));
        dict.set(key, evaluate(*expression.items[i + 1]));
    }
    return JinjaValue::dict(std::move(dict));
}

JinjaArguments JinjaInterpreter::evaluateArguments(const JinjaCallArguments& arguments)
{
    JinjaArguments out;
    for (const auto& argument : arguments.positional)
        out.positional.push_back(evaluate(*argument));
    for (const auto& [name, argument] : arguments.keyword)
        out.keyword.emplace_back(name, evaluate(*argument));
    if (arguments.positionalList)
        for (const JinjaValue& item : jinjaIterate(m_runtime, evaluate(*arguments.positionalList)))
            out.positional.push_back(item);
    if (arguments.keywordDict) {
        const JinjaValue dict = evaluate(*arguments.keywordDict);
        if (!dict.isDict())
            throw JinjaFailure("the value after ** must be a dictionary");
        for (const auto& [key, value] : dict.asDict().entries()) {
            if (!key.isString())
                throw JinjaFailure("the names of arguments are strings");
            out.namesTrusted = out.namesTrusted && key.trusted();
            m_runtime.allocate(key.asText().size() + sizeof value);
            out.keyword.emplace_back(key.asText(), value);
        }
    }
    return out;
}

JinjaValue JinjaInterpreter::evaluateCall(const JinjaExpression& expression)
{
    const JinjaExpression& callee = *expression.items[0];
    if (callee.kind == JinjaExpression::Kind::Attribute) { // a method: no need for a bound object in between
        const JinjaValue object = evaluate(*callee.items[0]);
        if (const JinjaMethod method = findJinjaMethod(object, callee.text)) {
            JinjaArguments arguments = evaluateArguments(expression.arguments);
            return method(m_runtime, object, arguments);
        }
        const JinjaValue function = jinjaAttribute(m_runtime, object, callee.text);
        if (function.kind() != JinjaValue::Kind::Callable)
            throw JinjaFailure(function.isUndefined() ? function.missing() : "'" + callee.text.substr(0, 60) + "' cannot be called");
        JinjaArguments arguments = evaluateArguments(expression.arguments);
        return function.asCallable().call(m_runtime, arguments);
    }
    const JinjaValue function = evaluate(callee);
    if (function.kind() != JinjaValue::Kind::Callable)
        throw JinjaFailure(function.isUndefined() ? function.missing() : std::string("'") + function.typeName() + "' cannot be called");
    JinjaArguments arguments = evaluateArguments(expression.arguments);
    return function.asCallable().call(m_runtime, arguments);
}

JinjaValue JinjaInterpreter::evaluateFilter(const JinjaExpression& expression)
{
    const JinjaFilter filter = findJinjaFilter(expression.text);
    if (filter == nullptr)
        throw JinjaFailure("there is no filter named '" + expression.text.substr(0, 40) + "'");
    const JinjaValue input = expression.items[0] ? evaluate(*expression.items[0]) : m_blockInput;
    JinjaArguments arguments = evaluateArguments(expression.arguments);
    m_runtime.line = expression.line;
    return filter(m_runtime, input, arguments);
}

JinjaValue JinjaInterpreter::evaluateTest(const JinjaExpression& expression)
{
    const JinjaTest test = findJinjaTest(expression.text);
    if (test == nullptr)
        throw JinjaFailure("there is no test named '" + expression.text.substr(0, 40) + "'");
    const JinjaValue input = evaluate(*expression.items[0]);
    JinjaArguments arguments = evaluateArguments(expression.arguments);
    return JinjaValue::boolean(test(m_runtime, input, arguments));
}

JinjaValue JinjaInterpreter::evaluateUnary(const JinjaExpression& expression)
{
    const JinjaValue value = evaluate(*expression.items[0]);
    if (expression.text == "not")
        return JinjaValue::boolean(!truth(value));
    if (expression.text == "-")
        return jinjaNegate(value);
    return jinjaNegate(jinjaNegate(value)); // + checks the type, and makes True 1
}

JinjaValue JinjaInterpreter::evaluateBinary(const JinjaExpression& expression)
{
    JinjaValue left = evaluate(*expression.items[0]);
    if (expression.text == "and" || expression.text == "or") {
        if (truth(left) == (expression.text == "or"))
            return left;
        return evaluate(*expression.items[1]);
    }
    const JinjaValue right = evaluate(*expression.items[1]);
    m_runtime.line = expression.line;
    return jinjaBinary(m_runtime, expression.text, left, right);
}

JinjaValue JinjaInterpreter::evaluateCompare(const JinjaExpression& expression)
{
    JinjaValue left = evaluate(*expression.items[0]);
    for (std::size_t i = 0; i < expression.operators.size(); ++i) {
        JinjaValue right = evaluate(*expression.items[i + 1]);
        if (!jinjaCompareWith(m_runtime, expression.operators[i], left, right))
            return JinjaValue::boolean(false);
        left = std::move(right);
    }
    return JinjaValue::boolean(true);
}

} // namespace postnas
