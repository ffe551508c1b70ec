// Filters on text and numbers.
#include "core/huggingface/jinja_filters.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <unordered_map>

#include "core/huggingface/jinja_format.h"
#include "core/huggingface/jinja_methods.h"
#include "core/huggingface/jinja_operations.h"
#include "core/huggingface/jinja_text.h"

namespace postnas {
namespace {

using Value = JinjaValue;
using Runtime = JinjaRuntime;
using Arguments = JinjaArguments;

JinjaString textOf(Runtime& rt, const Value& value)
{
    JinjaString text = jinjaToText(rt, value);
    rt.work(text.size());
    return text;
}

std::int64_t integerOr(const std::optional<Value>& value, std::int64_t fallback, const char* filter)
{
    if (!value || value->isNone())
        return fallback;
    if (!value->isIntegral())
        throw JinjaFailure(std::string(filter) + " needs an integer");
    return value->asInteger();
}

Value toJson(Runtime& rt, const Value& input, Arguments& a)
{
    const auto args = a.bind("tojson", {"ensure_ascii", "indent", "separators", "sort_keys"});
    JinjaJsonStyle style;
    style.ensureAscii = args[0] && args[0]->truth();
    style.sortKeys = args[3] && args[3]->truth();
    if (args[1] && !args[1]->isNone()) {
        if (args[1]->isString())
            style.indent = args[1]->asText();
        else
            style.indent = std::string(static_cast<std::size_t>(std::clamp<std::int64_t>(integerOr(args[1], 0, "tojson"), 0, 100)), ' ');
        style.itemSeparator = ",";
    }
    style.trusted = (!args[1] || args[1]->trusted()) && (!args[2] || args[2]->trusted());
    if (args[2] && !args[2]->isNone()) {
        const auto pair = jinjaIterate(rt, *args[2]);
        if (pair.size() != 2 || !pair[0].isString() || !pair[1].isString())
            throw JinjaFailure("tojson: separators must be two strings");
        style.itemSeparator = pair[0].asText();
        style.keySeparator = pair[1].asText();
    }
    if ((style.indent ? style.indent->size() : 0) + style.itemSeparator.size() + style.keySeparator.size() > 1000)
        throw JinjaFailure("tojson: indent and separators are too long");
    return Value::string(jinjaToJson(rt, input, style));
}

Value trim(Runtime& rt, const Value& input, Arguments& a)
{
    return rt.text(jinjaStrip(textOf(rt, input), a.bind("trim", {"chars"})[0], true, true));
}

Value replace(Runtime& rt, const Value& input, Arguments& a)
{
    const auto args = a.bind("replace", {"old", "new", "count"}, 2);
    return rt.text(jinjaReplace(rt, textOf(rt, input), textOf(rt, *args[0]), textOf(rt, *args[1]), integerOr(args[2], -1, "replace")));
}

/// Jinja's own title: a word begins after white space, a dash or an opening bracket.
Value title(Runtime& rt, const Value& input, Arguments&)
{
    const JinjaString text = textOf(rt, input);
    JinjaString out;
    bool atStart = true;
    for (std::size_t i = 0; i < text.size();) {
        const std::size_t next = i + utf8Length(text.text()[i]);
        const char32_t code = codePointAt(text.text(), i);
        const bool separates = isPythonSpace(code) || (code < 0x80 && std::string_view("-({[<").find(static_cast<char>(code)) != std::string_view::npos);
        const JinjaString letter = text.slice(i, next);
        out.append(separates ? letter : atStart ? jinjaUpper(letter) : jinjaLower(letter));
        atStart = separates;
        i = next;
    }
    return rt.text(std::move(out));
}

Value indent(Runtime& rt, const Value& input, Arguments& a)
{
    const auto args = a.bind("indent", {"width", "first", "blank"});
    JinjaString width;
    if (args[0] && args[0]->isString())
        width = args[0]->asString();
    else
        width.append(std::string(static_cast<std::size_t>(std::clamp<std::int64_t>(integerOr(args[0], 4, "indent"), 0, 10'000)), ' '), true);
    const bool first = args[1] && args[1]->truth();
    const bool blank = args[2] && args[2]->truth();
    JinjaString text = textOf(rt, input);
    text.append("\n", true); // so that a last line that ends in a newline keeps it, as in Jinja
    rt.allocate(text.size() * 2);
    JinjaString out;
    bool isFirst = true;
    for (const JinjaString& line : jinjaSplitLines(text, false)) {
        rt.work(width.size() + line.size());
        if (!isFirst)
            out.append("\n", true);
        if (isFirst ? first : (blank || !line.empty()))
            out.append(width);
        out.append(line);
        isFirst = false;
    }
    return rt.text(std::move(out));
}

Value escape(Runtime& rt, const Value& input, Arguments&)
{
    const JinjaString text = textOf(rt, input);
    JinjaString out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        static constexpr std::string_view kFrom = "&<>'\"";
        static constexpr const char* kTo[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
        const std::size_t which = kFrom.find(text.text()[i]);
        if (which == std::string_view::npos)
            out.appendSlice(text, i, i + 1);
        else
            out.append(kTo[which], text.trustedAt(i));
    }
    return rt.text(std::move(out));
}

Value format(Runtime& rt, const Value& input, Arguments& a)
{
    if (!a.keyword.empty()) {
        JinjaDict values;
        for (const auto& [name, value] : a.keyword)
            values.set(Value::string(name, true), value);
        return rt.text(jinjaFormatPercent(rt, textOf(rt, input), Value::dict(std::move(values))));
    }
    return rt.text(jinjaFormatPercent(rt, textOf(rt, input), Value::list(a.positional, JinjaListKind::Tuple)));
}

std::optional<double> parseFloat(std::string text)
{
    const JinjaString stripped = jinjaStrip({text, true}, std::nullopt, true, true);
    text = stripped.text();
    text.erase(std::remove(text.begin(), text.end(), '_'), text.end());
    std::string lower = text;
    std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    const std::string bare = lower.substr(!lower.empty() && (lower[0] == '-' || lower[0] == '+') ? 1 : 0);
    const bool named = bare == "inf" || bare == "infinity" || bare == "nan";
    if (bare.empty() || (!named && bare.find_first_not_of("0123456789.e+-") != std::string::npos))
        return std::nullopt;
    char* end = nullptr;
    const double value = std::strtod(lower.c_str(), &end);
    return *end == '\0' ? std::optional(value) : std::nullopt;
}

std::optional<std::int64_t> parseInteger(const std::string& source, int base)
{
    std::string text = jinjaStrip({source, true}, std::nullopt, true, true).text();
    const bool negative = !text.empty() && text[0] == '-';
    if (negative || (!text.empty() && text[0] == '+'))
        text.erase(0, 1);
    if (text.size() > 2 && text[0] == '0') {
        const char prefix = static_cast<char>(text[1] | 0x20);
        if ((prefix == 'x' && base == 16) || (prefix == 'o' && base == 8) || (prefix == 'b' && base == 2))
            text.erase(0, 2);
    }
    for (std::size_t i = 1; i + 1 < text.size(); ++i)
        if (text[i] == '_' && text[i - 1] != '_')
            text.erase(i--, 1);
    if (text.empty() || text[0] == '-' || text[0] == '+')
        return std::nullopt;
    std::int64_t out = 0;
    const auto result = std::from_chars(text.data(), text.data() + text.size(), out, base);
    if (result.ptr != text.data() + text.size() || result.ec == std::errc::invalid_argument)
        return std::nullopt;
    if (result.ec == std::errc::result_out_of_range)
        throw JinjaFailure("an integer leaves 64 bits");
    return negative ? -out : out;
}

Value toInteger(Runtime& rt, const Value& input, Arguments& a)
{
    const auto args = a.bind("int", {"default", "base"});
    const std::int64_t base = integerOr(args[1], 10, "int");
    if (base < 2 || base > 36)
        throw JinjaFailure("int: the base must be between 2 and 36");
    const bool trusted = input.trusted();
    std::optional<double> number;
    if (input.isString()) {
        rt.work(input.asText().size());
        if (const auto value = parseInteger(input.asText(), static_cast<int>(base)))
            return Value::integer(*value, trusted);
        number = parseFloat(input.asText());
    } else if (input.isIntegral()) {
        return Value::integer(input.asInteger(), trusted);
    } else if (input.isNumber()) {
        number = input.asDouble();
    } else if (input.isUndefined()) {
        throw JinjaFailure(input.missing());
    }
    if (!number || !std::isfinite(*number))
        return args[0].value_or(Value::integer(0));
    if (std::abs(*number) >= 9.2e18)
        throw JinjaFailure("an integer leaves 64 bits");
    return Value::integer(static_cast<std::int64_t>(*number), trusted);
}

Value toFloat(Runtime& rt, const Value& input, Arguments& a)
{
    const auto args = a.bind("float", {"default"});
    if (input.isNumber())
        return Value::number(input.asDouble(), input.trusted());
    if (input.isUndefined())
        throw JinjaFailure(input.missing());
    if (input.isString()) {
        rt.work(input.asText().size());
        if (const auto value = parseFloat(input.asText()))
            return Value::number(*value, input.trusted());
    }
    return args[0].value_or(Value::number(0.0));
}

Value absolute(Runtime&, const Value& input, Arguments&)
{
    if (!input.isNumber())
        throw JinjaFailure(std::string("abs needs a number, not ") + input.typeName());
    return input.asDouble() < 0 ? jinjaNegate(input) : input.kind() == Value::Kind::Boolean ? Value::integer(input.asInteger(), input.trusted()) : input;
}

Value rounded(Runtime&, const Value& input, Arguments& a)
{
    const auto args = a.bind("round", {"precision", "method"});
    const std::int64_t precision = integerOr(args[0], 0, "round");
    const std::string method = args[1] ? (args[1]->isString() ? args[1]->asText() : "") : "common";
    if (method != "common" && method != "ceil" && method != "floor")
        throw JinjaFailure("round: the method must be common, ceil or floor");
    if (!input.isNumber() || precision < -300 || precision > 300)
        throw JinjaFailure("round needs a number and a reasonable precision");
    const double value = input.asDouble();
    if (method != "common") {
        const double scale = std::pow(10.0, static_cast<double>(precision));
        return Value::number((method == "ceil" ? std::ceil(value * scale) : std::floor(value * scale)) / scale, input.trusted());
    }
    if (input.isIntegral() && precision >= 0)
        return Value::integer(input.asInteger(), input.trusted());
    double out = value;
    if (std::isfinite(value)) {
        if (precision >= 0) {
            char buffer[800];
            std::snprintf(buffer, sizeof buffer, "%.*f", static_cast<int>(precision), value);
            out = std::strtod(buffer, nullptr);
        } else {
            const double scale = std::pow(10.0, static_cast<double>(-precision));
            out = std::nearbyint(value / scale) * scale;
        }
    }
    return input.isIntegral() ? Value::integer(static_cast<std::int64_t>(out), input.trusted()) : Value::number(out, input.trusted());
}

Value fallback(Runtime&, const Value& input, Arguments& a)
{
    const auto args = a.bind("default", {"default_value", "boolean"});
    const bool useIt = input.isUndefined() || (args[1] && args[1]->truth() && !input.truth());
    return useIt ? args[0].value_or(Value::string("", true)) : input;
}

Value wordCount(Runtime& rt, const Value& input, Arguments&)
{
    const JinjaString text = textOf(rt, input);
    std::int64_t words = 0;
    bool inWord = false;
    for (std::size_t i = 0; i < text.size(); i += utf8Length(text.text()[i])) {
        const char32_t c = codePointAt(text.text(), i);
        const bool letter = c == '_' || c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        words += letter && !inWord ? 1 : 0;
        inWord = letter;
    }
    return Value::integer(words);
}

Value center(Runtime& rt, const Value& input, Arguments& a)
{
    JinjaArguments width;
    width.positional.push_back(a.bind("center", {"width"})[0].value_or(Value::integer(80)));
    const Value text = rt.text(textOf(rt, input));
    return findJinjaStringMethod("center")(rt, text, width);
}

} // namespace

JinjaFilter findJinjaFilter(std::string_view name)
{
    using R = Runtime&;
    using V = const Value&;
    using A = Arguments&;
    static const std::unordered_map<std::string_view, JinjaFilter> kFilters = {
        {"tojson", toJson},
        {"trim", trim},
        {"replace", replace},
        {"title", title},
        {"indent", indent},
        {"escape", escape},
        {"e", escape},
        {"format", format},
        {"int", toInteger},
        {"float", toFloat},
        {"abs", absolute},
        {"round", rounded},
        {"default", fallback},
        {"d", fallback},
        {"wordcount", wordCount},
        {"center", center},
        {"safe", [](R, V v, A) { return v; }},
        {"string", [](R r, V v, A) { return r.text(textOf(r, v)); }},
        {"upper", [](R r, V v, A) { return r.text(jinjaUpper(textOf(r, v))); }},
        {"lower", [](R r, V v, A) { return r.text(jinjaLower(textOf(r, v))); }},
        {"capitalize", [](R r, V v, A) { return r.text(jinjaCapitalize(textOf(r, v))); }},
    };
    const auto it = kFilters.find(name);
    return it == kFilters.end() ? findJinjaSequenceFilter(name) : it->second;
}

} // namespace postnas
