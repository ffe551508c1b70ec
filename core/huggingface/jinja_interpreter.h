// Runs a syntax tree: statements in jinja_interpreter.cpp, expressions in jinja_evaluation.cpp.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>

#include "core/huggingface/jinja_ast.h"
#include "core/huggingface/jinja_runtime.h"

namespace postnas {

/// One rendering of one template. Throws JinjaFailure; `runtime.line` then is the line it happened in.
class JinjaInterpreter {
public:
    JinjaInterpreter(JinjaRuntime& runtime, std::unordered_map<std::string, JinjaValue> variables);
    JinjaString run(const JinjaBody& body);

private:
    enum class Flow { Normal, Break, Continue };
    class ScopeGuard;

    // statements
    Flow execute(const JinjaBody& body);
    Flow executeOne(const JinjaStatement& statement);
    Flow executeFor(const JinjaStatement& statement);
    Flow executeCaptured(const JinjaBody& body, JinjaString& out);
    Flow executeWith(const JinjaStatement& statement);
    void executeCallBlock(const JinjaStatement& statement);
    void print(const JinjaString& text);
    void assign(const JinjaStatement::Target& target, const JinjaValue& value);
    JinjaValue makeMacro(const JinjaStatement& statement);
    JinjaValue callMacro(const JinjaStatement& macro, const std::shared_ptr<JinjaScope>& scope, JinjaArguments& arguments);
    JinjaValue applyBlockFilters(const JinjaExpression* filters, JinjaString text);

    // expressions
    JinjaValue evaluate(const JinjaExpression& expression);
    JinjaValue evaluateItems(const JinjaExpression& expression);
    JinjaValue evaluateDict(const JinjaExpression& expression);
    JinjaValue evaluateCall(const JinjaExpression& expression);
    JinjaValue evaluateFilter(const JinjaExpression& expression);
    JinjaValue evaluateTest(const JinjaExpression& expression);
    JinjaValue evaluateUnary(const JinjaExpression& expression);
    JinjaValue evaluateBinary(const JinjaExpression& expression);
    JinjaValue evaluateCompare(const JinjaExpression& expression);
    JinjaArguments evaluateArguments(const JinjaCallArguments& arguments);
    JinjaValue lookUp(const std::string& name);
    /// Truth as `if` sees it; the strict dialect refuses undefined values.
    bool truth(const JinjaValue& value) const;

    JinjaRuntime& m_runtime;
    std::shared_ptr<JinjaScope> m_scope;
    JinjaString* m_out = nullptr;
    JinjaValue m_blockInput; ///< what the filters of a filter block or a block set start from
};

} // namespace postnas
