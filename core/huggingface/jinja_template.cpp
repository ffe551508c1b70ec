// Ties lexer, parser and interpreter together and gives their failures the template's name and line.
#include "core/huggingface/jinja_template.h"

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/huggingface/jinja_interpreter.h"
#include "core/huggingface/jinja_parser.h"

namespace postnas {

struct JinjaTemplate::Parsed {
    std::string name;
    JinjaLimits limits;
    JinjaDialect dialect;
    JinjaBody body;
};

JinjaTemplate::JinjaTemplate(std::shared_ptr<const Parsed> parsed)
    : m_parsed(std::move(parsed))
{
}

JinjaTemplate JinjaTemplate::parse(std::string_view source, std::string name, const JinjaLimits& limits, const JinjaDialect& dialect)
{
    if (source.size() > limits.templateBytes)
        throw inputError("template " + name + ": it has " + formatBytes(static_cast<double>(source.size())) + "; at most "
                         + formatBytes(static_cast<double>(limits.templateBytes)) + " are read");
    if (const std::size_t bad = findInvalidUtf8(source); bad != std::string_view::npos)
        throw inputError("template " + name + ": byte " + std::to_string(bad) + " is no valid UTF-8");
    auto parsed = std::make_shared<Parsed>();
    parsed->name = std::move(name);
    parsed->limits = limits;
    parsed->dialect = dialect;
    try {
        parsed->body = JinjaParser(lexJinja(source, dialect), dialect).parse();
    } catch (const JinjaSyntaxError& e) {
        throw inputError("template " + parsed->name + ", line " + std::to_string(e.line) + ": " + e.what());
    } catch (const JinjaFailure& e) {
        throw inputError("template " + parsed->name + ": " + e.what());
    }
    return JinjaTemplate(std::move(parsed));
}

JinjaString JinjaTemplate::run(Variables variables) const
{
    JinjaRuntime runtime(m_parsed->limits, m_parsed->dialect);
    try {
        JinjaInterpreter interpreter(runtime, std::move(variables));
        return interpreter.run(m_parsed->body);
    } catch (const JinjaFailure& e) {
        throw inputError("template " + m_parsed->name + ", line " + std::to_string(runtime.line) + ": " + e.what());
    }
}

JinjaTemplate::Variables JinjaTemplate::fromJson(const Json& variables)
{
    if (!variables.is_object())
        throw internalError("the variables of a template must be a JSON object");
    Variables out;
    for (const auto& [name, value] : variables.items())
        out.emplace(name, JinjaValue::fromJson(value, false));
    return out;
}

std::string JinjaTemplate::render(const Json& variables) const { return run(fromJson(variables)).text(); }

std::vector<TextSegment> JinjaTemplate::renderSegments(const Json& variables) const { return run(fromJson(variables)).segments(); }

std::vector<TextSegment> JinjaTemplate::renderSegments(Variables variables) const { return run(std::move(variables)).segments(); }

const std::string& JinjaTemplate::name() const { return m_parsed->name; }

} // namespace postnas
