// Statements: loops, assignments, macros, captured output.
#include "core/huggingface/jinja_interpreter.h"

#include <algorithm>

#include "core/huggingface/jinja_operations.h"
#include "core/huggingface/jinja_text.h"

namespace postnas {

/// Enters a new scope below `parent` and returns to the previous one at the end.
class JinjaInterpreter::ScopeGuard {
public:
    ScopeGuard(JinjaInterpreter& interpreter, std::shared_ptr<JinjaScope> parent)
        : m_interpreter(interpreter)
        , m_previous(std::move(interpreter.m_scope))
    {
        m_interpreter.m_scope = std::make_shared<JinjaScope>();
        m_interpreter.m_scope->parent = std::move(parent);
    }
    explicit ScopeGuard(JinjaInterpreter& interpreter)
        : ScopeGuard(interpreter, interpreter.m_scope)
    {
    }
    ~ScopeGuard() { m_interpreter.m_scope = std::move(m_previous); }
    ScopeGuard(const ScopeGuard&) = delete;
    ScopeGuard& operator=(const ScopeGuard&) = delete;

private:
    JinjaInterpreter& m_interpreter;
    std::shared_ptr<JinjaScope> m_previous;
};

JinjaInterpreter::JinjaInterpreter(JinjaRuntime& runtime, std::unordered_map<std::string, JinjaValue> variables)
    : m_runtime(runtime)
    , m_scope(std::make_shared<JinjaScope>())
{
    m_scope->variables = std::move(variables);
}

JinjaString JinjaInterpreter::run(const JinjaBody& body)
{
    const ScopeGuard scope(*this);
    JinjaString out;
    m_out = &out;
    execute(body);
    return out;
}

JinjaInterpreter::Flow JinjaInterpreter::execute(const JinjaBody& body)
{
    for (const auto& statement : body)
        if (const Flow flow = executeOne(*statement); flow != Flow::Normal)
            return flow;
    return Flow::Normal;
}

void JinjaInterpreter::print(const JinjaString& text)
{
    m_runtime.work(text.size());
    m_out->append(text);
    if (m_out->size() > m_runtime.limits().outputBytes)
        throw JinjaFailure("it writes more than " + std::to_string(m_runtime.limits().outputBytes) + " bytes");
}

JinjaInterpreter::Flow JinjaInterpreter::executeOne(const JinjaStatement& statement)
{
    using K = JinjaStatement::Kind;
    const JinjaRuntime::Level level(m_runtime);
    m_runtime.line = statement.line;
    m_runtime.step();
    switch (statement.kind) {
    case K::Text:
        print(statement.value.asString());
        break;
    case K::Print:
        print(jinjaToText(m_runtime, evaluate(*statement.expression)));
        break;
    case K::If:
        for (const auto& branch : statement.branches)
            if (!branch.condition || truth(evaluate(*branch.condition)))
                return execute(branch.body);
        break;
    case K::For:
        return executeFor(statement);
    case K::Set:
        assign(statement.target, evaluate(*statement.expression));
        break;
    case K::SetBlock: {
        JinjaString text;
        const Flow flow = executeCaptured(statement.body, text);
        assign(statement.target, applyBlockFilters(statement.expression.get(), std::move(text)));
        return flow;
    }
    case K::FilterBlock: {
        JinjaString text;
        const Flow flow = executeCaptured(statement.body, text);
        print(jinjaToText(m_runtime, applyBlockFilters(statement.expression.get(), std::move(text))));
        return flow;
    }
    case K::Macro:
        m_scope->variables[statement.name] = makeMacro(statement);
        break;
    case K::CallBlock:
        executeCallBlock(statement);
        break;
    case K::With:
        return executeWith(statement);
    case K::Do:
        evaluate(*statement.expression);
        break;
    case K::Scope:
        return execute(statement.body);
    case K::Break:
        return Flow::Break;
    case K::Continue:
        return Flow::Continue;
    }
    return Flow::Normal;
}

JinjaInterpreter::Flow JinjaInterpreter::executeFor(const JinjaStatement& statement)
{
    JinjaValue items = evaluate(*statement.expression);
    if (!items.isList())
        items = m_runtime.list(jinjaIterate(m_runtime, items));
    if (statement.condition) {
        std::vector<JinjaValue> kept;
        for (const JinjaValue& item : items.asList().items) {
            const ScopeGuard scope(*this);
            m_runtime.step();
            assign(statement.target, item);
            if (truth(evaluate(*statement.condition)))
                kept.push_back(item);
        }
        items = m_runtime.list(std::move(kept));
    }
    if (items.asList().items.empty())
        return execute(statement.otherwise);
    const auto loop = std::make_shared<JinjaLoop>();
    loop->items = items;
    const JinjaValue loopValue = JinjaValue::loop(loop);
    for (; loop->index < items.asList().items.size(); ++loop->index) {
        const ScopeGuard scope(*this);
        m_runtime.step();
        m_scope->variables.emplace("loop", loopValue);
        assign(statement.target, items.asList().items[loop->index]);
        if (execute(statement.body) == Flow::Break)
            break;
    }
    return Flow::Normal;
}

JinjaInterpreter::Flow JinjaInterpreter::executeWith(const JinjaStatement& statement)
{
    std::vector<JinjaValue> values; // all are computed outside of the new scope
    for (const auto& [target, expression] : statement.assignments)
        values.push_back(evaluate(*expression));
    const ScopeGuard scope(*this);
    for (std::size_t i = 0; i < values.size(); ++i)
        assign(statement.assignments[i].first, values[i]);
    return execute(statement.body);
}

/// Runs the body in a scope of its own and collects what it prints.
JinjaInterpreter::Flow JinjaInterpreter::executeCaptured(const JinjaBody& body, JinjaString& out)
{
    const ScopeGuard scope(*this);
    JinjaString* const outer = std::exchange(m_out, &out);
    try {
        const Flow flow = execute(body);
        m_out = outer;
        return flow;
    } catch (...) {
        m_out = outer;
        throw;
    }
}

JinjaValue JinjaInterpreter::applyBlockFilters(const JinjaExpression* filters, JinjaString text)
{
    JinjaValue value = m_runtime.text(std::move(text));
    if (filters == nullptr)
        return value;
    m_blockInput = value;
    return evaluate(*filters);
}

void JinjaInterpreter::assign(const JinjaStatement::Target& target, const JinjaValue& value)
{
    if (!target.unpacks.empty()) {
        const auto parts = jinjaIterate(m_runtime, value);
        if (parts.size() != target.unpacks.size())
            throw JinjaFailure("cannot unpack " + std::to_string(parts.size()) + " values into " + std::to_string(target.unpacks.size()) + " names");
        for (std::size_t i = 0; i < parts.size(); ++i)
            assign(target.unpacks[i], parts[i]);
        return;
    }
    if (target.attribute.empty()) {
        m_scope->variables[target.name] = value;
        return;
    }
    const JinjaValue object = lookUp(target.name);
    if (object.kind() != JinjaValue::Kind::Namespace)
        throw JinjaFailure("'" + target.name.substr(0, 40) + "' is no namespace, so its attributes cannot be set");
    m_runtime.allocate(64);
    object.asNamespace().values[target.attribute] = value;
}

JinjaValue JinjaInterpreter::makeMacro(const JinjaStatement& statement)
{
    m_runtime.keepScope(m_scope);
    JinjaCallable macro;
    macro.name = statement.name;
    macro.call = [this, &statement, scope = m_scope](JinjaRuntime&, JinjaArguments& arguments) { return callMacro(statement, scope, arguments); };
    return JinjaValue::callable(std::move(macro));
}

JinjaValue JinjaInterpreter::callMacro(const JinjaStatement& macro, const std::shared_ptr<JinjaScope>& parent, JinjaArguments& arguments)
{
    const JinjaRuntime::Level level(m_runtime);
    const ScopeGuard scope(*this, parent);
    const auto& parameters = macro.parameters;
    if (arguments.positional.size() > parameters.size())
        throw JinjaFailure("macro '" + macro.name + "' takes at most " + std::to_string(parameters.size()) + " arguments");
    for (std::size_t i = 0; i < arguments.positional.size(); ++i)
        m_scope->variables[parameters[i].name] = arguments.positional[i];
    for (const auto& [name, value] : arguments.keyword) {
        const bool known = (macro.usesCaller && name == "caller")
            || std::any_of(parameters.begin(), parameters.end(), [&, &key = name](const auto& p) { return p.name == key; });
        if (!known)
            throw JinjaFailure("macro '" + macro.name + "' has no argument '" + name.substr(0, 40) + "'");
        if (!m_scope->variables.emplace(name, value).second)
            throw JinjaFailure("macro '" + macro.name + "' got the argument '" + name.substr(0, 40) + "' twice");
    }
    for (const auto& parameter : parameters) {
        if (m_scope->variables.count(parameter.name) != 0)
            continue;
        JinjaValue value = parameter.fallback ? evaluate(*parameter.fallback)
                                              : JinjaValue::undefined("the parameter '" + parameter.name + "' was not given");
        m_scope->variables.emplace(parameter.name, std::move(value));
    }
    JinjaString text;
    executeCaptured(macro.body, text);
    return m_runtime.text(std::move(text));
}

void JinjaInterpreter::executeCallBlock(const JinjaStatement& statement)
{
    const JinjaExpression& call = *statement.expression;
    const JinjaValue callee = evaluate(*call.items[0]);
    if (callee.kind() != JinjaValue::Kind::Callable)
        throw JinjaFailure(callee.isUndefined() ? callee.missing() : std::string("'") + callee.typeName() + "' cannot be called");
    JinjaArguments arguments = evaluateArguments(call.arguments);
    arguments.keyword.emplace_back("caller", makeMacro(statement));
    print(jinjaToText(m_runtime, callee.asCallable().call(m_runtime, arguments)));
}

} // namespace postnas
