// Hostile templates end in an error, quickly and within bounds of memory.
#include <gtest/gtest.h>

#include <chrono>

#include "core/base/error.h"
#include "core/huggingface/jinja_template.h"

namespace postnas {
namespace {

std::string failureOf(const std::string& source, const JinjaLimits& limits = {}, const Json& variables = Json::object())
{
    const auto start = std::chrono::steady_clock::now();
    std::string message;
    try {
        JinjaTemplate::parse(source, "hostile.jinja", limits).render(variables);
    } catch (const Error& e) {
        EXPECT_EQ(e.errorClass(), ErrorClass::Input);
        message = e.what();
        EXPECT_NE(message.find("hostile.jinja"), std::string::npos) << message;
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    EXPECT_LT(seconds.count(), 30.0) << source.substr(0, 200);
    return message;
}

std::string times(const std::string& text, int count)
{
    std::string out;
    for (int i = 0; i < count; ++i)
        out += text;
    return out;
}

TEST(JinjaLimits, ATemplateThatNeverEndsEndsInAnError)
{
    const std::string loops = times("{% for i in range(99999) %}", 8) + "x" + times("{% endfor %}", 8);
    EXPECT_NE(failureOf(loops).find("steps"), std::string::npos);
    EXPECT_NE(failureOf("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}").find("deeper"), std::string::npos);
    EXPECT_NE(failureOf("{% macro f(n) %}{{ f(n) if n else '' }}{{ f(n) }}{% endmacro %}{{ f(1) }}"), "");
}

TEST(JinjaLimits, GrowthIsBounded)
{
    EXPECT_NE(failureOf("{% set ns = namespace(s='aaaaaaaa') %}{% for i in range(100) %}{% set ns.s = ns.s + ns.s %}{% endfor %}"), "");
    EXPECT_NE(failureOf("{% set ns = namespace(s=[1]) %}{% for i in range(100) %}{% set ns.s = ns.s + ns.s %}{% endfor %}"), "");
    EXPECT_NE(failureOf("{{ 'a' * 99999999999 }}"), "");
    EXPECT_NE(failureOf("{{ [1] * 99999999999 }}"), "");
    EXPECT_NE(failureOf("{{ 'a'.center(99999999999) }}"), "");
    EXPECT_NE(failureOf("{{ '%999999999d' % 5 }}"), "");
    EXPECT_NE(failureOf("{{ '{:999999999}'.format(5) }}"), "");
    EXPECT_NE(failureOf("{% set s = 'a' * 60000 %}{{ s.replace('', s) }}"), "");
    EXPECT_NE(failureOf("{% set s = 'ab' * 500000 %}{{ s.replace('a', s) }}"), "");
    EXPECT_NE(failureOf("{% set s = 'a,' * 1000000 %}{% for i in range(1000) %}{% set t = s.split(',') %}{% endfor %}"), "");
    EXPECT_NE(failureOf("{% set ns = namespace(s='x') %}{% for i in range(90000) %}{% set ns.s = ns.s ~ 'yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy' %}{% endfor %}"), "");
    JinjaLimits small;
    small.outputBytes = 100;
    EXPECT_NE(failureOf(std::string(101, 'x'), small).find("writes more"), std::string::npos);
    EXPECT_EQ(failureOf(std::string(100, 'x'), small), "");
    small.templateBytes = 10;
    EXPECT_NE(failureOf("12345678901", small), "");
    EXPECT_NE(failureOf("{% for i in range(200000) %}{% endfor %}").find("range"), std::string::npos);
}

TEST(JinjaLimits, NestingIsBounded)
{
    EXPECT_NE(failureOf("{{ " + times("(", 100000) + "1" + times(")", 100000) + " }}"), "");
    EXPECT_NE(failureOf("{{ " + times("[", 100000) + " }}"), "");
    EXPECT_NE(failureOf("{{ " + times("-", 100000) + "1 }}"), "");
    EXPECT_NE(failureOf("{{ " + times("not ", 100000) + "1 }}"), "");
    EXPECT_NE(failureOf("{{ 1" + times(" + 1", 100000) + " }}"), "");
    EXPECT_NE(failureOf("{{ a" + times(".a", 100000) + " }}"), "");
    EXPECT_NE(failureOf("{{ 1" + times("|string", 100000) + " }}"), "");
    EXPECT_NE(failureOf("{{ 1" + times(" if 1 else 1", 100000) + " }}"), "");
    EXPECT_NE(failureOf(times("{% if 1 %}", 50000)), "");
    EXPECT_NE(failureOf("{% for " + times("(", 50000) + "a in b %}{% endfor %}"), "");
    EXPECT_EQ(failureOf("{{ " + times("(", 40) + "1" + times(")", 40) + " }}"), "") << "reasonable nesting must work";
    const std::string chain = "{% set ns = namespace(x=[]) %}{% for i in range(90000) %}{% set ns.x = ";
    EXPECT_NE(failureOf(chain + "[ns.x] %}{% endfor %}").find("nested deeper"), std::string::npos);
    EXPECT_NE(failureOf(chain + "{'a': ns.x} %}{% endfor %}").find("nested deeper"), std::string::npos);
    EXPECT_NE(failureOf(chain + "[ns.x].count %}{% endfor %}").find("nested deeper"), std::string::npos);
    EXPECT_NE(failureOf("{% set ns = namespace(x=[1]) %}{% for i in range(90000) %}{% for j in ns.x %}{% set ns.x = [loop] %}{% endfor %}{% endfor %}").find("nested deeper"),
              std::string::npos);
}

TEST(JinjaLimits, CyclesAndLongChainsAreFreed)
{
    EXPECT_EQ(failureOf("{% set ns = namespace() %}{% set ns.self = ns %}{% set ns.list = [ns, {'a': ns}] %}{{ ns }}"), "");
    EXPECT_EQ(failureOf("{% set ns = namespace(cur=none) %}{% for i in range(60000) %}{% set ns.cur = namespace(prev=ns.cur) %}{% endfor %}"), "");
    EXPECT_EQ(failureOf("{% set ns = namespace(f=none) %}{% for i in range(20000) %}{% macro m() %}{{ i }}{% endmacro %}{% set ns.f = m %}{% endfor %}{{ ns.f() }}"), "");
    EXPECT_EQ(failureOf("{% set ns = namespace() %}{% macro m() %}{% macro inner() %}x{% endmacro %}{% set ns.f = inner %}{% endmacro %}{{ m() }}{{ ns.f() }}"), "");
}

TEST(JinjaLimits, SharedStructureDoesNotExplode)
{
    const std::string dag = "{% set ns = namespace(x=['a'], y=['a']) %}{% for i in range(90) %}{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}{% endfor %}";
    EXPECT_NE(failureOf(dag + "{{ ns.x }}"), "");
    EXPECT_NE(failureOf(dag + "{{ ns.x|tojson }}"), "");
    EXPECT_NE(failureOf(dag + "{{ ns.x == ns.y }}"), "");
    EXPECT_NE(failureOf(dag + "{{ ns.x < ns.y }}"), "");
    EXPECT_EQ(failureOf(dag + "{{ ns.x|length }}"), "");
}

TEST(JinjaLimits, QuadraticSearchesAreCharged)
{
    Json variables;
    variables["s"] = std::string(4u << 20, 'a');
    variables["n"] = std::string(2u << 20, 'a') + "b";
    EXPECT_EQ(failureOf("{{ n in s }}", {}, variables), "");
    EXPECT_EQ(failureOf("{{ s.find(n) }}", {}, variables), "");
    EXPECT_NE(failureOf("{{ s.rfind(n) }}", {}, variables), "");
    EXPECT_NE(failureOf("{% for i in range(99999) %}{{ s[i] }}{% endfor %}", {}, variables), "");
    EXPECT_NE(failureOf("{{ range(99999)|map('string')|sort == range(99999)|list and s|sort }}{% for i in range(1000) %}{% set x = range(99999)|sort %}{% endfor %}", {}, variables), "");
}

TEST(JinjaLimits, BrokenSourcesAreRefused)
{
    EXPECT_NE(failureOf("\xff\xfe"), "");
    EXPECT_NE(failureOf("{{ '\\ud800' }}"), "");
    EXPECT_NE(failureOf("{{ '\\x4' }}"), "");
    EXPECT_NE(failureOf("{{ 99999999999999999999 }}"), "");
    EXPECT_NE(failureOf("{{ 9223372036854775807 + 1 }}"), "");
    EXPECT_NE(failureOf("{{ -9223372036854775807 - 2 }}"), "");
    EXPECT_NE(failureOf("{{ 10 ** 30 }}"), "");
    EXPECT_EQ(failureOf("{{ 1 ** 9223372036854775807 }}{{ (-9223372036854775807 - 1) % -1 }}"), "");
    EXPECT_NE(failureOf("{{ (-9223372036854775807 - 1) // -1 }}"), "");
    EXPECT_EQ(failureOf("{{ [1,2,3][9223372036854775807:-9223372036854775807-1:-9223372036854775807-1] }}"), "");
    EXPECT_EQ(failureOf("{{ 'abc'[-9223372036854775807-1:9223372036854775807:9223372036854775807] }}"), "");
    EXPECT_EQ(failureOf("{{ range(-9223372036854775807, 9223372036854775807, 9223372036854775807)|list }}"), "");
}

TEST(JinjaLimits, TrustSurvivesOperations)
{
    const auto segments = [](const std::string& source) {
        return JinjaTemplate::parse(source, "t").renderSegments(Json{{"u", "<U>"}, {"list", {"<A>", "<B>"}}, {"n", 5}, {"map", {{"<K>", 1}}}, {"fill", "{:x>9}"}});
    };
    for (const char* source : {"{{ u ~ 'T' }}", "{{ u + 'T' }}", "{{ ('T' + u)|reverse|reverse }}", "{{ (u ~ 'T')|lower|upper }}", "{{ 'T%s' % u }}",
                               "{{ '{}T'.format(u) }}", "{{ ['T', u]|join }}", "{{ 'T'.join([u, u]) }}", "{{ 'xT'|replace('x', u) }}", "{{ (u ~ 'T')|indent(0) }}",
                               "{% macro m(x) %}{{ x }}T{% endmacro %}{{ m(u) }}", "{% set x %}{{ u }}T{% endset %}{{ x|trim }}", "{% filter upper %}{{ u }}t{% endfilter %}",
                               "{% set ns = namespace(v=u) %}{% set ns.v = ns.v ~ 'T' %}{{ ns.v }}", "{% for c in u %}{{ c }}{% endfor %}T", "{{ u.split('x')[0] }}T", "T{{ [u][0][0:3] }}",
                               "T{{ list|map('lower')|map('upper')|join }}", "{{ u.ljust(5, 'T') }}", "{{ 'T' if u else '' }}{{ u or 'T' }}"}) {
        SCOPED_TRACE(source);
        bool sawTrusted = false;
        for (const TextSegment& segment : segments(source)) {
            if (segment.trusted)
                EXPECT_EQ(segment.text.find_first_not_of('T'), std::string::npos) << segment.text;
            else
                EXPECT_EQ(segment.text.find('T'), std::string::npos) << segment.text;
            sawTrusted = sawTrusted || segment.trusted;
        }
        EXPECT_TRUE(sawTrusted);
    }
    for (const char* source : {"{{ u|tojson }}", "{{ {'k': u}|tojson }}", "{{ [u] }}", "{{ list }}", "{{ [1, list]|string }}", "{{ '%r' % u }}", "{{ n }}", "{{ n + 1 }}", "{{ '%d' % n }}",
                               "{% for k in dict(**map) %}{{ k }}{% endfor %}", "{{ map.keys()|join }}", "{{ [1]|tojson(separators=list) }}", "{{ fill.format(n) }}"}) {
        SCOPED_TRACE(source);
        for (const TextSegment& segment : segments(source))
            EXPECT_FALSE(segment.trusted) << segment.text;
    }
    const auto trusted = segments("{{ {'k': 'v'}|tojson }}{{ [1, 'a'] }}");
    ASSERT_EQ(trusted.size(), 1u);
    EXPECT_TRUE(trusted[0].trusted);
}

} // namespace
} // namespace postnas
