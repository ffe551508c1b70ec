// Statements of the template language.
#include "core/huggingface/jinja_parser.h"

#include <algorithm>

namespace postnas {

class JinjaParser::Nesting {
public:
    explicit Nesting(JinjaParser& parser)
        : m_parser(parser)
    {
        if (m_parser.m_nesting >= kMaxNesting)
            m_parser.fail("tags are nested deeper than " + std::to_string(kMaxNesting) + " levels");
        ++m_parser.m_nesting;
    }
    ~Nesting() { --m_parser.m_nesting; }

private:
    JinjaParser& m_parser;
};

JinjaParser::JinjaParser(std::vector<JinjaToken> tokens, const JinjaDialect& dialect)
    : m_tokens(std::move(tokens))
    , m_dialect(dialect)
{
}

void JinjaParser::fail(const std::string& message) const { throw JinjaSyntaxError(message, current().line); }

JinjaToken JinjaParser::take()
{
    JinjaToken token = current();
    if (m_next + 1 < m_tokens.size())
        ++m_next;
    return token;
}

bool JinjaParser::takeName(std::string_view name)
{
    if (!current().isName(name))
        return false;
    take();
    return true;
}

bool JinjaParser::takeOperator(std::string_view op)
{
    if (!current().isOperator(op))
        return false;
    take();
    return true;
}

void JinjaParser::expectOperator(std::string_view op)
{
    if (!takeOperator(op))
        fail("'" + std::string(op) + "' was expected" + (current().text.empty() ? "" : ", not '" + current().text.substr(0, 40) + "'"));
}

void JinjaParser::expectName(std::string_view name)
{
    if (!takeName(name))
        fail("'" + std::string(name) + "' was expected");
}

std::string JinjaParser::expectIdentifier(const char* what)
{
    if (current().kind != JinjaTokenKind::Name)
        fail(std::string(what) + " was expected");
    return take().text;
}

void JinjaParser::expectBlockEnd()
{
    if (current().kind != JinjaTokenKind::BlockEnd)
        fail("the tag does not end where it should" + (current().text.empty() ? "" : ", at '" + current().text.substr(0, 40) + "'"));
    take();
}

JinjaBody JinjaParser::parse()
{
    return parseBody({});
}

/// Statements up to a tag whose first word is in `ends`, which is left as the current token.
JinjaBody JinjaParser::parseBody(std::initializer_list<std::string_view> ends)
{
    const Nesting nesting(*this);
    JinjaBody body;
    for (;;) {
        auto statement = std::make_unique<JinjaStatement>();
        statement->line = current().line;
        switch (current().kind) {
        case JinjaTokenKind::Data:
            statement->value = JinjaValue::string(take().text, true);
            break;
        case JinjaTokenKind::VariableBegin:
            take();
            statement->kind = JinjaStatement::Kind::Print;
            statement->expression = parseTuple(true);
            if (current().kind != JinjaTokenKind::VariableEnd)
                fail("}} was expected" + (current().text.empty() ? "" : ", not '" + current().text.substr(0, 40) + "'"));
            take();
            break;
        case JinjaTokenKind::BlockBegin:
            take();
            if (current().kind == JinjaTokenKind::Name && std::find(ends.begin(), ends.end(), current().text) != ends.end())
                return body;
            statement = parseStatement();
            expectBlockEnd();
            break;
        default:
            if (ends.size() != 0)
                fail("the template ends before '" + std::string(*ends.begin()) + "'");
            return body;
        }
        body.push_back(std::move(statement));
    }
}

std::unique_ptr<JinjaStatement> JinjaParser::parseStatement()
{
    using K = JinjaStatement::Kind;
    auto out = std::make_unique<JinjaStatement>();
    out->line = current().line;
    const std::string word = expectIdentifier("the name of a tag");
    if (word == "if") {
        parseIf(*out);
    } else if (word == "for") {
        parseFor(*out);
    } else if (word == "set") {
        parseSet(*out);
    } else if (word == "macro") {
        parseMacro(*out);
    } else if (word == "call") {
        parseCallBlock(*out);
    } else if (word == "with") {
        parseWith(*out);
    } else if (word == "break" || word == "continue") {
        if (m_loops == 0)
            fail("'" + word + "' outside of a loop");
        out->kind = word == "break" ? K::Break : K::Continue;
    } else if (word == "do") {
        out->kind = K::Do;
        out->expression = parseTuple(true);
    } else if (word == "filter") {
        out->kind = K::FilterBlock;
        out->expression = parseFilter(nullptr);
        while (takeOperator("|"))
            out->expression = parseFilter(std::move(out->expression));
        expectBlockEnd();
        out->body = parseBody({"endfilter"});
        take();
    } else if (word == "generation") {
        // transformers marks with it what the assistant said; it prints its body unchanged.
        out->kind = K::Scope;
        expectBlockEnd();
        out->body = parseBody({"endgeneration"});
        take();
    } else {
        fail("the tag '" + word.substr(0, 40) + "' is not supported");
    }
    return out;
}

void JinjaParser::parseIf(JinjaStatement& out)
{
    out.kind = JinjaStatement::Kind::If;
    bool isElse = false;
    for (;;) {
        JinjaStatement::Branch branch;
        if (!isElse)
            branch.condition = parseTuple(false);
        expectBlockEnd();
        branch.body = isElse ? parseBody({"endif"}) : parseBody({"elif", "else", "endif"});
        out.branches.push_back(std::move(branch));
        const std::string word = take().text;
        if (word == "endif")
            return;
        isElse = word == "else";
    }
}

void JinjaParser::parseFor(JinjaStatement& out)
{
    out.kind = JinjaStatement::Kind::For;
    out.target = parseTarget(false);
    expectName("in");
    out.expression = parseTuple(false);
    if (takeName("if"))
        out.condition = parseExpression();
    if (current().isName("recursive"))
        fail("recursive loops are not supported");
    expectBlockEnd();
    ++m_loops;
    out.body = parseBody({"endfor", "else"});
    --m_loops;
    if (take().text == "else") {
        expectBlockEnd();
        out.otherwise = parseBody({"endfor"});
        take();
    }
}

void JinjaParser::parseSet(JinjaStatement& out)
{
    out.target = parseTarget(true);
    if (takeOperator("=")) {
        out.kind = JinjaStatement::Kind::Set;
        out.expression = parseTuple(true);
        return;
    }
    out.kind = JinjaStatement::Kind::SetBlock;
    while (takeOperator("|"))
        out.expression = parseFilter(std::move(out.expression));
    expectBlockEnd();
    out.body = parseBody({"endset"});
    take();
}

void JinjaParser::parseParameters(JinjaStatement& out)
{
    expectOperator("(");
    while (!current().isOperator(")")) {
        if (!out.parameters.empty())
            expectOperator(",");
        if (current().isOperator(")"))
            break;
        JinjaStatement::Parameter parameter;
        parameter.name = expectIdentifier("the name of a parameter");
        if (takeOperator("="))
            parameter.fallback = parseExpression();
        else if (!out.parameters.empty() && out.parameters.back().fallback)
            fail("a parameter without default follows one with a default");
        out.parameters.push_back(std::move(parameter));
    }
    expectOperator(")");
}

void JinjaParser::parseMacro(JinjaStatement& out)
{
    out.kind = JinjaStatement::Kind::Macro;
    out.name = expectIdentifier("the name of the macro");
    parseParameters(out);
    expectBlockEnd();
    const int loops = std::exchange(m_loops, 0);
    const bool sawCaller = std::exchange(m_sawCaller, false);
    out.body = parseBody({"endmacro"});
    out.usesCaller = std::exchange(m_sawCaller, sawCaller);
    m_loops = loops;
    take();
}

void JinjaParser::parseCallBlock(JinjaStatement& out)
{
    out.kind = JinjaStatement::Kind::CallBlock;
    out.name = "caller";
    if (current().isOperator("("))
        parseParameters(out);
    out.expression = parseExpression();
    if (out.expression->kind != Kind::Call)
        fail("a call block needs a call");
    expectBlockEnd();
    const int loops = std::exchange(m_loops, 0);
    out.body = parseBody({"endcall"});
    m_loops = loops;
    take();
}

void JinjaParser::parseWith(JinjaStatement& out)
{
    out.kind = JinjaStatement::Kind::With;
    while (current().kind != JinjaTokenKind::BlockEnd) {
        if (!out.assignments.empty())
            expectOperator(",");
        auto target = parseTargetItem(false);
        expectOperator("=");
        out.assignments.emplace_back(std::move(target), parseExpression());
    }
    expectBlockEnd();
    out.body = parseBody({"endwith"});
    take();
}

JinjaStatement::Target JinjaParser::parseTarget(bool allowsAttribute)
{
    JinjaStatement::Target first = parseTargetItem(allowsAttribute);
    if (!current().isOperator(","))
        return first;
    JinjaStatement::Target tuple;
    tuple.unpacks.push_back(std::move(first));
    while (takeOperator(",")) {
        if (current().isName("in") || current().isOperator("=") || current().isOperator(")")
            || current().kind == JinjaTokenKind::BlockEnd)
            break;
        tuple.unpacks.push_back(parseTargetItem(allowsAttribute));
    }
    return tuple;
}

JinjaStatement::Target JinjaParser::parseTargetItem(bool allowsAttribute)
{
    const Nesting nesting(*this);
    JinjaStatement::Target out;
    if (takeOperator("(")) {
        out = parseTarget(allowsAttribute);
        expectOperator(")");
        return out;
    }
    static constexpr std::string_view kReserved[] = {"true", "false", "none", "True", "False", "None", "in", "and", "or", "not", "if", "is"};
    out.name = expectIdentifier("a name to assign to");
    if (std::find(std::begin(kReserved), std::end(kReserved), out.name) != std::end(kReserved))
        fail("'" + out.name + "' cannot be assigned to");
    if (allowsAttribute && takeOperator("."))
        out.attribute = expectIdentifier("the name of an attribute");
    return out;
}

} // namespace postnas
