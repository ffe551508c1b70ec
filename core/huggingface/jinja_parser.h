// Builds the syntax tree of a template; statements are in jinja_parser.cpp, expressions in jinja_expression_parser.cpp.
#pragma once

#include <initializer_list>
#include <string_view>
#include <vector>

#include "core/huggingface/jinja_ast.h"
#include "core/huggingface/jinja_lexer.h"

namespace postnas {

/// Recursive descent over a token list, with bounded nesting. Throws JinjaSyntaxError.
class JinjaParser {
public:
    static constexpr int kMaxNesting = 120;

    JinjaParser(std::vector<JinjaToken> tokens, const JinjaDialect& dialect);
    JinjaBody parse();

private:
    using Expression = JinjaExpressionPtr;
    using Kind = JinjaExpression::Kind;
    class Nesting;

    // tokens
    const JinjaToken& current() const { return m_tokens[m_next]; }
    const JinjaToken& ahead() const { return m_tokens[m_next + 1 < m_tokens.size() ? m_next + 1 : m_next]; }
    JinjaToken take();
    bool takeName(std::string_view name);
    bool takeOperator(std::string_view op);
    void expectOperator(std::string_view op);
    void expectName(std::string_view name);
    std::string expectIdentifier(const char* what);
    void expectBlockEnd();
    [[noreturn]] void fail(const std::string& message) const;

    // statements
    JinjaBody parseBody(std::initializer_list<std::string_view> ends);
    std::unique_ptr<JinjaStatement> parseStatement();
    void parseIf(JinjaStatement& out);
    void parseFor(JinjaStatement& out);
    void parseSet(JinjaStatement& out);
    void parseMacro(JinjaStatement& out);
    void parseCallBlock(JinjaStatement& out);
    void parseWith(JinjaStatement& out);
    void parseParameters(JinjaStatement& out);
    JinjaStatement::Target parseTarget(bool allowsAttribute);
    JinjaStatement::Target parseTargetItem(bool allowsAttribute);

    // expressions
    Expression make(Kind kind, int line, std::vector<Expression> items = {}, std::string text = {});
    Expression parseTuple(bool allowsConditional, bool inParentheses = false);
    Expression parseExpression(bool allowsConditional = true);
    Expression parseOr();
    Expression parseAnd();
    Expression parseNot();
    Expression parseCompare();
    Expression parseSum();
    Expression parseConcatenation();
    Expression parseProduct();
    Expression parsePower();
    Expression parseUnary(bool allowsFilter = true);
    Expression parsePrimary();
    Expression parsePostfix(Expression node);
    Expression parseFilters(Expression node);
    Expression parseFilter(Expression node);
    Expression parseTest(Expression node);
    Expression parseSubscript(Expression node);
    Expression parseCall(Expression node);
    Expression parseListLiteral();
    Expression parseDictLiteral();
    void parseArguments(JinjaExpression& call);
    bool endsTuple() const;
    void addDepth(JinjaExpression& node, const JinjaExpression* child);

    std::vector<JinjaToken> m_tokens;
    std::size_t m_next = 0;
    const JinjaDialect& m_dialect;
    int m_nesting = 0;
    int m_loops = 0; ///< enclosing `for` bodies, for break and continue
    bool m_sawCaller = false;
};

} // namespace postnas
